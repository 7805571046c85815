"""Kubernetes quantities: exact values in, canonical text out. Pure.

``loadstar.config.units`` reads quantities that people write in our configurations; this is for
what goes over the Kubernetes API, where ``1500m``, ``12k`` and ``5Ki`` must be spelled as the API
server itself would. Called by the metrics adapter and the autoscaler.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from decimal import ROUND_HALF_UP, ROUND_UP, Context, Decimal
from enum import Enum

from loadstar.config import units

LARGEST = Decimal(2**63 - 1)
"""In whole units; in milli-units where a quantity is handed to an HPA."""
NANO = Decimal("1e-9")
"""The smallest step; what is finer is rounded away from zero."""

_DECIMAL = {-9: "n", -6: "u", -3: "m", 0: "", 3: "k", 6: "M", 9: "G", 12: "T", 15: "P", 18: "E"}
_BINARY = ("", "Ki", "Mi", "Gi", "Ti", "Pi", "Ei")
_EXPONENT = re.compile(r"[eE][-+]?\d+$")
_EXACT = Context(prec=60)


class Form(Enum):
    """How a quantity is spelled."""

    DECIMAL = "DecimalSI"
    BINARY = "BinarySI"
    EXPONENT = "DecimalExponent"


@dataclass(frozen=True, slots=True)
class Quantity:
    """A value and the way it is to be spelled; ``str`` is the canonical text."""

    value: Decimal
    form: Form = Form.DECIMAL

    def __str__(self) -> str:
        if self.form is Form.BINARY and abs(self.value) >= 1024 and self.value == int(self.value):
            return _binary(int(self.value))
        number, exponent = _mantissa(self.value)
        if self.form is Form.EXPONENT:
            return f"{number}e{exponent}" if exponent else str(number)
        return f"{number}{_DECIMAL[exponent]}"


def parse(text: str) -> Quantity:
    """A quantity as the API writes it. Raises ValueError, naming the text."""
    value = units.quantity(text)
    form = Form.DECIMAL
    if text.endswith("i"):
        form = Form.BINARY
    elif _EXPONENT.search(text):
        form = Form.EXPONENT
    return Quantity(value.quantize(NANO, ROUND_UP, _EXACT), form)


def milli(value: float) -> str:
    """A measured number in milli-units, rounded half up: 0.5 is ``500m``, 2000 is ``2k``.

    Raises ValueError for what no quantity can say (NaN, infinite, beyond 63 bits of milli-units):
    one such value makes an HPA refuse the whole list it stands in.
    """
    if not math.isfinite(value):
        raise ValueError(f"{value} is not a quantity")
    thousandths = (Decimal(str(value)) * 1000).to_integral_value(ROUND_HALF_UP, _EXACT)
    if abs(thousandths) > LARGEST:
        raise ValueError(f"{value:g} is larger than a quantity can be")
    return str(Quantity(thousandths / 1000))


def _mantissa(value: Decimal) -> tuple[int, int]:
    """``number`` and the largest ``exponent`` divisible by 3 with number * 10**exponent == value.

    The exponent stays within the suffixes that there are.
    """
    if not value:
        return 0, 0
    sign, digits, exponent = value.as_tuple()
    assert isinstance(exponent, int)  # infinities and NaN are refused where values are made
    number = int("".join(map(str, digits)))
    while number % 10 == 0:
        number, exponent = number // 10, exponent + 1
    lower = min(exponent // 3 * 3, 18)
    number *= 10 ** (exponent - lower)
    return (-number if sign else number), lower


def _binary(value: int) -> str:
    power = 0
    while value % 1024 == 0 and power < len(_BINARY) - 1:
        value, power = value // 1024, power + 1
    return f"{value}{_BINARY[power]}"
