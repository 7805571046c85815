"""The live loop decides from what is known, keeps what it was told, and can be replayed."""

from __future__ import annotations

import asyncio
import random
from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import pytest

from autoscaler.actuate.gate import Call, Gate
from autoscaler.actuate.providers.catalog import Providers
from autoscaler.controllers.acting import Acting
from autoscaler.controllers.history_store import HistoryStore
from autoscaler.controllers.loop import KEEP_S, Loop
from autoscaler.controllers.policy_in_force import PolicyInForce
from autoscaler.controllers.report import Report
from autoscaler.errors import TooManyWrites
from autoscaler.ledger.entries import Decided, Entry, Start, Wrote
from autoscaler.ledger.files import read
from autoscaler.metrics import Metrics
from autoscaler.observe.lead_times import LeadTimes
from autoscaler.observe.observation import Demand, PoolSupply
from autoscaler.policy.model import Mode, ModelPolicy
from autoscaler.policy.pools import PoolPolicy
from autoscaler.publish import Wishes, publishing
from autoscaler.replay import replay
from autoscaler.sizing.decision import Reason
from loadstar.feed.subscribe import Subscription
from loadstar.feed.trust import Trust
from loadstar.signals.model import Snapshot
from tests.fakes.clock import ManualClock
from tests.grpc_fixtures import grpc_is_gone, grpc_may_lock

__all__ = ["grpc_is_gone", "grpc_may_lock"]

POLICY = """\
mode: active
models:
- name: llama
  maxReplicas: {most}
  variants:
  - pool: gpu
    target: {{name: vllm}}
pools:
- name: gpu
  maxUnits: 40
"""

SHARED = """\
mode: active
models:
- {name: chat}
- {name: batch, class: batch}
pools:
- name: gpu
  maxUnits: 6
"""


class Scripted:
    """Sees what the test says."""

    def __init__(self) -> None:
        self.rate: float | None = 40.0
        self.ready: int | None = 3
        self.broken = False

    def demand(self, model: ModelPolicy, now_s: float) -> Demand:
        if self.broken:
            raise RuntimeError("out of order")
        known = self.rate is not None
        return Demand(
            window_s=15.0,
            arrivals_rps=self.rate,
            input_tokens=800.0 if known else None,
            output_tokens=200.0 if known else None,
            queued_requests=0.0,
        )

    async def supply(
        self, model: ModelPolicy, pools: tuple[PoolPolicy, ...]
    ) -> Mapping[str, PoolSupply] | None:
        if self.ready is None:
            return None
        return {"gpu": PoolSupply(replicas_ready=self.ready, units_ready=self.ready)}


class Bench:
    def __init__(self, folder: Path, *, policy: str = POLICY.format(most=40)) -> None:
        self.clock = ManualClock(now=100.0)
        self.sees = Scripted()
        self.force = PolicyInForce(self.clock.wall)
        self.force.offer(policy, "test")
        self.metrics = Metrics()
        self.report = Report(self.metrics, None)
        self.acting = Acting(
            gate=Gate(mode=lambda: self.force.mode, leads=lambda _seconds: True),
            providers=Providers(),
            kube=None,
            report=self.report,
            clock=self.clock,
            rng=random.Random(1),
            empty_nodes=lambda _pool: frozenset(),
        )
        self.folder = folder
        self.loop = self.make()

    def make(self) -> Loop:
        """A loop as a new process would have it."""
        store = HistoryStore(self.folder / "state")
        return Loop(
            force=self.force,
            sees=self.sees,
            acting=self.acting,
            report=self.report,
            store=store,
            lead_times=LeadTimes(),
            ledger=self.folder / "ledger",
            clock=self.clock,
            leads=lambda: True,
        )

    async def run(self, ticks: int) -> None:
        for _ in range(ticks):
            await self.loop.tick()
            self.clock.advance(15.0)

    async def entries(self) -> list[Entry]:
        return await asyncio.to_thread(lambda: list(read(self.folder / "ledger")))

    async def decided(self) -> list[Decided]:
        return [each for each in await self.entries() if isinstance(each, Decided)]

    def value(self, name: str) -> dict[tuple[str, ...], float]:
        """The series of one metric, by label values."""
        for metric in self.metrics.collect():
            if metric.name == name:
                return {
                    tuple(sample.labels.values()): sample.value
                    for sample in metric.samples
                    if not sample.name.endswith("_created")
                }
        raise KeyError(name)


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    made = Bench(tmp_path)
    yield made
    await made.loop.close()


async def test_what_is_decided_is_wanted_told_and_recorded(bench: Bench) -> None:
    await bench.run(8)
    last = (await bench.decided())[-1].decision
    (target,) = bench.acting.targets.items()
    assert bench.acting.units == {"gpu": last.replicas["gpu"]}
    assert (target[0].target.name, target[1]) == ("vllm", last.replicas["gpu"])
    desired = bench.value("loadstar_autoscaler_desired_replicas")
    assert desired == {("llama", "gpu"): float(last.replicas["gpu"])}
    assert sum(bench.value("loadstar_autoscaler_decisions").values()) == 8.0


async def test_the_live_ledger_replays_bit_for_bit_across_reloads_and_restarts(
    bench: Bench,
) -> None:
    await bench.run(30)
    assert bench.force.offer(POLICY.format(most=9), "test")
    bench.sees.rate = 90.0
    await bench.run(30)
    await bench.loop.close()
    bench.loop = bench.make()
    await bench.run(30)
    again = list(replay(await bench.entries()))
    assert len(again) == 90
    assert [one.recorded for one in again if not one.same] == []
    assert max(one.again.total() for one in again[30:]) <= 9


async def test_models_that_share_a_pool_decide_together_and_replay_so(tmp_path: Path) -> None:
    bench = Bench(tmp_path, policy=SHARED)
    bench.sees.rate = 200.0
    await bench.run(20)
    await bench.loop.close()
    again = list(replay(await bench.entries()))
    assert len(again) == 40
    assert all(one.same for one in again)
    last = (await bench.decided())[-2:]
    assert sum(each.decision.total() for each in last) <= 6
    assert bench.acting.units["gpu"] <= 6
    alone = list(replay(await bench.entries(), "batch"))
    assert {one.recorded.seen.model for one in alone} == {"batch"}
    assert all(one.same for one in alone)


async def test_what_is_wanted_is_heard_over_tls(bench: Bench) -> None:
    wishes = Wishes(bench.clock)
    bench.loop._told = wishes.set
    await bench.run(4)
    heard: list[Snapshot] = []
    got = asyncio.Event()

    def hear(snapshot: Snapshot) -> None:
        heard.append(snapshot)
        got.set()

    served = publishing(wishes, bench.clock, host="127.0.0.1", port=0, cert_dir="", token_file="")
    async with served as port, asyncio.TaskGroup() as tasks:
        subscription = Subscription(
            [f"127.0.0.1:{port}"],
            trust=Trust(insecure_skip_verify=True),
            name="test",
            heard=hear,
            rng=random.Random(1),
        )
        task = tasks.create_task(subscription.run())
        async with asyncio.timeout(10):
            await got.wait()
        task.cancel()
    (wish,) = heard[0].desired
    last = (await bench.decided())[-1].decision
    assert (wish.kind, wish.name, wish.model) == ("Deployment", "vllm", "llama")
    assert (wish.replicas, wish.reason) == (float(last.total()), last.reason.value)


async def test_a_policy_that_is_wrong_changes_nothing_and_says_where(bench: Bench) -> None:
    await bench.run(2)
    assert not bench.force.offer("models: [{name: a}]\npolls: []\n", "test")
    await bench.run(2)
    assert bench.force.problem is not None
    assert "polls: unknown key, did you mean pools?" in str(bench.force.problem)
    assert len(await bench.decided()) == 4
    assert bench.value("loadstar_autoscaler_policy_refused") == {(): 1.0}
    assert bench.value("loadstar_autoscaler_policy_reloads") == {
        ("taken",): 1.0,
        ("refused",): 1.0,
    }


async def test_nothing_is_decided_while_supply_is_not_known(bench: Bench) -> None:
    bench.sees.ready = None
    await bench.run(4)
    assert await bench.decided() == []
    assert bench.acting.targets == {}


async def test_demand_that_is_not_known_holds_and_shows_no_zero(bench: Bench) -> None:
    await bench.run(8)
    before = (await bench.decided())[-1].decision.total()
    bench.sees.rate = None
    await bench.run(20)
    after = (await bench.decided())[-1].decision
    assert after.reason is Reason.STALE
    assert after.total() >= before
    assert bench.value("loadstar_autoscaler_demand_requests_per_second") == {}


async def test_one_models_failure_is_counted_and_the_loop_goes_on(bench: Bench) -> None:
    bench.sees.broken = True
    await bench.run(2)
    bench.sees.broken = False
    await bench.run(2)
    assert len(await bench.decided()) == 2
    assert bench.value("loadstar_autoscaler_errors") == {("model llama",): 2.0}


async def test_the_kill_switch_stops_what_is_acted_on_and_not_what_is_seen(bench: Bench) -> None:
    killed = POLICY.format(most=40) + "safety: {killSwitch: true}\n"
    bench.force.offer(killed, "test")
    await bench.run(3)
    assert bench.force.mode is Mode.OFF
    assert bench.acting.targets == {}
    assert [each.mode for each in (await bench.decided())] == ["off"] * 3


async def test_what_was_wanted_before_the_kill_switch_is_gone_when_it_ends(bench: Bench) -> None:
    """Else the first write after a night under it would be the size of the evening before."""
    await bench.run(2)
    assert bench.acting.units["gpu"] > 0
    bench.force.offer(POLICY.format(most=40) + "safety: {killSwitch: true}\n", "test")
    await bench.run(1)
    assert (bench.acting.units, bench.acting.targets) == ({}, {})
    bench.force.offer(POLICY.format(most=40), "test")
    assert bench.acting.units == {}  # until it has been decided anew
    await bench.run(1)
    assert bench.acting.units["gpu"] > 0


async def test_a_pool_without_capacity_is_heeded_in_the_next_decision(bench: Bench) -> None:
    now_s = bench.clock.now()
    bench.acting.circuits.note("gpu", is_open=True, quota_units=5, now_s=now_s)
    await bench.run(1)
    seen = (await bench.decided())[0].seen.supply["gpu"]
    assert (seen.stockout, seen.quota_units) == (True, 5)


async def test_histories_are_kept_every_few_minutes_and_found_again(bench: Bench) -> None:
    await bench.run(int(KEEP_S / 15.0) + 8)
    kept = await asyncio.to_thread(HistoryStore(bench.folder / "state").history, "llama")
    assert len(kept) >= 4
    starts = [each for each in await bench.entries() if isinstance(each, Start)]
    assert len(starts) == 1


def test_a_history_that_cannot_be_read_is_set_aside(tmp_path: Path) -> None:
    store = HistoryStore(tmp_path)
    store.keep({"a/../b": {"version": 1}}, LeadTimes())
    (path,) = [each for each in tmp_path.iterdir() if "history" in each.name]
    assert len(store.history("a/../b")) == 0
    assert not path.exists()
    assert [each.name for each in tmp_path.iterdir() if each.name.endswith(".unread")]


async def test_more_writes_an_hour_than_the_policy_allows_wait() -> None:
    clock = ManualClock(now=1.0)
    sent: list[Call] = []
    gate = Gate(
        mode=lambda: Mode.ACTIVE,
        leads=lambda _seconds: True,
        per_hour=lambda: 3,
        now=clock.now,
        sent=sent.append,
    )
    call = Call(api="gke", method="setSize", target="gpu")
    for _ in range(3):
        gate.check(call)
    with pytest.raises(TooManyWrites):
        gate.check(call)
    clock.advance(3_600.0)
    gate.check(call)
    assert len(sent) == 4


async def test_what_was_written_is_in_the_ledger(bench: Bench) -> None:
    call = Call(api="gke", method="setSize", target="gpu", body={"nodeCount": 4})
    await bench.run(1)
    bench.report.wrote(call, bench.clock.wall(), pool="gpu", outcome="sent")
    await bench.run(1)
    wrote = [each for each in await bench.entries() if isinstance(each, Wrote)]
    assert [(each.method, each.body, each.outcome) for each in wrote] == [
        ("setSize", {"nodeCount": 4}, "sent")
    ]
