"""What a run came to: violations, node-hours, cost, flaps, coverage; and the JSON of it.

Filled by ``run`` while it goes; numbers only, no plots. The same run gives the same bytes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import orjson

from autoscaler.simulate.provider_calls import Call
from autoscaler.sizing.decision import Decision

BAD_MINUTE: Final = 0.05
"""A minute with more than this share of late requests counts as a violation minute."""
FLAP_S: Final = 900.0
"""A change of direction sooner than this is a flap."""
DIGITS: Final = 6
ROUNDING: Final = 1e-9
"""A bound that equals what came is kept, whatever the last digits of two sums say."""


@dataclass(slots=True)
class Minute:
    """Sums of one minute."""

    arrived: float = 0.0
    finished: float = 0.0
    late: float = 0.0
    believed_work_s: float = 0.0  # of what arrived, by the controller's own profile
    capacity_s: float = 0.0  # ready reference replicas x seconds
    capacity_requests: float = 0.0
    queue: float = 0.0
    unit_cost: float = 0.0
    node_s: float = 0.0
    replicas_ready: int = 0


@dataclass(slots=True)
class Recorder:
    """Everything that a report needs."""

    minutes: list[Minute] = field(default_factory=list)
    decisions: list[dict[str, Any]] = field(default_factory=list)
    sizes: list[tuple[float, int]] = field(default_factory=list)
    """When the size that was asked for changed, and to what."""
    forecasts: list[tuple[float, float, float]] = field(default_factory=list)
    """When, until when, and the upper bound of demand's work that was given."""
    sized: int | None = None
    """The size that is asked for; at first, with which the fleet began."""
    decided: tuple[dict[str, int], str] | None = None
    decide_s: list[float] = field(default_factory=list)
    began: int | None = field(init=False)
    """The size before the first change, which has a direction, too."""

    def __post_init__(self) -> None:
        self.began = self.sized

    def decision(self, t_s: float, now_s: float, decision: Decision, changed: bool) -> None:
        """Keep a decision if it differs from the one before it, or at the full minute."""
        total = decision.total()
        if self.sized is None:
            self.sized = self.began = total
        elif changed and total != self.sized:
            self.sizes.append((now_s, total))
            self.sized = total
        inputs = decision.inputs
        upper, horizon_s = inputs.get(UPPER), inputs.get(HORIZON)
        if upper is not None and horizon_s is not None and now_s % 60 == 0:
            self.forecasts.append((now_s, now_s + horizon_s, upper))
        said = (dict(decision.replicas), decision.reason.value)
        if said == self.decided and now_s % 60 != 0:
            return
        self.decided = said
        self.decisions.append(
            {
                "t_s": _rounded(t_s),
                "reason": decision.reason.value,
                "replicas": {name: int(n) for name, n in sorted(decision.replicas.items())},
                "inputs": {name: _rounded(v) for name, v in sorted(inputs.items())},
                "text": decision.text,
            }
        )


UPPER: Final = "upper_work"
HORIZON: Final = "horizon_s"
"""Inputs by which a controller tells its forecast: reference replicas at full load, and seconds."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """The figures of one run."""

    controller: str
    requests: float
    violation_fraction: float
    violation_minutes: int
    node_hours: float
    cost: float
    actions: int
    flaps: int
    coverage: float | None
    minutes: list[Minute]
    decisions: list[dict[str, Any]]
    calls: list[Call]
    sizes: list[tuple[float, int]]
    violating_by_minute: list[float] = field(default_factory=list)

    def document(self, first_t_s: float = 0.0) -> dict[str, Any]:
        """The JSON of the black-box contract; times are those of the demand file."""
        return {
            "controller": self.controller,
            "requests": _rounded(self.requests),
            "violation_fraction": _rounded(self.violation_fraction),
            "violation_minutes": self.violation_minutes,
            "node_hours": _rounded(self.node_hours),
            "cost": _rounded(self.cost),
            "actions": self.actions,
            "flaps": self.flaps,
            "coverage": None if self.coverage is None else _rounded(self.coverage),
            "decisions": self.decisions,
            "calls": [{**call, "t_s": _rounded(first_t_s + call["t_s"])} for call in self.calls],
            "minutes": [
                {
                    "t_s": _rounded(first_t_s + 60.0 * index),
                    "demand": _rounded(m.arrived / 60.0),
                    "capacity_ready": _rounded(m.capacity_requests / 60.0),
                    "nodes": _rounded(m.node_s / 60.0),
                    "queue": _rounded(m.queue),
                    "violations": _rounded(m.late),
                    "cost": _rounded(m.unit_cost),
                    "replicas_ready": m.replicas_ready,
                }
                for index, m in enumerate(self.minutes)
            ],
        }


def outcome(
    name: str, recorder: Recorder, calls: list[Call], *, from_s: float = 0.0, to_s: float = math.inf
) -> Outcome:
    """The figures of the minutes from ``from_s`` to ``to_s``."""
    first, last = int(from_s // 60), min(to_s / 60.0, len(recorder.minutes))
    minutes = recorder.minutes[first : math.ceil(last)]
    requests = sum(m.arrived for m in minutes)
    late = sum(m.late for m in minutes)
    sizes = [(t, n) for t, n in recorder.sizes if from_s <= t < to_s]
    before = [n for t, n in recorder.sizes if t < from_s]
    bad = [m.late / m.finished if m.finished > 0 else 0.0 for m in minutes]
    return Outcome(
        controller=name,
        requests=requests,
        violation_fraction=late / requests if requests > 0 else 0.0,
        violation_minutes=sum(share > BAD_MINUTE for share in bad),
        node_hours=sum(m.node_s for m in minutes) / 3600.0,
        cost=sum(m.unit_cost for m in minutes),
        actions=len(sizes),
        flaps=flaps(sizes, before[-1] if before else recorder.began),
        coverage=coverage(recorder, from_s, to_s),
        minutes=minutes,
        decisions=recorder.decisions,
        calls=calls,
        sizes=sizes,
        violating_by_minute=bad,
    )


def flaps(sizes: list[tuple[float, int]], before: int | None = None) -> int:
    """Changes of direction that came within 15 minutes of the change they undo."""
    count = 0
    last: tuple[float, int] | None = None  # when, and which way
    size = before if before is not None else None
    for at_s, to in sizes:
        if size is not None:
            way = 1 if to > size else -1
            if last is not None and way != last[1] and at_s - last[0] < FLAP_S:
                count += 1
            last = (at_s, way)
        size = to
    return count


def coverage(recorder: Recorder, from_s: float, to_s: float) -> float | None:
    """Share of forecasts whose upper bound the demand stayed under until their horizon."""
    held, total = covered(recorder, from_s, to_s)
    return held / total if total else None


def covered(recorder: Recorder, from_s: float, to_s: float) -> tuple[int, int]:
    """How many forecasts held, of how many whose horizon was lived through."""
    work = np.array([m.believed_work_s / 60.0 for m in recorder.minutes])
    held = total = 0
    for at_s, until_s, upper in recorder.forecasts:
        first, last = round(at_s / 60.0), round(until_s / 60.0)
        if not from_s <= at_s < to_s or last > len(work) or last <= first:
            continue
        total += 1
        held += bool(work[first:last].max() <= upper * (1.0 + ROUNDING))
    return held, total


def encoded(document: dict[str, Any]) -> bytes:
    """The bytes of a report."""
    return orjson.dumps(document, option=orjson.OPT_APPEND_NEWLINE)


def _rounded(value: float) -> float:
    return round(float(value), DIGITS) if math.isfinite(value) else value
