"""Who is in the pool, as one process tells another: slots included. Values and their text.

Unlike ``Discovered``, which says who should be in the pool, this says what the one store that
hands out slots has made of it. ``Datastore.membership`` makes it, ``Datastore.adopt`` takes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

import orjson

from gateway.datalayer.state import Endpoint
from gateway.request.model_rules import ModelRewrite, Rule, Target


@dataclass(frozen=True, slots=True, kw_only=True)
class Membership:
    """A store's decisions at one epoch."""

    epoch: int
    capacity: int
    """Rows in use; every slot is below."""
    endpoints: tuple[Endpoint, ...]
    objectives: Mapping[str, int]
    rewrites: tuple[ModelRewrite, ...]
    missing: str = ""
    """Why there is no pool."""
    given_up: tuple[tuple[int, int], ...]
    """Slots not yet fit for another, each with the epoch that no longer had it."""
    next_slot: int
    """The first that nobody ever had."""


def encode(membership: Membership) -> bytes:
    """JSON. Each label is said once, however many endpoints have it: pods of one template do."""
    known: dict[tuple[str, str], int] = {}
    endpoints = [
        (
            *(e.name, e.namespace, e.address, e.port, e.slot),
            [known.setdefault(label, len(known)) for label in e.labels.items()],
            *(e.metrics_port, e.uid),
        )
        for e in membership.endpoints
    ]
    return orjson.dumps(
        {
            "labels": list(known),
            "epoch": membership.epoch,
            "capacity": membership.capacity,
            "endpoints": endpoints,
            "objectives": dict(membership.objectives),
            "rewrites": [asdict(rewrite) for rewrite in membership.rewrites],
            "missing": membership.missing,
            "given_up": membership.given_up,
            "next_slot": membership.next_slot,
        }
    )


def decode(text: bytes) -> Membership:
    """What ``encode`` was given."""
    said: dict[str, Any] = orjson.loads(text)
    known = [(name, value) for name, value in said["labels"]]
    return Membership(
        epoch=said["epoch"],
        capacity=said["capacity"],
        endpoints=tuple(
            Endpoint(
                name,
                namespace,
                address,
                port,
                slot,
                dict(known[label] for label in labels),
                metrics_port,
                uid,
            )
            for name, namespace, address, port, slot, labels, metrics_port, uid in said["endpoints"]
        ),
        objectives=said["objectives"],
        rewrites=tuple(
            ModelRewrite(
                rewrite["name"],
                tuple(
                    Rule(
                        tuple(rule["matches"]),
                        tuple(Target(t["weight"], t["model"]) for t in rule["targets"]),
                    )
                    for rule in rewrite["rules"]
                ),
            )
            for rewrite in said["rewrites"]
        ),
        missing=said["missing"],
        given_up=tuple((slot, epoch) for slot, epoch in said["given_up"]),
        next_slot=said["next_slot"],
    )
