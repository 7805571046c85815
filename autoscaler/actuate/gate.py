"""The one gate before every write: mode, kill switch and leadership, asked at the last moment.

Whatever writes, to Kubernetes or to a cloud, passes here first; there is no other way out of the
process. The gate remembers what it kept back, so that advisory mode can show it.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from autoscaler.errors import Advisory, NotLeader
from autoscaler.policy.model import Mode

WRITE_S = 10.0
"""A write takes no longer than this; with less of the lease left, none is begun."""
REMEMBERED = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One write: what a provider is asked, in its own words."""

    api: str
    method: str
    target: str
    body: Mapping[str, object] = field(default_factory=dict)


class Gate:
    """``leads(seconds)`` says whether the lease is ours for so long yet, by our own clock."""

    def __init__(self, *, mode: Callable[[], Mode], leads: Callable[[float], bool]) -> None:
        self._mode = mode
        self._leads = leads
        self.kept_back: deque[tuple[Call, str]] = deque(maxlen=REMEMBERED)

    def check(self, call: Call) -> None:
        """Return where ``call`` may be made now; raise NotWritten where it may not."""
        mode = self._mode()
        if mode is not Mode.ACTIVE:
            self.kept_back.append((call, mode.value))
            raise Advisory(f"mode {mode.value}: {call.method} {call.target} is not written")
        if not self._leads(WRITE_S):
            self.kept_back.append((call, "not leader"))
            raise NotLeader(f"not the leader: {call.method} {call.target} is not written")
