"""The second act itself: both fleets up, one day for both at once, what it came to.

Everything that was started is gone when ``conduct`` is left, by whatever way.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import aiohttp
from rich.console import Console
from rich.live import Live

from autoscaler.actuate.providers.local import LocalFleet
from load_tests.day import view
from load_tests.day.ask import Answer, ask
from load_tests.day.reactive import Reactive, follow
from load_tests.day.record import Check, Record, checks
from load_tests.day.shape import Day, arrivals
from load_tests.day.site import Side, adapter, autoscaler, side
from load_tests.day.terms import MODEL, Terms, measured_rps
from load_tests.day.watch import Ears, Watch
from load_tests.drive import Driver, target
from load_tests.measure import Sample
from load_tests.workload import Arrival
from loadstar.clock import Clock, ScaledClock

REDRAW_S: Final = 1.0
PLAIN_EVERY_S: Final = 10.0
MIDNIGHT_S: Final = 1_767_571_200.0
"""Of Monday 5 January 2026, UTC: the day that is shown."""
NAMES: Final = ("Loadstar, predictive", "HPA, reactive")
ASK_WITHIN_S: Final = 10.0
ASK_AGAIN_S: Final = 1.0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What the day came to, while everything is still up."""

    terms: Terms
    records: tuple[Record, Record]
    answers: list[Answer]
    checks: list[Check]
    try_commands: list[str]


@asynccontextmanager
async def conduct(
    day: Day, hpa_load: float, clock: Clock, console: Console, folder: Path
) -> AsyncIterator[Outcome]:
    """Run the day, then give what it came to; what was started stays up inside."""
    saturation_rps = await asyncio.to_thread(measured_rps, day)
    terms = Terms(saturation_rps=saturation_rps, hpa_load=hpa_load)
    sent = await asyncio.to_thread(arrivals, day)
    _say(console, view.about(day, terms))
    _say(console, "\nStarting two Envoys, two gateways, model servers and the adapter ...")
    async with AsyncExitStack() as scope:
        forecast = await scope.enter_async_context(side("forecast", day, terms, clock, folder))
        reactive = await scope.enter_async_context(side("reactive", day, terms, clock, folder))
        shows_s = MIDNIGHT_S + day.from_h * 3600.0 - day.run_in_s * day.factor
        faster = ScaledClock.showing(clock, day.factor, shows_s)
        controller = await scope.enter_async_context(
            autoscaler(forecast, day, terms, faster, MIDNIGHT_S, folder)
        )
        url = await scope.enter_async_context(
            adapter([forecast.signals, controller.signals], folder)
        )
        records = (Record(NAMES[0], day.factor), Record(NAMES[1], day.factor))
        acting = _Acting(day, terms, clock, faster, records, sent)
        answers = await acting.run((forecast, reactive), controller.metrics_url, url, console)
        yield Outcome(
            terms,
            records,
            answers,
            checks(*records, [each.said for each in answers]),
            things_to_try(forecast, controller.metrics_url, controller.ledger),
        )


class _Acting:
    """The day while it runs."""

    def __init__(
        self,
        day: Day,
        terms: Terms,
        clock: Clock,
        faster: ScaledClock,
        records: tuple[Record, Record],
        sent: Sequence[Arrival],
    ) -> None:
        self._day = day
        self._terms = terms
        self._clock = clock
        self._faster = faster
        self._records = records
        self._sent = sent

    async def run(
        self, sides: tuple[Side, Side], autoscaler_url: str, adapter_url: str, console: Console
    ) -> list[Answer]:
        """Send the day to both; what the adapter said near its end."""
        rngs = [random.Random(index) for index in range(len(sides))]
        ears = [Ears(each.signals, rng) for each, rng in zip(sides, rngs, strict=True)]
        reactive = Reactive(self._terms, self._terms.at_first)
        async with aiohttp.ClientSession() as session, asyncio.TaskGroup() as tasks:
            beside = [tasks.create_task(each.run(), name="ears") for each in ears]
            fleet = LocalFleet(sides[1].fleet_url, session)
            hpa = follow(reactive, ears[1].demand, fleet, self._clock, self._faster.now)
            beside.append(tasks.create_task(hpa, name="hpa"))
            for one, record, ear, url in zip(
                sides, self._records, ears, (autoscaler_url, ""), strict=True
            ):
                watch = Watch(one, record, self._day, ear, self._clock, url)
                beside.append(tasks.create_task(watch.run(), name="watch"))
            beside.append(tasks.create_task(self._show(console), name="show"))
            beside.append(tasks.create_task(self._begin(sides), name="begin"))
            asking = tasks.create_task(self._ask(adapter_url), name="ask")
            async with asyncio.TaskGroup() as driving:
                for one, record in zip(sides, self._records, strict=True):
                    driving.create_task(self._drive(one, record))
            answers = await asking
            for one, record in zip(sides, self._records, strict=True):
                record.node_seconds = one.fleet.state.node_seconds
                record.ended = True
            for task in beside:
                task.cancel()
        if console.is_terminal:
            console.print(view.live(self._records, self._day, self._terms, self._clock.now()))
        return answers

    async def _begin(self, sides: tuple[Side, Side]) -> None:
        """Count from the end of the run-in on."""
        await asyncio.sleep(self._day.run_in_s)
        for one, record in zip(sides, self._records, strict=True):
            record.node_seconds_before = record.node_seconds = one.fleet.state.node_seconds
            record.began_at = self._clock.now()

    async def _drive(self, one: Side, record: Record) -> None:
        def seen(arrival: Arrival, sample: Sample) -> None:
            if not arrival.warmup:
                record.samples.append(sample)

        await Driver(target(one.address, MODEL), self._clock).run(self._sent, seen)

    async def _ask(self, url: str) -> list[Answer]:
        """What the adapter says shortly before the end, while there are requests to tell of."""
        ends_s = self._clock.now() + self._day.run_in_s + self._day.seconds
        await asyncio.sleep(max(0.0, ends_s - ASK_WITHIN_S - self._clock.now()))
        while True:
            answers = await ask(url)
            if all(each.said for each in answers) or self._clock.now() >= ends_s:
                return answers
            await asyncio.sleep(ASK_AGAIN_S)

    async def _show(self, console: Console) -> None:
        """Redraw, or tell, until cancelled."""
        if not console.is_terminal:
            while True:
                await asyncio.sleep(PLAIN_EVERY_S)
                for record in self._records:
                    _say(console, view.line(record, self._day, self._clock.now()))
        with Live(console=console, auto_refresh=False, transient=True) as screen:
            while True:
                now = self._clock.now()
                shown = view.live(self._records, self._day, self._terms, now)
                screen.update(shown, refresh=True)
                await asyncio.sleep(REDRAW_S)


def things_to_try(one: Side, autoscaler_url: str, ledger: Path) -> list[str]:
    """Commands that show something, while it is up."""
    return [
        f"curl -s {autoscaler_url} | grep decision_figure",
        f"curl -s {autoscaler_url.removesuffix('/metrics')}/decisions",
        f"curl -s {one.fleet_url}/v1/fleet",
        f".venv/bin/loadstar explain {MODEL} --ledger {ledger}",
    ]


def _say(console: Console, text: str) -> None:
    console.print(text, soft_wrap=True, markup=False, highlight=False)
