"""Drives one pool: look, learn, choose, ask, learn again. The only caller of a provider's pool API.

One driver a pool and one step a tick, so that at most one operation of ours is ever in flight. What
is decided is in ``choose`` and ``learn``; here is only the order.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from typing import Protocol

from autoscaler.actuate.cordons import Cordons
from autoscaler.actuate.gate import Call, Gate
from autoscaler.actuate.nodepool.choose import choose
from autoscaler.actuate.nodepool.learn import Patience, answered, look, unread
from autoscaler.actuate.nodepool.reading import Reading
from autoscaler.actuate.nodepool.shape import Shape
from autoscaler.actuate.nodepool.state import (
    STUCK,
    Accepted,
    Happened,
    Outcome,
    PoolState,
    Release,
    SetFloor,
    SetSize,
    Stay,
    Step,
    What,
    Why,
    Write,
)
from autoscaler.errors import Denied, ProviderError, Throttled, Unavailable
from autoscaler.policy.pools import PoolPolicy


class PoolApi(Protocol):
    """One node pool at its provider. Both raise ProviderError."""

    async def read(self, operation: str) -> Reading:
        """The pool as it is, and how ``operation`` fares where one is named."""
        ...

    async def write(self, write: Write) -> Accepted:
        """Ask for ``write``; accepted is not done."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Tick:
    """What one look came to; ``reading`` is None where the provider is not to be read yet."""

    step: Step
    reading: Reading | None
    happened: tuple[Happened, ...] = ()
    call: Call | None = None
    refusal: str = ""


class PoolDriver:
    """Keeps one pool's state between ticks."""

    def __init__(
        self,
        policy: PoolPolicy,
        api: PoolApi,
        gate: Gate,
        *,
        rng: random.Random,
        patience: Patience | None = None,
        cordons: Cordons | None = None,
        known: PoolState | None = None,
    ) -> None:
        """Without ``cordons``, a node that is empty is released at once.

        ``known`` is what an earlier driver of the same pool knew at its end.
        """
        self.policy = policy
        self.state = PoolState() if known is None else known.again()
        self._api = api
        self._gate = gate
        self._rng = rng
        self._patience = patience or Patience()
        self._cordons = cordons

    async def tick(self, units: int, now_s: float) -> Tick:
        """One step towards ``units``.

        Raises ProviderError or ApiError where something cannot be read or cordoned, and NotWritten
        where the gate keeps a write back; the next tick looks again.
        """
        if now_s < self.state.look_at_s:
            return Tick(step=Stay(Why.BACKING_OFF), reading=None)
        try:
            reading = await self._api.read(self.state.operation)
        except (Throttled, Denied) as error:
            self.state = unread(self.state, error, now_s=now_s, rng=self._rng)
            if isinstance(error, Throttled):
                raise
            denied = Happened(What.DENIED, str(error))
            return Tick(step=Stay(Why.BACKING_OFF), reading=None, happened=(denied,))
        shape = Shape.of(self.policy, len(reading.zones))
        self.state, happened = look(
            self.state, reading, shape=shape, patience=self._patience, now_s=now_s
        )
        step = choose(self.state, reading, units, shape=shape, mode=self.policy.mode, now_s=now_s)
        if self._cordons is not None:
            going = [each.name for each in step.instances] if isinstance(step, Release) else []
            await self._cordons.keep_only(going)
            if not await self._cordons.ready(going):
                step = Stay(Why.DRAINING)  # the next look tells whether they stayed empty
        if isinstance(step, Stay):
            return Tick(step=step, reading=reading, happened=happened)
        call = _call(self.policy, step)
        refusal = ""
        outcome: Outcome
        try:
            async with self._gate.writing(call):
                outcome = await self._api.write(step)
        except TimeoutError:
            outcome = Unavailable(f"{call.method}: no answer in time")
            refusal = str(outcome)
        except ProviderError as error:
            outcome, refusal = error, f"{type(error).__name__}: {error}"
        self.state, more = answered(
            self.state,
            step,
            outcome,
            reading=reading,
            shape=shape,
            now_s=now_s,
            rng=self._rng,
        )
        return Tick(
            step=step, reading=reading, happened=(*happened, *more), call=call, refusal=refusal
        )

    def is_stuck(self, done: Tick) -> bool:
        """Whether nothing moves, and no operation of ours is what is waited for."""
        if isinstance(done.step, Stay) and done.step.why in STUCK:
            return not self.state.ours
        return bool(done.refusal)

    def quota_units(self, now_s: float) -> int | None:
        """The bound in units that a refusal taught."""
        nodes = self.state.quota(now_s)
        return None if nodes is None else nodes // self.policy.nodes_per_unit

    def stocked_out(self, now_s: float) -> bool:
        return self.state.circuit.is_open(now_s)


def _call(policy: PoolPolicy, write: Write) -> Call:
    target = policy.node_pool or policy.name
    match write:
        case SetSize(per_zone):
            return Call(
                api=policy.provider, method="setSize", target=target, body={"nodeCount": per_zone}
            )
        case SetFloor(autoscaling):
            floor: dict[str, object] = {
                "totalMinNodeCount": autoscaling.total_min,
                "minNodeCount": autoscaling.zone_min,
            }
            return Call(api=policy.provider, method="setAutoscaling", target=target, body=floor)
        case Release(instances):
            names: dict[str, object] = {"instances": [instance.name for instance in instances]}
            return Call(api=policy.provider, method="deleteInstances", target=target, body=names)
