"""The loop gets its past back while it runs, and goes on without it where it cannot."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import numpy as np
import pytest
from aiohttp import web

from autoscaler.controllers.recalling import AGAIN_S, Recalling
from autoscaler.observe.prometheus import Address, token_of_file
from autoscaler.replay import replay
from tests.autoscaler.controllers.test_loop import Bench
from tests.autoscaler.observe.test_recall import curves
from tests.fakes.prometheus import Curve, FakePrometheus, serving


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    made = Bench(tmp_path)
    yield made
    await made.loop.close()


def recalling(bench: Bench, url: str) -> Recalling:
    return Recalling(
        Address(url=url, token=token_of_file(""), timeout_s=20.0),
        force=bench.force,
        remembers=bench.loop,
        report=bench.report,
        clock=bench.clock,
    )


def of_the_last_day(now_s: float) -> dict[str, Curve]:
    """What a Prometheus has that came a day ago."""

    def since(curve: Curve) -> Curve:
        return lambda at_s: curve(at_s) if at_s >= now_s - 86_400 else None

    return {name: since(curve) for name, curve in curves().items()}


async def test_decisions_begin_at_once_and_know_the_past_when_it_comes(bench: Bench) -> None:
    """What the loop saw itself stays; the ledger begins a segment that replays alone."""
    async with serving(FakePrometheus(of_the_last_day(bench.clock.wall()))) as fake:
        task = recalling(bench, fake.url)
        await task.look()
        assert fake.asked == []  # no model has begun yet
        await bench.run(9)
        before = bench.loop.history("llama")
        assert before is not None
        own = before.rows[~np.isnan(before.rows[:, 0]), 0].tolist()

        await task.look()
        await task.look()
        probes = [each for each in fake.asked if each["query"].startswith("max(")]
        assert len(probes) == 1
        await bench.run(9)

    history = bench.loop.history("llama")
    assert history is not None
    assert len(history) > 24 * 60
    assert set(own) <= set(history.rows[-10:, 0].tolist())
    assert bench.value("loadstar_autoscaler_history_recalls") == {("llama", "filled"): 1.0}
    decided = await bench.decided()
    forecast = ["upper_work" in each.decision.inputs for each in decided]
    assert (forecast[0], all(forecast[9:])) == (False, True)
    await bench.loop.close()
    compared = list(replay(await bench.entries()))
    assert compared
    assert all(each.same for each in compared)


async def test_a_prometheus_that_is_not_well_is_asked_again_and_then_left(bench: Bench) -> None:
    fake = FakePrometheus(curves())
    fake.faults = [web.Response(status=503) for _ in range(20)]
    async with serving(fake):
        task = recalling(bench, fake.url)
        await bench.run(1)
        await task.look()
        await task.look()
        assert len(fake.asked) == 1
        for wait_s in (*AGAIN_S, 3600.0, 3600.0):
            bench.clock.advance(wait_s)
            await task.look()
    assert len(fake.asked) == 1 + len(AGAIN_S)
    outcomes = bench.value("loadstar_autoscaler_history_recalls")
    assert outcomes == {("llama", "failed"): 1.0 + len(AGAIN_S)}
    await bench.run(1)
    assert len(await bench.decided()) == 2


async def test_an_address_without_prometheus_is_told_once(bench: Bench) -> None:
    async with serving(FakePrometheus({})) as fake:
        task = recalling(bench, fake.url + "/nothing")
        await bench.run(1)
        for _ in range(3):
            await task.look()
            bench.clock.advance(3600.0)
    assert bench.value("loadstar_autoscaler_history_recalls") == {("llama", "failed"): 1.0}
