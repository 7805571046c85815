"""A provider's refusal, as status and words, to the error that says what to do about it. Pure.

The words matter as much as the status: a conflict names the operation to wait for, and a missing
quota comes as 403 as a missing permission does.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

from autoscaler.errors import (
    Busy,
    Denied,
    Gone,
    Invalid,
    Moved,
    OutOfCapacity,
    OutOfQuota,
    ProviderError,
    Throttled,
    Unavailable,
)

_OPERATION = re.compile(r"\b(operation-[0-9a-z][0-9a-z-]*[0-9a-z])", re.IGNORECASE)
_BUSY = re.compile(
    r"incompatible operation|currently being (?:created|deleted|updated|repaired|upgraded)"
    r"|is currently \w+ing cluster|try again once it is done|operation .* in progress"
    r"|is not ready",
    re.IGNORECASE,
)
_QUOTA = re.compile(r"quota", re.IGNORECASE)
_STOCKOUT = re.compile(
    r"(?:ZONE_)?RESOURCE_POOL_EXHAUSTED|INSUFFICIENT_CAPACITY|GCE_STOCKOUT|STOCKOUT"
    r"|does not have enough resources|out of (?:resources|capacity)",
    re.IGNORECASE,
)
_THROTTLED = re.compile(r"rate limit|RATE_LIMIT|per minute|per second", re.IGNORECASE)


def of_response(status: int, message: str, headers: Mapping[str, str]) -> ProviderError:
    """The error of an HTTP answer that is not a success."""
    if _BUSY.search(message):
        return Busy(message, blocker(message))
    if status == 429:
        return Throttled(message, retry_after_s(headers))
    if status in (408, 499) or status >= 500:
        return Unavailable(message)
    if _STOCKOUT.search(message):
        return OutOfCapacity(message)
    if _QUOTA.search(message):
        # A quota of requests a minute is throttling; one of machines is a bound.
        return Throttled(message) if _THROTTLED.search(message) else OutOfQuota(message)
    if status in (401, 403):
        return Denied(message)
    if status in (404, 410):
        return Gone(message)
    if status in (409, 412):
        return Moved(message)
    return Invalid(message)


def of_message(message: str) -> ProviderError:
    """The error of an operation that was accepted and failed later; only words are left of it."""
    if _BUSY.search(message):
        return Busy(message, blocker(message))
    if _STOCKOUT.search(message):
        return OutOfCapacity(message)
    if _QUOTA.search(message):
        return OutOfQuota(message)
    return Unavailable(message)


def is_stockout(code: str) -> bool:
    """Whether an instance's error code means that the zone has none left."""
    return bool(_STOCKOUT.search(code))


def is_quota(code: str) -> bool:
    return bool(_QUOTA.search(code))


def blocker(message: str) -> str:
    """The operation that a conflict names; "" where it names none."""
    found = _OPERATION.search(message)
    return found[1] if found else ""


def retry_after_s(headers: Mapping[str, str]) -> float | None:
    """Seconds of a Retry-After header; a date, or nonsense, is none."""
    for name, value in headers.items():
        if name.lower() == "retry-after":
            return float(value) if value.strip().isdecimal() else None
    return None
