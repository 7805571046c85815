"""From pods to what they make up: whose silence counts, how many must be known, and the sum. Pure.

A namespace and a node also hold pods that serve no model, the workers of a LeaderWorkerSet leave it
to their leader to tell, and a pod that loads its model has no load yet. To wait for all of these
would be to know nothing; to leave out one that serves would be to take its load for none.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from metrics_adapter.adapter_config import Fold
from metrics_adapter.catalog.resources import LEADER_WORKER_SETS
from metrics_adapter.query.columns import WHENEVER, Bools, Column, Indices
from metrics_adapter.query.folding import earliest, fold, widest
from metrics_adapter.query.gather import Aligned, Moment, Seen, Target, places_of
from metrics_adapter.query.inventory import Inventory, Pod

Counts: TypeAlias = NDArray[np.int64]


class Silent(NamedTuple):
    """Of each pod: what its silence would mean."""

    heard: Bools
    """Some source has told the metric of it, at any time."""
    awaited: Bools
    """It has to tell."""


OF_ANY_PODS: Final = frozenset({"namespaces", "nodes"})
"""Resources whose pods have nothing in common but the place."""
_LEADERS: Final = str(LEADER_WORKER_SETS)
_WORKER_INDEX: Final = "leaderworkerset.sigs.k8s.io/worker-index"


def awaited(inventory: Inventory, resource: str, pods: Iterable[Pod]) -> Bools:
    """Of each of ``pods``: whether it has to tell, for a ``resource`` it is part of to be known."""
    return np.array([_awaited(inventory, resource, pod) for pod in pods], bool)


def _awaited(inventory: Inventory, resource: str, pod: Pod) -> bool:
    if not pod.been_ready:
        return False
    if resource in OF_ANY_PODS:
        return pod.key in inventory.pooled
    if resource == _LEADERS:
        return pod.labels.get(_WORKER_INDEX, "0") == "0"
    return True


def heard_of(
    columns: Iterable[Column], targets: Sequence[Target], moment: Moment | None = None
) -> Bools:
    """Of each target: whether ``columns`` have a row of it; with ``moment``, one fresh then."""
    found = np.zeros(len(targets), bool)
    for column in columns:
        place = places_of(column, targets)[column.row_object]
        told = place >= 0
        if moment is not None:
            told &= (column.at == WHENEVER) | moment.fresh(column.at)
        found[place[told]] = True
    return found


def enough(known: Counts, wanted: Counts, quorum: float, seen: Seen) -> Bools:
    """Of which objects so many pods are ``known``, of those ``wanted``, that they have a number."""
    met: Bools = (known > 0) & (known >= quorum * wanted)
    for short in np.flatnonzero(~met & (wanted > 0))[:1]:
        seen.pods = int(known[short]), int(wanted[short])
    return met


def add_up(
    parts: Aligned,
    members: Sequence[Indices],
    silent: Silent,
    how: Fold,
    quorum: float,
    seen: Seen,
) -> Aligned:
    """``parts`` of pods -> one number for each object, whose pods ``members`` says.

    In a sum a pod that fell silent is taken to be like those that are known: left out, it would
    look like less load. One that has yet to tell is new, and taken to have none.
    """
    count = len(members)
    sizes = np.array([len(indices) for indices in members], np.int64)
    if not sizes.sum():
        return Aligned.nothing(count)
    flat = np.concatenate([np.asarray(indices, np.int32) for indices in members])
    whose = np.repeat(np.arange(count, dtype=np.int32), sizes)
    good = np.isfinite(parts.value[flat])
    heard = np.bincount(whose[good | silent.heard[flat]], minlength=count)
    wanted = np.bincount(whose[good | silent.heard[flat] | silent.awaited[flat]], minlength=count)
    flat, whose = flat[good], whose[good]
    known = np.bincount(whose, minlength=count)
    value = fold(parts.value[flat], whose, count, how)
    if how is Fold.SUM:
        value *= heard / np.maximum(known, 1)
    value[~enough(known, wanted, quorum, seen)] = np.nan
    return Aligned(
        value,
        earliest(parts.at[flat], whose, count),
        widest(parts.window[flat], whose, count),
    )
