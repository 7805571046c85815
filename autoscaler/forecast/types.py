"""What forecasters are asked and what they answer. Work is in reference replicas, time in minutes.

The question is not what demand will be, but the most it will be within a lead time: what is
ordered now serves that whole stretch.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Final, Protocol

from autoscaler.forecast.series import LEAST, MinuteSeries

_FURTHEST: Final = 1.25
"""How far what comes between minutes may carry a bound: more is for the next minute to say."""


class Expert(Protocol):
    """One way to see what comes. Sees the series only as far as it has closed."""

    name: str

    def expect(self, series: MinuteSeries, horizon: int) -> float:
        """The most work a second within the next ``horizon`` minutes, as a middle estimate."""
        ...

    def learn(self, series: MinuteSeries, horizon: int) -> None:
        """Take in the minute that has just closed."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class Forecast:
    """What is expected as of one minute, and how well such statements have held."""

    horizon_minutes: int
    last: float  # work in the minute that it was said of
    expected: float  # the mix of the experts' middle estimates
    highest_expected: float  # of the experts' middle estimates
    upper: float  # exceeded as often as the miss rate says
    coverage: float | None = None  # share of closed windows that stayed below ``upper``
    skill: float | None = None  # 1 - loss over the loss of the last value; 0 is no better
    weights: dict[str, float] = field(default_factory=dict)

    def carried(self, work: float) -> Forecast:
        """The same, moved as far as ``work``, of the minute up to now, has moved since."""
        moved = max(work, LEAST) / max(self.last, LEAST)
        by = min(max(moved, 1.0 / _FURTHEST), _FURTHEST)
        return replace(self, expected=by * self.expected, upper=by * self.upper)
