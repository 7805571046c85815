"""Which of the APIs that rungs take a cluster serves, by its discovery. Looks only."""

from __future__ import annotations

from collections.abc import Iterable

from loadstar.kube.calls import ReadsPaths
from loadstar.kube.errors import ApiError


async def served(kube: ReadsPaths, probes: Iterable[str]) -> frozenset[str]:
    """Of ``probes`` (``group/version/plural``) those that are there; what cannot be read is not."""
    found = []
    for probe in probes:
        group_version, _, plural = probe.rpartition("/")
        try:
            listed = await kube.raw(f"/apis/{group_version}")
        except ApiError:
            continue
        if any(each.get("name") == plural for each in listed.get("resources", ())):
            found.append(probe)
    return frozenset(found)
