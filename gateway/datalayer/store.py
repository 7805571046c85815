"""The datastore: the one place where a pool's state changes.

Discovery tells it who is in the pool, the scraper what they report; everybody else reads
``state``. Synchronous and single-threaded: its owner is the event loop's thread.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from gateway.datalayer.discovered import NO_OBJECTIVES, Discovered, EndpointSpec
from gateway.datalayer.extract.load import EndpointLoad
from gateway.datalayer.membership import Membership
from gateway.datalayer.state import (
    MEASURED,
    NEVER,
    NO_LORA,
    Columns,
    Endpoint,
    PoolState,
    host_port,
    pool_state,
)
from gateway.request.model_rules import ModelRewrite
from loadstar.arrays import Floats

FIRST_CAPACITY = 64

Listener: TypeAlias = Callable[[Endpoint], None]


@dataclass(frozen=True, slots=True)
class Change:
    """How the pool differs from before. An endpoint that moved is removed and added."""

    added: tuple[Endpoint, ...] = ()
    removed: tuple[Endpoint, ...] = ()
    changed: tuple[Endpoint, ...] = ()
    """Same place, same slot, other labels or metrics port; as they are now."""

    def __bool__(self) -> bool:
        return bool(self.added or self.removed or self.changed)


class Datastore:
    """Membership, columns, objectives and rewrites of one pool.

    ``state`` may be kept for one decision; across an ``await`` it must be asked for again, as its
    columns may have been replaced by larger ones.
    """

    def __init__(self, capacity: int = FIRST_CAPACITY, columns: Columns | None = None) -> None:
        """``columns`` are where the rows live; by default ``capacity`` rows of this process's."""
        self._state = pool_state(0, (), Columns(capacity) if columns is None else columns)
        self._by_key: dict[tuple[str, str], Endpoint] = {}
        # Slots are handed out lowest first; one that was given up waits here for its last credit.
        self._given_up: list[tuple[int, int]] = []  # slot, and the epoch that no longer had it
        self._next_slot = 0
        self._joined: list[Listener] = []
        self._left: list[Listener] = []
        self._applied: list[Callable[[], None]] = []
        self._objectives: Mapping[str, int] = NO_OBJECTIVES
        self._rewrites: tuple[ModelRewrite, ...] = ()
        self._synced = False
        self._missing = ""

    @property
    def state(self) -> PoolState:
        """Who is in the pool now, over the live columns."""
        return self._state

    @property
    def columns(self) -> Columns:
        """The live columns; ask anew each time."""
        return self._state.columns

    @property
    def synced(self) -> bool:
        """Whether a discovery has said once who is in the pool, were it nobody."""
        return self._synced

    @property
    def missing(self) -> str:
        """Why there is no pool, as the discovery says; empty where there is one."""
        return self._missing

    @property
    def objectives(self) -> Mapping[str, int]:
        """Objective name -> priority."""
        return self._objectives

    @property
    def rewrites(self) -> tuple[ModelRewrite, ...]:
        """Model rewrites, in the order of precedence."""
        return self._rewrites

    def endpoint(self, namespace: str, name: str) -> Endpoint | None:
        """The endpoint of that name as it now is."""
        return self._by_key.get((namespace, name))

    def on_joined(self, listener: Listener) -> Callable[[], None]:
        """``listener`` hears of every endpoint that comes, after the state has changed.

        What is returned ends that; so too for ``on_left``.
        """
        self._joined.append(listener)
        return lambda: self._joined.remove(listener)

    def on_left(self, listener: Listener) -> Callable[[], None]:
        """``listener`` hears of every endpoint that goes, after the state has changed.

        Its slot is given to no other before its credits have come back.
        """
        self._left.append(listener)
        return lambda: self._left.remove(listener)

    def on_applied(self, listener: Callable[[], None]) -> None:
        """``listener`` hears whenever ``apply`` has taken something over."""
        self._applied.append(listener)

    @property
    def membership(self) -> Membership:
        """All that ``adopt`` needs to make another store decide as this one does."""
        return Membership(
            epoch=self._state.epoch,
            capacity=self._state.columns.capacity,
            endpoints=self._state.endpoints,
            objectives=self._objectives,
            rewrites=self._rewrites,
            missing=self._missing,
            given_up=tuple(self._given_up),
            next_slot=self._next_slot,
        )

    def adopt(self, membership: Membership) -> None:
        """Become a copy of the store that ``membership`` is of, and tell the listeners."""
        columns = self._state.columns
        if membership.capacity > columns.capacity:
            columns = columns.grown(membership.capacity)
        before = {_seat(endpoint): endpoint for endpoint in self._state.endpoints}
        after = {_seat(endpoint): endpoint for endpoint in membership.endpoints}
        come = tuple(endpoint for seat, endpoint in after.items() if seat not in before)
        gone = tuple(endpoint for seat, endpoint in before.items() if seat not in after)
        self._by_key = {(e.namespace, e.name): e for e in membership.endpoints}
        self._given_up, self._next_slot = list(membership.given_up), membership.next_slot
        self._objectives, self._rewrites = membership.objectives, membership.rewrites
        self._missing = membership.missing
        self._synced = True
        self._state = pool_state(membership.epoch, membership.endpoints, columns)
        self._tell(Change(come, gone))

    def apply(self, discovered: Discovered) -> Change:
        """Take over everything a discovery knows. Raises ValueError as ``sync`` does."""
        change = self.sync(discovered.endpoints)
        self._objectives = discovered.objectives
        self._rewrites = discovered.rewrites
        self._missing = discovered.missing
        for listener in self._applied:
            listener()
        return change

    def sync(self, specs: Sequence[EndpointSpec]) -> Change:
        """Make the pool consist of ``specs``, in their order, and tell the listeners.

        Raises ValueError, and changes nothing, if two have the same name or the same destination.
        """
        _refuse_repeats("name", (spec.key for spec in specs))
        _refuse_repeats("destination", ((spec.address, spec.port) for spec in specs))
        wanted = {spec.key: spec for spec in specs}
        removed = tuple(
            endpoint
            for key, endpoint in self._by_key.items()
            if key not in wanted or not _same_place(endpoint, wanted[key])
        )
        for endpoint in removed:
            del self._by_key[endpoint.namespace, endpoint.name]
            self._given_up.append((endpoint.slot, self._state.epoch + 1))
        added: list[Endpoint] = []
        changed: list[Endpoint] = []
        members: dict[tuple[str, str], Endpoint] = {}
        for spec in specs:
            known = self._by_key.get(spec.key)
            if known is None:
                endpoint = spec.at(self._free_slot())
                added.append(endpoint)
            elif spec.describes(known):
                endpoint = known
            else:
                endpoint = spec.at(known.slot)
                changed.append(endpoint)
            members[spec.key] = endpoint
        change = Change(tuple(added), removed, tuple(changed))
        self._synced = True
        if change or list(members) != list(self._by_key):
            self._by_key = members
            self._state = pool_state(
                self._state.epoch + 1, tuple(members.values()), self._state.columns
            )
        self._tell(change)
        return change

    def observed(self, endpoint: Endpoint, load: EndpointLoad, now: float) -> bool:
        """``endpoint`` reported ``load``; what it does not say becomes unknown. True if it moved.

        A report of nothing makes the whole row unknown and never observed. One that comes for an
        endpoint that has left or moved in the meantime is dropped.
        """
        current = self._by_key.get((endpoint.namespace, endpoint.name))
        if current is None or not _same_place(current, endpoint):
            return False
        columns, slot = self._state.columns, endpoint.slot
        moved = False
        for name in MEASURED:
            said = getattr(load, name)
            column: Floats = getattr(columns, name)
            value = math.nan if said is None else said
            before = column[slot]
            if before != value and not (math.isnan(before) and math.isnan(value)):
                column[slot] = value
                moved = True
        lora = NO_LORA if load.lora is None else load.lora
        if columns.lora[slot] != lora:
            columns.set_lora(slot, lora)
            moved = True
        columns.observed_at[slot] = NEVER if load.silent else now
        return moved

    def _free_slot(self) -> int:
        """A clean row: one that was given up and owes nothing, else a new one."""
        columns = self._state.columns
        for index, (slot, epoch) in enumerate(self._given_up):
            if columns.settled(slot, epoch):
                del self._given_up[index]
                columns.clear(slot)
                return slot
        slot = self._next_slot
        self._next_slot += 1
        if slot >= columns.capacity:
            grown = columns.grown(2 * slot + 1)
            self._state = pool_state(self._state.epoch, self._state.endpoints, grown)
        return slot

    def _tell(self, change: Change) -> None:
        for endpoint in change.removed:
            for listener in self._left:
                listener(endpoint)
        for endpoint in change.added:
            for listener in self._joined:
                listener(endpoint)


def _same_place(endpoint: Endpoint, other: Endpoint | EndpointSpec) -> bool:
    """A server at another address, or another pod at the same, is another server.

    Its queue and its cache are not the old's.
    """
    one = endpoint.address, endpoint.port, endpoint.uid
    return one == (other.address, other.port, other.uid)


def _seat(endpoint: Endpoint) -> tuple[str, str, str, int]:
    """Who it is, where, and in which row: what makes it another when it changes."""
    return endpoint.id, endpoint.uid, endpoint.destination, endpoint.slot


def _refuse_repeats(what: str, values: Iterable[tuple[str, str] | tuple[str, int]]) -> None:
    found = list(values)
    if len(set(found)) == len(found):
        return
    one, other = next(value for value, count in Counter(found).items() if count > 1)
    repeated = host_port(one, other) if isinstance(other, int) else f"{one}/{other}"
    raise ValueError(f"two endpoints have the {what} {repeated}")
