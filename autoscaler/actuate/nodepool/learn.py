"""What a look at a pool, or the answer to a request, teaches: the state after it. Pure.

Tells apart what we did, what somebody else did, and what the provider could not do. Called by the
driver before and after each step.
"""

from __future__ import annotations

import random
from dataclasses import dataclass, replace

from autoscaler.actuate.nodepool.delivery import DELIVERY_S, delivery_s
from autoscaler.actuate.nodepool.reading import Reading
from autoscaler.actuate.nodepool.shape import Shape
from autoscaler.actuate.nodepool.state import (
    Accepted,
    Happened,
    Outcome,
    PoolState,
    Release,
    SetFloor,
    SetSize,
    What,
    Write,
)
from autoscaler.actuate.refusals import of_message
from autoscaler.errors import (
    Busy,
    Denied,
    Gone,
    Invalid,
    Moved,
    OutOfCapacity,
    OutOfQuota,
    Throttled,
)
from autoscaler.policy.pools import PoolPolicy

FIRST_RETRY_S = 5.0
LONGEST_RETRY_S = 300.0
LONGEST_RETRY_AFTER_S = 3_600.0
"""A provider that asks for more has made a mistake, and would be waited for as long as it lasts."""
DENIED_RETRY_S = 600.0
"""Somebody must grant something first; asking sooner only fills their audit log."""
GONE_RETRY_S = 60.0
QUOTA_BELIEVED_S = 1_800.0
REFUSED_FOR_S = 1_800.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """How long to wait before drawing a conclusion."""

    stockout_s: float = 60.0
    """Errors of one attempt pass; those that last mean that there is none."""
    delivery_s: float = DELIVERY_S
    """What has not come by then does not come."""
    override_s: float = 900.0
    """How long a size that somebody else set is left alone."""

    @classmethod
    def of(cls, pool: PoolPolicy, override_s: float) -> Patience:
        """With ``pool``, of which its policy may say that it takes its time."""
        return cls(delivery_s=delivery_s(pool), override_s=override_s)


def look(
    state: PoolState, reading: Reading, *, shape: Shape, patience: Patience, now_s: float
) -> tuple[PoolState, tuple[Happened, ...]]:
    """The state after ``reading``, and what is worth telling."""
    state = replace(state, unread=0)
    if reading.gone:
        told = () if state.ordered_nodes is None else (Happened(What.GONE, "the pool is gone"),)
        return replace(state, ordered_nodes=None, operation="", ready_seen=None), told
    happened: list[Happened] = []
    state = _operation(state, reading, now_s, happened)
    state = _hands(state, reading, shape, patience, now_s, happened)
    state = _supply(state, reading, patience, now_s, happened)
    return replace(state, ready_seen=reading.ready_nodes), tuple(happened)


def _operation(
    state: PoolState, reading: Reading, now_s: float, happened: list[Happened]
) -> PoolState:
    operation = reading.operation
    if not state.operation or operation is None or operation.name != state.operation:
        return state
    if not operation.done:
        return state
    ours = state.ours
    state = replace(state, operation="", ours=False)
    if not (ours and operation.error):
        # A stranger's operation is no order of ours: the delivery clock starts with our own.
        return replace(state, failures=0, unsure=state.unsure or not ours)
    happened.append(Happened(What.FAILED, operation.error))
    state = replace(state, unsure=True)
    return _refused(state, of_message(operation.error), reading, now_s, happened)


def _hands(
    state: PoolState,
    reading: Reading,
    shape: Shape,
    patience: Patience,
    now_s: float,
    happened: list[Happened],
) -> PoolState:
    """Whether a target or floor is there that we did not set."""
    if state.operation or not reading.settled:  # an upgrade has nodes to spare for a while
        return state
    floor = reading.autoscaling.floor_nodes(shape.zones)
    target = reading.target_nodes
    known = state.ordered_nodes is not None and not state.unsure
    if known:
        text = ""
        if reading.autoscaling.enabled:
            if state.ordered_floor is not None and floor != state.ordered_floor:
                text = f"autoscaling minimum {floor} nodes, not the {state.ordered_floor} set here"
        elif target != state.ordered_nodes:
            text = f"target {target} nodes, not the {state.ordered_nodes} set here"
        if text:
            happened.append(Happened(What.OVERRIDE, text))
            state = replace(state, held_until_s=now_s + patience.override_s)
    return replace(
        state,
        ordered_nodes=target,
        ordered_floor=floor if reading.autoscaling.enabled else None,
        unsure=False,
    )


def _supply(
    state: PoolState,
    reading: Reading,
    patience: Patience,
    now_s: float,
    happened: list[Happened],
) -> PoolState:
    ready, target = reading.ready_nodes, reading.target_nodes
    short = ready < target
    seen = state.ready_seen
    still = reading.settled and not state.operation
    if seen is not None and ready < seen and still and target >= seen:
        happened.append(
            Happened(What.PREEMPTED, f"{seen - ready} of {seen} nodes went by themselves")
        )
    if seen is not None and ready > seen and state.circuit.is_open(now_s):
        happened.append(Happened(What.LATE, f"{ready - seen} nodes came after they were given up"))
    if reading.no_quota and short:
        state = _quota(state, reading, now_s, happened)
    trouble = "no capacity" if reading.no_capacity else reading.trouble
    if not (trouble and short):
        state = replace(state, trouble_since_s=None)
    elif state.trouble_since_s is None:
        state = replace(state, trouble_since_s=now_s)
    elif now_s - state.trouble_since_s >= patience.stockout_s:
        state = _stockout(state, f"{trouble} for {target - ready} of {target}", now_s, happened)
    if not short:
        return replace(state, waiting_since_s=None)
    since_s = now_s if state.waiting_since_s is None else state.waiting_since_s
    if state.operation or now_s - since_s <= patience.delivery_s:
        return replace(state, waiting_since_s=since_s)
    late = f"{target - ready} of {target} nodes overdue after {patience.delivery_s:.0f} s"
    state = _stockout(state, late, now_s, happened)
    return replace(state, overdue=True, waiting_since_s=now_s)


def answered(
    state: PoolState,
    write: Write,
    outcome: Outcome,
    *,
    reading: Reading,
    shape: Shape,
    now_s: float,
    rng: random.Random,
) -> tuple[PoolState, tuple[Happened, ...]]:
    """The state after ``write`` was asked for and ``outcome`` came back."""
    happened: list[Happened] = []
    if not isinstance(outcome, Accepted):
        if isinstance(outcome, Invalid):
            state = replace(state, refused=write, refused_until_s=now_s + REFUSED_FOR_S)
        return _refused(state, outcome, reading, now_s, happened, rng), tuple(happened)
    state = replace(state, operation=outcome.operation, ours=True, refused=None)
    if isinstance(write, SetSize):
        grows = write.per_zone * shape.zones > reading.target_nodes
        state = replace(
            state,
            ordered_nodes=write.per_zone * shape.zones,
            waiting_since_s=now_s if grows else state.waiting_since_s,
            overdue=False,
        )
    elif isinstance(write, Release):
        state = replace(state, ordered_nodes=reading.target_nodes - len(write.instances))
    elif isinstance(write, SetFloor):
        state = replace(state, ordered_floor=write.autoscaling.floor_nodes(shape.zones))
    return state, ()


def _refused(
    state: PoolState,
    error: Exception,
    reading: Reading,
    now_s: float,
    happened: list[Happened],
    rng: random.Random | None = None,
) -> PoolState:
    match error:
        case Busy(operation=blocker):
            happened.append(Happened(What.CONFLICT, str(error)))
            if blocker:
                return replace(state, operation=blocker, ours=False)
            return _later(state, now_s, rng)
        case Throttled(after_s=after_s) if after_s is not None:
            wait_s = min(after_s, LONGEST_RETRY_AFTER_S)
            return replace(state, retry_at_s=now_s + wait_s, failures=state.failures + 1)
        case OutOfQuota():
            return _quota(state, reading, now_s, happened)
        case OutOfCapacity():
            return _stockout(state, str(error), now_s, happened)
        case Denied():
            happened.append(Happened(What.DENIED, str(error)))
            return replace(state, retry_at_s=now_s + DENIED_RETRY_S)
        case Gone():
            happened.append(Happened(What.GONE, str(error)))
            return replace(state, retry_at_s=now_s + GONE_RETRY_S)
        case Moved():
            return replace(_later(state, now_s, rng), unsure=True)
        case Invalid():
            happened.append(Happened(What.REFUSED, str(error)))
            return state
        case _:
            return replace(_later(state, now_s, rng), unsure=True)


def unread(
    state: PoolState, error: Throttled | Denied, *, now_s: float, rng: random.Random
) -> PoolState:
    """The state after a look that was refused; the next one waits as a write would."""
    if isinstance(error, Denied):
        wait_s = DENIED_RETRY_S
    elif error.after_s is None:
        wait_s = _wait_s(state.unread, rng)
    else:
        wait_s = min(error.after_s, LONGEST_RETRY_AFTER_S)
    return replace(state, unread=state.unread + 1, look_at_s=now_s + wait_s)


def _later(state: PoolState, now_s: float, rng: random.Random | None) -> PoolState:
    retry_at_s = now_s + _wait_s(state.failures, rng)
    return replace(state, retry_at_s=retry_at_s, failures=state.failures + 1)


def _wait_s(failures: int, rng: random.Random | None) -> float:
    full: float = min(FIRST_RETRY_S * 2 ** min(failures, 10), LONGEST_RETRY_S)
    return full if rng is None else full * (0.5 + 0.5 * rng.random())


def _quota(state: PoolState, reading: Reading, now_s: float, happened: list[Happened]) -> PoolState:
    if state.quota(now_s) is None:
        text = f"no quota for more than the {reading.coming_nodes} nodes that are there"
        happened.append(Happened(What.QUOTA, text))
    return replace(state, quota_nodes=reading.coming_nodes, quota_until_s=now_s + QUOTA_BELIEVED_S)


def _stockout(state: PoolState, text: str, now_s: float, happened: list[Happened]) -> PoolState:
    if not state.circuit.is_open(now_s):
        happened.append(Happened(What.STOCKOUT, text))
    return replace(state, circuit=state.circuit.failed(now_s), trouble_since_s=None)
