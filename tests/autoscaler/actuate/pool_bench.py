"""A pool, its fake cloud and its driver on a clock that the test moves, for the tests of pools."""

from __future__ import annotations

import random
from collections.abc import Callable

from autoscaler.actuate.cordons import Cordons
from autoscaler.actuate.gate import Gate
from autoscaler.actuate.nodepool.driver import PoolDriver, Tick
from autoscaler.actuate.nodepool.learn import Patience
from autoscaler.actuate.nodepool.state import What
from autoscaler.actuate.providers.gke import Cluster, GkePool
from autoscaler.errors import NotWritten, ProviderError
from autoscaler.observe.cluster import node_view
from autoscaler.policy.model import Mode
from autoscaler.policy.pools import PoolKind, PoolMode, PoolPolicy
from tests.fakes.clock import ManualClock
from tests.fakes.gke.cloud import Cloud, Pool
from tests.fakes.gke.in_process import google
from tests.fakes.gke.routes import CLUSTER, LOCATION, PROJECT, Answer, Api
from tests.fakes.kube_documents import KubeDocuments

TICK_S = 15.0
MINUTE_S = 60.0
ONE_ZONE = ("us-central1-a",)
THREE_ZONES = ("us-central1-a", "us-central1-b", "us-central1-c")


def gpu(zones: tuple[str, ...] = ONE_ZONE, **other: object) -> Pool:
    return Pool("gpu", zones, **other)  # type: ignore[arg-type]  # a builder's keywords


class Answering:
    """Who answers now; Google's clients are made once, for making them reads files."""

    api: Api

    def answer(self, method: str, url: str, body: bytes = b"") -> Answer:
        return self.api.answer(method, url, body)


ANSWERING = Answering()
GOOGLE = google(ANSWERING)


class Bench:
    """``run`` lets the driver tick for so long towards ``units``."""

    def __init__(
        self,
        pool: Pool,
        *,
        size: int = 0,
        mode: PoolMode = PoolMode.SET_SIZE,
        max_units: int = 20,
        nodes_per_unit: int = 1,
        kind: PoolKind = PoolKind.GPU,
        operate: Mode = Mode.ACTIVE,
        patience: Patience | None = None,
        nodes: KubeDocuments | None = None,
    ) -> None:
        self.clock = ManualClock(now=0.0)
        self.cloud = Cloud(self.clock.now)
        self.pool = self.cloud.add(pool, size)
        self.api = Api(self.cloud)
        ANSWERING.api = self.api
        self.leads = True
        policy = PoolPolicy(
            name=pool.name,
            kind=kind,
            mode=mode,
            max_units=max_units,
            nodes_per_unit=nodes_per_unit,
            node_pool=pool.name,
        )
        self.gate = Gate(mode=lambda: operate, leads=lambda _seconds: self.leads)
        self._policy = policy
        self._patience = patience
        self._nodes = nodes
        self.driver = self._driver()
        self.told: list[What] = []
        self.last: Tick | None = None

    def restart(self) -> None:
        """Another process takes over: it knows what it can read."""
        self.driver = self._driver()

    def _driver(self) -> PoolDriver:
        nodes, name = self._nodes, self.pool.name
        return PoolDriver(
            self._policy,
            GkePool(
                GOOGLE,
                Cluster(project=PROJECT, location=LOCATION, name=CLUSTER),
                name,
                empty_nodes=lambda: self.api.empty_nodes(name),
            ),
            self.gate,
            rng=random.Random(1),
            patience=self._patience,
            cordons=None if nodes is None else Cordons(nodes, self.gate, self._cordoned),
        )

    def _cordoned(self) -> frozenset[str]:
        """As nodes are seen: those that bear our mark."""
        assert self._nodes is not None
        seen = [
            node_view(each) for (kind, *_), each in self._nodes.objects.items() if kind == "nodes"
        ]
        return frozenset(each.name for each in seen if each.cordoned_by_us)

    async def run(
        self, units: int, seconds: float, *, at: Callable[[float], None] = lambda _t: None
    ) -> Tick:
        """Tick for ``seconds``; ``at`` is called with the time before each."""
        end = self.clock.now() + seconds
        while self.clock.now() < end:
            at(self.clock.now())
            try:
                self.last = await self.driver.tick(units, self.clock.now())
                self.told += [each.what for each in self.last.happened]
            except (ProviderError, NotWritten):
                pass  # as in the live loop: the next tick looks again
            self.clock.advance(TICK_S)
        assert self.last is not None
        return self.last

    def writes(self) -> list[tuple[str, object, int]]:
        """Every mutating request so far: what, its figure, and the status it got."""
        found: list[tuple[str, object, int]] = []
        for call in self.cloud.calls:
            if call.method == "setSize":
                found.append((call.method, int(str(call.body.get("nodeCount", 0))), call.status))
            elif call.method == "setAutoscaling":
                found.append((call.method, call.body["autoscaling"], call.status))
            elif call.method == "deleteInstances":
                count = len(call.body["instances"])  # type: ignore[arg-type]  # a list of URLs
                found.append((call.method, count, call.status))
        return found

    def sizes(self) -> dict[str, tuple[int, int]]:
        """Zone -> (target, ready)."""
        self.cloud.settle()
        now = self.clock.now()
        return {
            zone: (group.target, sum(m.ready_at_s <= now for m in group.machines))
            for zone, group in self.pool.groups.items()
        }
