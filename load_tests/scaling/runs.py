"""Runs of cases under controllers: in processes of their own, and kept so that a target can go on.

What is kept are the rivals' figures; ours are kept under the digest of the code that decides.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
from collections.abc import Iterable, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Final

import numpy as np

import autoscaler
from autoscaler.simulate.catalog import CONTROLLERS, OURS
from autoscaler.simulate.record import BAD_MINUTE, Outcome, outcome
from load_tests.scaling.cases import DAY_S, Case, scenario
from load_tests.scaling.weeks import ALL
from loadstar.clock import SystemClock

BLOCK_MINUTES: Final = 360
WARM_UP_DAYS: Final = 1
"""Days before the judged ones that a rival runs, so that nothing of its start is judged."""
DECIDES: Final = ("forecast", "capacity", "sizing", "observe", "policy", "simulate")


@dataclass(frozen=True, slots=True)
class Job:
    """One run: judged from one day to another."""

    case: Case
    controller: str
    knob: float | None
    judged: tuple[int, int]
    restarted: bool = False
    """Ours begins a day before the judged ones, with the history of the days before that."""

    def key(self) -> str:
        knob = "" if self.knob is None else f"@{self.knob:g}"
        days = f"{self.judged[0]}-{self.judged[1]}{'-restarted' * self.restarted}"
        return f"{self.case.key()}/{self.controller}{knob}/{days}"


@dataclass(frozen=True, slots=True)
class Figures:
    """What a run came to."""

    cost: float
    requests: float
    late: float
    violation_minutes: int
    node_hours: float
    flaps: int
    actions: int
    coverage: float | None
    days: float
    decide_mean_s: float = 0.0
    decide_p99_s: float = 0.0
    decide_max_s: float = 0.0
    late_blocks: tuple[float, ...] = ()
    """Late requests of each six hours."""
    recoveries_s: tuple[float, ...] = field(default=())
    """After each jump of demand, how long more than 5 % of the requests were late."""

    @property
    def violations(self) -> float:
        """Share of requests that were late."""
        return self.late / self.requests if self.requests > 0 else 0.0


def once(job: Job, data: Path | None) -> Figures:
    """Run ``job`` here and now."""
    whole = scenario(job.case, data)
    first, last = job.judged
    ours = job.controller == OURS
    # Ours learns from the first day on; rivals remember minutes and need not.
    start = 0 if ours and not job.restarted else max(0, first - WARM_UP_DAYS)
    part = whole.cut(start * DAY_S, min(last * DAY_S, whole.demand.seconds))
    if job.restarted:
        part = replace(part, history=whole.demand.between(0, start * DAY_S))
    recorder, plant = part.recorded(
        job.controller, job.knob, timed=SystemClock().now if ours else None
    )
    made = outcome(job.controller, recorder, plant.calls, from_s=(first - start) * DAY_S)
    times = np.array(recorder.decide_s or [0.0])
    return _figures(made, times)


def _figures(made: Outcome, times: np.ndarray[tuple[int], np.dtype[np.float64]]) -> Figures:
    late = [m.late for m in made.minutes]
    blocks = [sum(late[i : i + BLOCK_MINUTES]) for i in range(0, len(late), BLOCK_MINUTES)]
    return Figures(
        cost=made.cost,
        requests=made.requests,
        late=made.requests * made.violation_fraction,
        violation_minutes=made.violation_minutes,
        node_hours=made.node_hours,
        flaps=made.flaps,
        actions=made.actions,
        coverage=made.coverage,
        days=len(late) / 1440,
        decide_mean_s=float(times.mean()),
        decide_p99_s=float(np.quantile(times, 0.99)),
        decide_max_s=float(times.max()),
        late_blocks=tuple(round(b, 3) for b in blocks),
        recoveries_s=recoveries(made),
    )


JUMP: Final = 1.6
"""So many times the ten minutes before, within two minutes, is a crowd."""
RISEN: Final = 1.25
LOOKED_AT: Final = 60


def recoveries(made: Outcome) -> tuple[float, ...]:
    """Seconds from each sudden jump of demand to the end of the last bad minute of its hour."""
    arrived = [m.arrived for m in made.minutes]
    found: list[float] = []
    index = 10
    while index < len(arrived) - LOOKED_AT:
        before = sum(arrived[index - 10 : index]) / 10
        if before <= 0 or arrived[index + 2] <= JUMP * before:
            index += 1
            continue
        start = next(k for k in range(index, index + 3) if arrived[k] > RISEN * before)
        hour = made.violating_by_minute[start : start + LOOKED_AT]
        bad = [k for k, share in enumerate(hour) if share > BAD_MINUTE]
        found.append(60.0 * (max(bad) + 1) if bad else 0.0)
        index = start + 2 * LOOKED_AT
    return tuple(found)


class Runs:
    """Jobs done, kept in a directory where one is given."""

    def __init__(self, data: Path | None, kept: Path | None, processes: int) -> None:
        self.data = data
        self._kept = kept
        self._processes = processes
        self._known: dict[str, Figures] = {}
        self._digest = code_digest()
        if kept is not None:
            kept.mkdir(parents=True, exist_ok=True)

    def do(self, jobs: Iterable[Job]) -> list[Figures]:
        """The figures of ``jobs``, in their order."""
        wanted = list(jobs)
        missing = [job for job in dict.fromkeys(wanted) if self._recall(job) is None]
        if len(missing) > 1 and self._processes > 1:
            context = multiprocessing.get_context("spawn")
            with ProcessPoolExecutor(self._processes, mp_context=context) as pool:
                done = list(pool.map(once, missing, [self.data] * len(missing)))
        else:
            done = [once(job, self.data) for job in missing]
        for job, figures in zip(missing, done, strict=True):
            self._keep(job, figures)
        return [self._known[job.key()] for job in wanted]

    def sweep(
        self, case: Case, controller: str, grid: Sequence[float], days: tuple[int, int]
    ) -> list[Figures]:
        """One run for each knob."""
        return self.do(Job(case, controller, knob, days) for knob in grid)

    def _path(self, job: Job) -> Path | None:
        if self._kept is None:
            return None
        digest = self._digest if job.controller == OURS else "rivals"
        return (
            self._kept / f"{hashlib.sha256(f'{digest}/{job.key()}'.encode()).hexdigest()[:24]}.json"
        )

    def _recall(self, job: Job) -> Figures | None:
        known = self._known.get(job.key())
        path = self._path(job)
        if known is None and path is not None and path.exists():
            row = json.loads(path.read_text())
            row["late_blocks"] = tuple(row["late_blocks"])
            row["recoveries_s"] = tuple(row["recoveries_s"])
            row.pop("key")
            known = self._known[job.key()] = Figures(**row)
        return known

    def _keep(self, job: Job, figures: Figures) -> None:
        self._known[job.key()] = figures
        path = self._path(job)
        if path is not None:
            path.write_text(json.dumps({"key": job.key(), **asdict(figures)}))


def code_digest() -> str:
    """A digest of the sources that ours is made of."""
    root = Path(autoscaler.__file__).parent
    digest = hashlib.sha256()
    for package in DECIDES:
        for path in sorted((root / package).rglob("*.py")):
            digest.update(path.read_bytes())
    return digest.hexdigest()[:16]


def grid_of(controller: str) -> tuple[float, ...]:
    return CONTROLLERS[controller].grid


def days_of(case: Case) -> tuple[tuple[int, int], tuple[int, int]]:
    """Days to tune on, and days to judge on."""
    week = ALL[case.week]
    return week.train, week.judged
