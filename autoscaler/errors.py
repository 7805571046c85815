"""What can go wrong, named for what is done about it. Raised at the rim, read by what decides next.

No status codes here: ``autoscaler.actuate.refusals`` turns a provider's words into these.
"""

from __future__ import annotations


class ProviderError(Exception):
    """A provider did not do what it was asked. ``str()`` is for people."""


class Busy(ProviderError):
    """Another operation holds the pool: wait for ``operation`` where it is known, then again."""

    def __init__(self, message: str, operation: str = "") -> None:
        super().__init__(message)
        self.operation = operation


class Throttled(ProviderError):
    """Asked too often: not before ``after_s`` seconds have passed, where the provider says so."""

    def __init__(self, message: str, after_s: float | None = None) -> None:
        super().__init__(message)
        self.after_s = after_s


class OutOfQuota(ProviderError):
    """The project may not have more: what is there now is the bound, for some time."""


class OutOfCapacity(ProviderError):
    """There is none to be had here now: ask another pool, come back later."""


class Denied(ProviderError):
    """We may not. A person must grant it; asking again soon is noise."""


class Gone(ProviderError):
    """What was named is not there: look again at what is."""


class Moved(ProviderError):
    """Somebody changed it meanwhile: read again, then decide again."""


class Invalid(ProviderError):
    """The request itself is wrong: the same one must not be sent again."""


class Unavailable(ProviderError):
    """The provider is not well: what was asked may have happened. Read before asking again."""


class NotWritten(Exception):
    """A write that the gate kept back; nothing has left the process."""


class Advisory(NotWritten):
    """The mode is advisory or off, or the kill switch is on."""


class NotLeader(NotWritten):
    """The lease is not ours any more, by our own clock."""


class TooManyWrites(NotWritten):
    """The policy's bound on writes an hour is reached."""
