"""Which bounds to believe: more of those that lost less lately.

Exponentiated gradient on the pinball loss, relative to the size of demand. A bad hour costs an
expert its weight; nothing costs it its place.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final

_RATE: Final = 1.0
_DISCOUNT: Final = 0.999


def pinball(actual: float, upper: float, miss_rate: float) -> float:
    """The loss that the quantile at 1 - ``miss_rate`` makes least."""
    over = actual - upper
    return over * (1.0 - miss_rate) if over >= 0 else -over * miss_rate


class Mix:
    """Weights over ``count`` bounds."""

    def __init__(self, count: int, miss_rate: float) -> None:
        self._miss_rate = miss_rate
        self._losses = [0.0] * count

    def weights(self) -> list[float]:
        least = min(self._losses)
        raw = [math.exp(-_RATE * (loss - least)) for loss in self._losses]
        total = sum(raw)
        return [value / total for value in raw]

    def learn(self, actual: float, uppers: Sequence[float], size: float) -> None:
        """Count what each of ``uppers`` lost when ``actual`` came, at demand of ``size``."""
        for index, upper in enumerate(uppers):
            loss = pinball(actual, upper, self._miss_rate) / max(size, 1e-9)
            self._losses[index] = _DISCOUNT * self._losses[index] + loss
