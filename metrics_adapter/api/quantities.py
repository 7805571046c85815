"""Numbers as an HPA reads them: milli-units, rounded half up, in the canonical spelling. Pure.

The same text as ``loadstar.kube.quantity.milli``, which is exact arithmetic on decimals; a list of
1,000 pods needs a thousand of them within a few milliseconds.
"""

from __future__ import annotations

import math
from typing import Final

from loadstar.kube.quantity import milli

_SUFFIXES: Final = ("", "k", "M", "G", "T", "P", "E")
_EXACT_BELOW: Final = 2.0**42
"""Thousandths of what is smaller are represented to within 0.001 of one."""
_TIE: Final = 0.01
"""So near to the middle between two thousandths that only exact arithmetic tells which is it."""


def quantity(value: float) -> str:
    """0.5 -> ``500m``, 2000 -> ``2k``. Raises ValueError for what no quantity can say."""
    if value != value or abs(value) >= _EXACT_BELOW:
        return milli(value)
    if value == int(value):
        return _spelled(int(value))
    thousandths = value * 1000
    rounded = math.floor(thousandths + 0.5)
    if value < 0 or abs(thousandths - math.floor(thousandths) - 0.5) < _TIE:
        return milli(value)
    whole, rest = divmod(rounded, 1000)
    return f"{rounded}m" if rest else _spelled(whole)


def _spelled(whole: int) -> str:
    power = 0
    while whole and whole % 1000 == 0 and power < len(_SUFFIXES) - 1:
        whole //= 1000
        power += 1
    return f"{whole}{_SUFFIXES[power]}"
