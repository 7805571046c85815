"""A model of which too few replicas report is held, and says so; with enough it goes on."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from autoscaler.controllers.reported import WhereEnoughReport
from autoscaler.observe.cluster import Cluster, PodView
from autoscaler.observe.feed_demand import FeedDemand
from autoscaler.observe.observation import Demand
from autoscaler.policy.model import ModelPolicy
from autoscaler.sizing.decision import Reason
from loadstar.signals.model import EndpointLoad, Snapshot
from tests.autoscaler.controllers.test_loop import POLICY, Bench, Scripted

REPLICAS = 5
LEAST = "safety: {minReporting: 0.6}\n"


class Spoken:
    """The demand that the test says, whoever reports."""

    def __init__(self, script: Scripted) -> None:
        self._script = script

    def demand(self, model: ModelPolicy, now_s: float) -> Demand:
        return Scripted.demand(self._script, model, now_s)


class Fleet(Scripted):
    """``Scripted``, behind five pods of which some report."""

    def __init__(self, bench: Bench) -> None:
        super().__init__()
        self.ready = REPLICAS
        self._clock = bench.clock
        self.feed = FeedDemand()
        self.demands = WhereEnoughReport(
            Spoken(self),
            feed=self.feed,
            cluster=lambda: Cluster(pods=tuple(self._pod(n) for n in range(REPLICAS))),
            policy=lambda: None if bench.force.current is None else bench.force.current.policy,
        )
        self.reporting = REPLICAS

    def demand(self, model: ModelPolicy, now_s: float) -> Demand:
        self.feed.heard(self._snapshot())
        return self.demands.demand(model, now_s)

    def _pod(self, number: int) -> PodView:
        return PodView(
            name=f"vllm-{number}",
            namespace="default",
            uid=f"uid-{number}",
            labels={},
            node="",
            phase="Running",
            ready=True,
            terminating=False,
            created_s=0.0,
            scheduled_s=None,
            ready_s=self._clock.wall() - 3_600.0,
            placing={},
            stays=False,
        )

    def _snapshot(self) -> Snapshot:
        now_s = self._clock.wall()
        endpoints = tuple(
            EndpointLoad(
                namespace="default",
                name=f"vllm-{number}",
                uid=f"uid-{number}",
                observed_at=now_s - (0.0 if number < self.reporting else 300.0),
            )
            for number in range(REPLICAS)
        )
        return Snapshot(publisher="a", started_at=0.0, observed_at=now_s, endpoints=endpoints)


class Scene:
    def __init__(self, folder: Path) -> None:
        self.bench = Bench(folder, policy=POLICY.format(most=40) + LEAST)
        self.bench.sees = self.fleet = Fleet(self.bench)
        self.bench.loop = self.bench.make()

    async def reason(self, ticks: int) -> Reason:
        await self.bench.run(ticks)
        return (await self.bench.decided())[-1].decision.reason

    async def total(self) -> int:
        return (await self.bench.decided())[-1].decision.total()


@pytest.fixture
async def scene(tmp_path: Path) -> AsyncIterator[Scene]:
    made = Scene(tmp_path)
    yield made
    await made.bench.loop.close()


async def test_below_the_policys_share_the_size_is_held_and_the_reason_told(
    scene: Scene, caplog: pytest.LogCaptureFixture
) -> None:
    assert await scene.reason(8) is not Reason.STALE
    before = await scene.total()
    scene.fleet.reporting = 2
    scene.bench.sees.rate = 0.5  # all is quiet: it would shrink
    assert await scene.reason(80) is Reason.STALE
    assert Reason.STALE.value == "StaleMetricsHold"
    assert await scene.total() == before
    warned = [each.message for each in caplog.records if each.levelname == "WARNING"]
    assert warned == ["2 of 5 replicas report, fewer than 60 %: held"]


async def test_at_the_policys_share_it_is_decided(scene: Scene) -> None:
    scene.fleet.reporting = 3
    assert await scene.reason(8) is not Reason.STALE


async def test_when_they_report_again_it_is_decided_again(scene: Scene) -> None:
    scene.fleet.reporting = 0
    assert await scene.reason(4) is Reason.STALE
    scene.fleet.reporting = REPLICAS
    assert await scene.reason(4) is not Reason.STALE


async def test_a_silent_fleet_is_not_asked_to_grow_either(scene: Scene) -> None:
    await scene.bench.run(8)
    before = await scene.total()
    scene.fleet.reporting = 1
    scene.bench.sees.rate = 400.0
    assert await scene.reason(8) is Reason.STALE
    assert await scene.total() == before
