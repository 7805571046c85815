"""A ComputeClass as it is against what keeping a minimum of its nodes takes. Pure.

A cluster refuses ``minimumCapacity`` on a class of which any priority leaves the machine open: it
would not know which to make before a pod asks.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from autoscaler.actuate.preflight.finding import Finding, Level

MACHINES = ("machineType", "gpu", "tpu")


def judge(pool: str, name: str, document: Mapping[str, Any] | None) -> list[Finding]:
    """What there is to say of class ``name``, of which ``pool`` is made; None: it is not there."""
    subject = f"pool {pool}"
    if document is None:
        text = f"no ComputeClass {name}"
        return [Finding(Level.SHORT, subject, text, "make it, or write computeClass: NAME")]
    spec = document.get("spec") or {}
    loose = list(_loose(spec))
    if loose:
        text = f"ComputeClass {name}: priorities {', '.join(loose)} name no machine"
        mend = "give each machineType, gpu, tpu or a specific reservation; else placeholders serve"
        return [Finding(Level.SHORT, subject, text, mend)]
    return [Finding(Level.OK, subject, f"ComputeClass {name} can keep a minimum of nodes")]


def _loose(spec: Mapping[str, Any]) -> Iterator[str]:
    for index, priority in enumerate(spec.get("priorities") or ()):
        reserved = (priority.get("reservations") or {}).get("affinity") == "Specific"
        if not reserved and not any(priority.get(key) for key in MACHINES):
            yield str(index)
