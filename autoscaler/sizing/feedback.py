"""Headroom from what users got: more after minutes that broke the objective, less after quiet ones.

A quantile of demand is no service level; this closes the loop, at two speeds. A bad minute says
most of the hours after it, for trouble comes in bouts, and a little of the days: what passes is
forgotten, what lasts finds its level slowly and does not wander. Gains fall with the lead time, for
what is corrected today is felt a lead time later. Minutes that say nothing teach nothing, nor do
those of a jump that no headroom could have met.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_LASTING: Final = 0.002
"""Gain of what lasts, a minute."""
_PASSING: Final = 0.012
"""Added for a bad minute on top of it."""
_KEPT: Final = 0.5 ** (1.0 / 120.0)
"""Of what passes, from one minute to the next: half of it is gone after two hours."""
_LEAD_S: Final = 390.0
_LOWEST, _HIGHEST = -0.06, 0.30
_VIOLATED: Final = 0.05
"""Share of a minute's work beyond its objective that makes the minute a bad one."""
_HOPELESS: Final = 1.5
"""Work that arrives, over what the ready replicas can do: above it headroom is not what lacks."""


@dataclass(slots=True)
class Headroom:
    """The share added to every need."""

    budget: float
    _lasting: float = 0.0
    _passing: float = 0.0
    _violated: float = 0.0
    _ticks: int = 0
    _hopeless: bool = False

    @property
    def value(self) -> float:
        """What is added now."""
        return min(self._lasting + self._passing, _HIGHEST)

    def see(self, violating: float | None, load: float = 0.0) -> None:
        """One tick's share of work beyond its objective; None where it is not known.

        ``load`` is the work that arrives over what is ready. A jump lasts until its queue is gone.
        """
        if load > _HOPELESS:
            self._hopeless = True
        elif violating is not None and violating <= _VIOLATED:
            self._hopeless = False
        if violating is not None:
            self._violated += min(max(violating, 0.0), 1.0)
            self._ticks += 1

    def minute(self, lead_s: float, *, frozen: bool) -> None:
        """Adapt to the minute that closed; ``frozen`` where no size could have helped it."""
        ticks, violated = self._ticks, self._violated
        self._ticks, self._violated = 0, 0.0
        if frozen or not ticks:
            return
        bad = 1.0 if violated / ticks > _VIOLATED else 0.0
        if bad and self._hopeless:
            return
        gain = min(1.0, _LEAD_S / max(lead_s, 1.0))
        lasting = self._lasting + _LASTING * gain * (bad - self.budget)
        self._lasting = min(max(lasting, _LOWEST), _HIGHEST)
        self._passing = _KEPT * self._passing + _PASSING * gain * bad
