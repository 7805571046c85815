"""Numbers with units, parsed once at the edge of the process: ``250ms``, ``30%``, ``16Gi``.

Below the configuration everything is a plain number: seconds, fractions, bytes. Each function
raises ValueError with words fit for the person who wrote the value.
"""

from __future__ import annotations

import re
from decimal import ROUND_CEILING, Decimal
from types import MappingProxyType

_SECONDS_PER = MappingProxyType(
    {
        "ns": Decimal("1e-9"),
        "us": Decimal("1e-6"),
        "\u00b5s": Decimal("1e-6"),  # micro sign
        "\u03bcs": Decimal("1e-6"),  # Greek mu
        "ms": Decimal("1e-3"),
        "s": Decimal(1),
        "m": Decimal(60),
        "h": Decimal(3600),
    }
)
_DURATION_TERM = re.compile(r"(\d+\.?\d*|\.\d+)(ns|us|\u00b5s|\u03bcs|ms|s|m|h)", re.ASCII)
_DURATION = re.compile(rf"([-+]?)((?:{_DURATION_TERM.pattern})+|0)", re.ASCII)
# Go keeps a duration in 63 bits of nanoseconds.
_LONGEST_SECONDS = Decimal(2**63 - 1) / Decimal(10**9)

_SCALE = MappingProxyType(
    {
        "n": Decimal("1e-9"),
        "u": Decimal("1e-6"),
        "m": Decimal("1e-3"),
        "": Decimal(1),
        "k": Decimal("1e3"),
        "M": Decimal("1e6"),
        "G": Decimal("1e9"),
        "T": Decimal("1e12"),
        "P": Decimal("1e15"),
        "E": Decimal("1e18"),
        "Ki": Decimal(2**10),
        "Mi": Decimal(2**20),
        "Gi": Decimal(2**30),
        "Ti": Decimal(2**40),
        "Pi": Decimal(2**50),
        "Ei": Decimal(2**60),
    }
)
_QUANTITY = re.compile(
    r"([-+]?(?:\d+\.?\d*|\.\d+))(?:([eE][-+]?\d{1,3})|([KMGTPE]i|[numkMGTPE])?)", re.ASCII
)
_LARGEST = Decimal(2**63 - 1)

_PERCENT = re.compile(r"([-+]?(?:\d+\.?\d*|\.\d+))%", re.ASCII)
# Longer than any honest number, short enough that no regular expression or Decimal minds.
_LONGEST_TEXT = 64


def duration(text: str) -> float:
    """Seconds of a Go duration: ``250ms``, ``1m30s``, ``1.5h``, ``-2s``, ``0``."""
    match = _DURATION.fullmatch(text) if len(text) <= _LONGEST_TEXT else None
    if match is None:
        hint = " (the unit is missing)" if re.fullmatch(r"[-+]?[\d.]+", text[:80]) else ""
        raise ValueError(f"{text[:80]!r} is not a duration like 250ms or 1m30s{hint}")
    terms = _DURATION_TERM.findall(match[2])
    seconds = sum((Decimal(amount) * _SECONDS_PER[unit] for amount, unit in terms), Decimal(0))
    if seconds > _LONGEST_SECONDS:
        raise ValueError(f"{text!r} is longer than 292 years")
    return float(-seconds if match[1] == "-" else seconds)


def quantity(text: str) -> Decimal:
    """A Kubernetes quantity, exactly: ``16Gi``, ``500M``, ``1k``, ``250m``, ``1e3``."""
    match = _QUANTITY.fullmatch(text) if len(text) <= _LONGEST_TEXT else None
    if match is None:
        raise ValueError(f"{text[:80]!r} is not a quantity like 16Gi, 500M or 250m")
    number, exponent, suffix = match.groups()
    value = Decimal(number + exponent) if exponent else Decimal(number) * _SCALE[suffix or ""]
    if abs(value) > _LARGEST:
        raise ValueError(f"{text!r} is larger than 2^63 - 1")
    return value


def whole(text: str) -> int:
    """A Kubernetes quantity rounded up to a whole number, as Kubernetes does: bytes, requests."""
    return int(quantity(text).to_integral_value(ROUND_CEILING))


def fraction(text: str) -> float:
    """``30%`` is 0.3."""
    match = _PERCENT.fullmatch(text) if len(text) <= _LONGEST_TEXT else None
    if match is None:
        raise ValueError(f"{text[:80]!r} is not a percentage like 30%")
    return float(Decimal(match[1]) / 100)
