"""Everything the autoscaler is made of, each part after those that it needs, and all of its tasks.

Built by ``main``; reads no environment. What a part does is in the part.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from pathlib import Path

from autoscaler.actuate.gate import Gate
from autoscaler.actuate.providers.catalog import Providers
from autoscaler.actuate.providers.local import LocalFleet
from autoscaler.config import Flags
from autoscaler.controllers.acting import Acting
from autoscaler.controllers.history_store import HistoryStore
from autoscaler.controllers.hurried import HeardLately, at_pace, wake_in_time, window_s
from autoscaler.controllers.leading import Leading
from autoscaler.controllers.loop import Loop
from autoscaler.controllers.policy_in_force import PolicyInForce
from autoscaler.controllers.policy_source import PolicyConfigMap, PolicyFile
from autoscaler.controllers.recalling import Recalling
from autoscaler.controllers.report import Report
from autoscaler.controllers.reported import SaysDemand, WhereEnoughReport
from autoscaler.controllers.seeing import (
    ClusterSupply,
    FileDemand,
    HeardDemand,
    LocalSupply,
    Seeing,
)
from autoscaler.controllers.wanted import TargetKey
from autoscaler.from_flags import COMPONENT, election, prometheus, subscription
from autoscaler.metrics import Metrics
from autoscaler.observe.feed_demand import FeedDemand
from autoscaler.observe.replica_loads import Replica, by_pod, replicas
from autoscaler.policy.model import Mode, Policy
from autoscaler.publish import Wishes
from autoscaler.sizing.decision import Decision
from loadstar.clock import Clock
from loadstar.kube.client import KubeClient
from loadstar.kube.events import EventRecorder


class Parts:
    """Everything, built; ``run`` is all of its tasks."""

    def __init__(
        self,
        flags: Flags,
        clock: Clock,
        machine: Clock,
        rng: random.Random,
        kube: KubeClient | None,
        fleet: LocalFleet | None,
    ) -> None:
        """``machine`` is for what leaves the process; ``clock`` may be faster."""
        self._flags, self._clock, self._rng, self._kube = flags, clock, rng, kube
        self.metrics = Metrics()
        self.events = None if kube is None else EventRecorder(kube, clock, component=COMPONENT)
        self.report = Report(self.metrics, self.events)
        self.force = PolicyInForce(clock.wall)
        self._acted_on: int | None = None
        """The number of the policy that acting began with."""
        self.store = HistoryStore(Path(flags.state_dir) if flags.state_dir else None)
        lead_times = self.store.lead_times()
        self.leading = Leading()
        self.gate = Gate(
            mode=self._mode,
            leads=lambda seconds: self.leading.has(seconds, clock.now()),
            per_hour=self._writes_per_hour,
            now=clock.now,
            sent=lambda call: self.report.wrote(call, clock.wall(), outcome="sent"),
        )
        self._hurries = flags.clock_factor != 1.0
        self.feed = FeedDemand()
        heard: FileDemand | HeardDemand = HeardDemand(self.feed)
        if self._hurries:
            self.feed = FeedDemand(window_s=window_s(flags.clock_factor))
            heard = HeardLately(self.feed, machine)
        self.file = FileDemand(Path(flags.demand_file), stale_after_s=45.0)
        if not flags.signals:
            heard = self.file
        self.cluster: ClusterSupply | None = None
        if kube is not None:
            self.cluster = ClusterSupply(
                kube,
                clock=clock,
                rng=rng,
                lead_times=lead_times,
                policy=self._policy,
                namespace=flags.namespace,
            )
            supply: ClusterSupply | LocalSupply = self.cluster
        else:
            assert fleet is not None
            supply = LocalSupply(fleet)
        cluster = self.cluster
        says: SaysDemand = heard
        if cluster is not None and flags.signals:
            says = WhereEnoughReport(
                heard, feed=self.feed, cluster=cluster.cluster, policy=self._policy
            )
        self.acting = Acting(
            gate=self.gate,
            providers=Providers(project=flags.project, local=fleet),
            kube=kube,
            report=self.report,
            clock=clock,
            rng=rng,
            empty_nodes=(lambda _pool: frozenset()) if cluster is None else cluster.empty,
            cordoned_nodes=(lambda _pool: frozenset()) if cluster is None else cluster.cordoned,
            replicas=self._replicas if flags.signals else None,
        )
        self.wishes = Wishes(machine)
        self.loop = Loop(
            force=self.force,
            sees=Seeing(says, supply),
            acting=self.acting,
            report=self.report,
            store=self.store,
            lead_times=lead_times,
            ledger=Path(flags.ledger_dir) if flags.ledger_dir else None,
            clock=clock,
            leads=lambda: self.leading.has(0.0, clock.now()),
            told=self._wish,
        )

    def _mode(self) -> Mode:
        mode = self.force.mode
        return Mode.ADVISORY if self._flags.dry_run and mode is Mode.ACTIVE else mode

    def _policy(self) -> Policy | None:
        return None if self.force.current is None else self.force.current.policy

    def _writes_per_hour(self) -> int:
        policy = self._policy()
        return 0 if policy is None else policy.safety.operations_per_hour

    def why_not_ready(self) -> str:
        """For /readyz: what is not known yet; "" when decisions are made."""
        if self.force.current is None:
            return str(self.force.problem or "no policy yet")
        if self.cluster is not None and self.cluster.cluster() is None:
            return "pods and nodes are not known"
        return "" if self.loop.ticked_at_s is not None else "no decision yet"

    def decisions(self) -> object:
        """For /decisions: what is wanted, and what was kept back."""
        return {
            "units": self.acting.units,
            "targets": {"/".join(key.id): n for key, n in self.acting.targets.items()},
            "leads": self.leading.has(0.0, self._clock.now()),
            "keptBack": [
                {"method": call.method, "target": call.target, "body": dict(call.body), "why": why}
                for call, why in list(self.gate.kept_back)[-20:]
            ],
            "feed": {str(key): why for key, why in self._problems().items()},
        }

    def _wish(self, targets: Mapping[TargetKey, int], decisions: Mapping[str, Decision]) -> None:
        """Publish what is wanted, while we lead: an HPA must not follow two."""
        leads = self.leading.has(0.0, self._clock.now())
        self.wishes.set(targets if leads else {}, decisions)

    def _replicas(self, key: TargetKey) -> tuple[Replica, ...]:
        """The pods of a workload and how busy they are; none while that is not known."""
        found = None if self.cluster is None else self.cluster.cluster()
        if found is None:
            return ()
        now_s = self._clock.wall()
        return replicas(
            found,
            key.target.kind,
            key.target.name,
            key.id[1],
            by_pod(self.feed.loads(now_s)),
            now_s=now_s,
            stale_after_s=self.feed.stale_after_s,
        )

    def _problems(self) -> Mapping[object, str]:
        return {self._flags.demand_file: self.file.problem} if self.file.problem else {}

    async def run(self, stop: asyncio.Event) -> None:
        """Every task, until ``stop``. Raises ConfigError for a file that is no policy."""
        flags = self._flags
        source = await self._source()
        async with asyncio.TaskGroup() as tasks:
            group = [tasks.create_task(source.run(), name="policy")]
            if self.events is not None:
                group.append(tasks.create_task(self.events.run(), name="events"))
            if self.cluster is not None:
                group.append(tasks.create_task(self.cluster.run(), name="cluster"))
            if flags.demand_file:
                group.append(tasks.create_task(self.file.run(), name="demand"))
            if flags.signals:
                hears = subscription(flags, self.feed.heard, self._rng)
                group.append(tasks.create_task(hears.run(), name="signals"))
            group.append(tasks.create_task(self.loop.run(), name="loop"))
            if flags.prometheus_url:
                recalling = Recalling(
                    prometheus(flags),
                    force=self.force,
                    remembers=self.loop,
                    report=self.report,
                    clock=self._clock,
                )
                group.append(tasks.create_task(recalling.run(), name="history"))
            if self._hurries:
                hurry = wake_in_time(self.loop.wake, self._policy, flags.clock_factor)
                group.append(tasks.create_task(hurry, name="pace"))
            group.append(tasks.create_task(self._lead(), name="leader"))
            await stop.wait()
            for task in group:
                task.cancel()

    async def _source(self) -> PolicyFile | PolicyConfigMap:
        """Where the policy comes from; a file is read at once, a ConfigMap may yet come."""
        flags = self._flags
        if flags.policy_file:
            file = PolicyFile(Path(flags.policy_file), self.force, self.policy_changed)
            await file.start()
            return file
        assert self._kube is not None
        namespace, _, name = flags.config_map.partition("/")
        source: PolicyConfigMap = PolicyConfigMap(
            self._kube,
            namespace,
            name,
            self.force,
            lambda: self._told(source),
            clock=self._clock,
            rng=self._rng,
        )
        return source

    def _told(self, source: PolicyConfigMap) -> None:
        if self.force.problem is not None and source.about is not None:
            self.report.policy_refused(source.about, self.force.problem)
        self.policy_changed()

    def policy_changed(self) -> None:
        policy = self._policy()
        if policy is not None:
            stale_after_s = policy.safety.stale_after_s / self._flags.clock_factor
            self.feed.stale_after_s = self.file.stale_after_s = stale_after_s
        number = None if self.force.current is None else self.force.current.number
        if number != self._acted_on:  # a text that was refused, or told again, interrupts nothing
            self._acted_on = number
            self.leading.again()
        self.loop.wake()

    async def _lead(self) -> None:
        """Act while we lead; all the time where nobody is elected."""

        async def act() -> None:
            force = self.force.current
            if force is not None:
                await self.acting.run(at_pace(force.policy, self._flags.clock_factor))

        flags, kube = self._flags, self._kube
        if kube is None or not flags.leader_elect:
            await self.leading.alone(act)
            return
        elected = await election(flags, kube, self._clock, self._rng)
        await elected.run(lambda fence: self.leading.lead(fence, act))
