"""The one gate before every write: mode, kill switch and leadership, asked at the last moment.

Whatever writes, to Kubernetes or to a cloud, passes here first; there is no other way out of the
process. The gate remembers what it kept back, so that advisory mode can show it.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from autoscaler.errors import Advisory, NotLeader, TooManyWrites
from autoscaler.policy.model import Mode

WRITE_S = 4.0
"""With less of the lease left, no write is begun. Together with the time that another waits beyond
our own deadline (5 s) it is more than the longest write (8 s) takes."""
LONGEST_WRITE_S = 8.0
REMEMBERED = 256
HOUR_S = 3_600.0
MOST_AN_HOUR = 10_000


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One write: what a provider is asked, in its own words."""

    api: str
    method: str
    target: str
    body: Mapping[str, object] = field(default_factory=dict)


class Gate:
    """``leads(seconds)`` says whether the lease is ours for so long yet, by our own clock."""

    def __init__(
        self,
        *,
        mode: Callable[[], Mode],
        leads: Callable[[float], bool],
        per_hour: Callable[[], int] = lambda: MOST_AN_HOUR,
        now: Callable[[], float] = lambda: 0.0,
        sent: Callable[[Call], None] = lambda _call: None,
    ) -> None:
        """``sent`` is told of each call that passes, before it is made."""
        self._mode = mode
        self._leads = leads
        self._per_hour = per_hour
        self._now = now
        self._sent = sent
        self._passed: deque[float] = deque(maxlen=MOST_AN_HOUR)
        self.kept_back: deque[tuple[Call, str]] = deque(maxlen=REMEMBERED)

    @property
    def acts(self) -> bool:
        """Whether the policy lets anything be written now."""
        return self._mode() is Mode.ACTIVE

    def check(self, call: Call) -> None:
        """Return where ``call`` may be made now; raise NotWritten where it may not."""
        mode = self._mode()
        if mode is not Mode.ACTIVE:
            self.kept_back.append((call, mode.value))
            raise Advisory(f"mode {mode.value}: {call.method} {call.target} is not written")
        if not self._leads(WRITE_S):
            self.kept_back.append((call, "not leader"))
            raise NotLeader(f"not the leader: {call.method} {call.target} is not written")
        now_s, most = self._now(), min(self._per_hour(), MOST_AN_HOUR)
        while self._passed and now_s - self._passed[0] >= HOUR_S:
            self._passed.popleft()
        if len(self._passed) >= most and now_s > 0.0:
            self.kept_back.append((call, "too many writes"))
            raise TooManyWrites(f"{most} writes in the last hour: {call.method} waits")
        self._passed.append(now_s)
        self._sent(call)

    @asynccontextmanager
    async def writing(self, call: Call) -> AsyncIterator[None]:
        """Make ``call`` inside. Raises NotWritten before it, TimeoutError if it takes too long."""
        self.check(call)
        async with asyncio.timeout(LONGEST_WRITE_S):
            yield
