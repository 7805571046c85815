"""/livez, /readyz and /healthz with named checks, in the words of Kubernetes' own servers. Pure.

Live says that the process can answer; ready that it has what it needs to answer rightly, and is not
about to leave. Neither depends on any source of metrics: an adapter that is taken out of service
because a source is away cannot even say so.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import TypeAlias

Check: TypeAlias = Callable[[], str]
"""Why it fails; empty is a pass."""

ENDPOINTS = ("healthz", "livez", "readyz")


def _ping() -> str:
    return ""


@dataclass(slots=True)
class Health:
    """``ready`` are the checks beyond being there at all; ``leaving`` fails readiness first."""

    ready: dict[str, Check] = field(default_factory=dict)
    leaving: bool = False

    def checks(self, endpoint: str) -> dict[str, Check]:
        """By name, in the order shown."""
        if endpoint == "livez":
            return {"ping": _ping}
        named = {"ping": _ping, **self.ready}
        if endpoint == "readyz":
            named["shutdown"] = lambda: "process is shutting down" if self.leaving else ""
        return named

    def answer(
        self, endpoint: str, only: str, *, verbose: bool, exclude: Collection[str]
    ) -> tuple[int, str]:
        """Status and text; ``only`` names one check, empty is all of them."""
        checks = self.checks(endpoint)
        if only:
            if only not in checks:
                return 404, "404 page not found\n"
            checks = {only: checks[only]}
        lines = []
        failed = []
        for name, check in checks.items():
            reason = "" if name in exclude else check()
            if name in exclude:
                lines.append(f"[+]{name} excluded: ok")
            elif reason:
                failed.append(name)
                lines.append(f"[-]{name} failed: {reason}")
            else:
                lines.append(f"[+]{name} ok")
        if failed:
            return 500, "\n".join([*lines, f"{endpoint} check failed", ""])
        if verbose:
            return 200, "\n".join([*lines, f"{endpoint} check passed", ""])
        return 200, "ok"
