"""The end: who asked decides what is waited for, and every wait has an end."""

from __future__ import annotations

import asyncio
import signal

import pytest

from gateway.extproc.streams import Streams
from gateway.serving.drain import StopSignals, drained


class LoopClock:
    """The running loop's time, which is virtual here."""

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def wall(self) -> float:
        return self.now()


def signalled(*numbers: signal.Signals) -> StopSignals:
    signals = StopSignals()
    for number in numbers:
        signals.received(number)
    return signals


async def drain(
    streams: Streams, signals: StopSignals, timeout: float = 30.0
) -> tuple[bool, float]:
    """Whether all streams ended, and after how long (to a tenth of a second)."""
    clock = LoopClock()
    began = clock.now()
    clean = await drained(streams, timeout, clock, signals)
    return clean, round(clock.now() - began, 1)


@pytest.mark.looptime
async def test_sigterm_waits_for_streams_to_stop_coming() -> None:
    assert await drain(Streams(LoopClock()), signalled(signal.SIGTERM)) == (True, 5.0)


@pytest.mark.looptime
async def test_sigint_does_not_wait_when_nothing_is_open() -> None:
    assert await drain(Streams(LoopClock()), signalled(signal.SIGINT)) == (True, 0.0)


@pytest.mark.looptime
@pytest.mark.parametrize(
    ("number", "seconds"),
    [
        pytest.param(signal.SIGTERM, 17.0, id="then as long as an orchestrator needs"),
        pytest.param(signal.SIGINT, 12.0, id="then goes at once"),
    ],
)
async def test_open_streams_are_waited_for(number: signal.Signals, seconds: float) -> None:
    streams = Streams(LoopClock())
    streams.opened()
    asyncio.get_running_loop().call_later(12.0, streams.closed)
    clean, took = await drain(streams, signalled(number))
    assert clean
    assert took == pytest.approx(seconds, abs=0.2)


@pytest.mark.looptime
async def test_traffic_that_still_comes_is_served_until_the_timeout() -> None:
    streams = Streams(LoopClock())

    async def traffic() -> None:
        while True:
            streams.opened()
            await asyncio.sleep(1)
            streams.closed()
            await asyncio.sleep(1)

    async with asyncio.TaskGroup() as tasks:
        coming = tasks.create_task(traffic())
        _, took = await drain(streams, signalled(signal.SIGTERM))
        coming.cancel()
    assert took == 30.0


@pytest.mark.looptime
async def test_a_stream_that_does_not_end_is_left_at_the_timeout() -> None:
    streams = Streams(LoopClock())
    streams.opened()
    assert await drain(streams, signalled(signal.SIGTERM)) == (False, 30.0)


@pytest.mark.looptime
async def test_a_second_signal_ends_the_wait() -> None:
    streams, signals = Streams(LoopClock()), signalled(signal.SIGTERM)
    streams.opened()
    asyncio.get_running_loop().call_later(2.0, signals.received, signal.SIGINT)
    clean, took = await drain(streams, signals)
    assert not clean
    assert took == pytest.approx(2.0, abs=0.1)


@pytest.mark.looptime
async def test_no_drain_timeout_means_no_wait() -> None:
    streams = Streams(LoopClock())
    streams.opened()
    assert await drain(streams, signalled(signal.SIGTERM), timeout=0.0) == (False, 0.0)
