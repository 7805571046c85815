"""Writes deletion costs on the pods of one workload that is about to shrink, through the gate. IO.

A courtesy: without the right to patch pods, or where the gate keeps it back, the workload shrinks
all the same. All pods of one look are one write to the gate, or a large fleet's marks would use up
the hour's writes that a surge may need.
"""

from __future__ import annotations

import asyncio
import logging
import math
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from autoscaler.actuate.gate import Call, Gate
from autoscaler.actuate.workload.deletion_cost import document, marks
from autoscaler.errors import NotWritten
from autoscaler.observe.replica_loads import Replica
from loadstar.kube.calls import Patches
from loadstar.kube.errors import ApiError, NotFound
from loadstar.kube.resources import PODS

log = logging.getLogger(__name__)

EVERY_S: Final = 60.0
"""Who is least busy changes all the time, and each mark is a write to the API server."""


class Marking:
    """The marks of one workload's pods."""

    def __init__(
        self,
        workload: str,
        namespace: str,
        kube: Patches,
        gate: Gate,
        *,
        replicas: Callable[[], tuple[Replica, ...]],
        field_manager: str,
    ) -> None:
        """``replicas`` gives those that there are, none while that is not known."""
        self._workload = workload
        self._namespace = namespace
        self._kube = kube
        self._gate = gate
        self._replicas = replicas
        self._field_manager = field_manager
        self._next_s = -math.inf
        self._said = ""

    async def tick(self, leaving: int, now_s: float) -> None:
        """Mark those that should be the ``leaving``; unmark the others."""
        if now_s < self._next_s:
            return
        costs = marks(self._replicas(), leaving)
        if not costs:
            return
        self._next_s = now_s + EVERY_S
        call = Call(
            api="kubernetes",
            method="mark",
            target=f"pods/{self._namespace}/{self._workload}",
            body=dict(costs),
        )
        try:
            async with self._gate.writing(call), asyncio.TaskGroup() as tasks:
                for name, cost in costs.items():
                    tasks.create_task(self._mark(name, cost), name=f"mark {name}")
        except NotWritten:
            pass  # the gate remembers it, and keeps the shrinking back as well
        except TimeoutError:
            self._tell("the API server took too long")
        except ExceptionGroup as several:
            refused, others = several.split(ApiError)
            if others is not None:
                raise others from None
            self._tell(str(refused.exceptions[0]) if refused is not None else "")
        else:
            self._said = ""

    async def _mark(self, name: str, cost: int | None) -> None:
        change, manager = document(cost), self._field_manager
        with suppress(NotFound):  # it has gone already
            await self._kube.patch(PODS, name, self._namespace, change, field_manager=manager)

    def _tell(self, why: str) -> None:
        if why != self._said:
            self._said = why
            log.warning("pods are not marked, any of them may go first: %s", why)
