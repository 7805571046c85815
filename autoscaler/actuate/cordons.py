"""Nodes that are to go take no new pods: cordoned a tick before, uncordoned when they stay. IO.

Between a look that finds a node empty and the request that deletes it, the scheduler may put a pod
there. A node is released only when it was cordoned before the look that found it empty. Each is
marked, so that none is left cordoned by a process that ends, or a policy that changes, in between.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from autoscaler.actuate.gate import Call, Gate
from autoscaler.observe.cluster import CORDONED_BY
from loadstar.kube.calls import Patches
from loadstar.kube.errors import ApiError, NotFound
from loadstar.kube.resources import NODES

MARK = "autoscaler"


class Cordons:
    """The nodes of one pool that we have cordoned; ``marked`` gives those of before, once known."""

    def __init__(
        self, kube: Patches, gate: Gate, marked: Callable[[], frozenset[str] | None] = frozenset
    ) -> None:
        self._kube = kube
        self._gate = gate
        self._marked = marked
        self._knows_before = False
        self._ours: set[str] = set()
        self._unsure: set[str] = set()
        """Perhaps cordoned: the answer was lost. They are no reason to release, but to uncordon."""

    async def ready(self, nodes: Iterable[str]) -> bool:
        """Whether all of ``nodes`` have been cordoned; those that were not are now.

        Raises ApiError or NotWritten.
        """
        wanted = set(nodes)
        missing = wanted - self._ours
        for name in sorted(missing):
            try:
                await self._set(name, cordoned=True)
            except (ApiError, TimeoutError):
                self._unsure.add(name)
                raise
            self._ours.add(name)
        return not missing

    async def keep_only(self, nodes: Iterable[str]) -> None:
        """Uncordon what was to go and stays after all."""
        if not self._knows_before:  # asked once, for what is seen lags behind what we do from here
            before = self._marked()
            self._knows_before = before is not None
            self._ours |= before or set()
        for name in sorted((self._ours | self._unsure) - set(nodes)):
            await self._set(name, cordoned=False)
            self._ours.discard(name)
            self._unsure.discard(name)

    async def _set(self, name: str, *, cordoned: bool) -> None:
        method = "cordon" if cordoned else "uncordon"
        async with self._gate.writing(Call(api="kubernetes", method=method, target=name)):
            try:
                change = {
                    "metadata": {"annotations": {CORDONED_BY: MARK if cordoned else None}},
                    "spec": {"unschedulable": True if cordoned else None},
                }
                await self._kube.patch(NODES, name, "", change)
            except NotFound:
                pass  # it has gone already
