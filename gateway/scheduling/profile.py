"""One scheduling profile: filters, then weighted scores, then a pick. Pure but for its plugins.

The total of a candidate is the sum over scorers of clamp(score, 0, 1) * weight, as in the
reference. Called by the scheduler, once per profile and request.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np

from gateway.datalayer.state import Endpoint
from gateway.errors import NothingFits
from gateway.scheduling.failures import asked
from gateway.scheduling.types import Candidates, Cycle, Filter, Picker, ProfileResult, Scorer
from loadstar.arrays import Bools, Floats, kernel


@dataclass(frozen=True, slots=True)
class WeightedScorer:
    scorer: Scorer
    weight: float

    def add_to(self, totals: Floats, cycle: Cycle, candidates: Candidates) -> None:
        """Add what it thinks of each."""
        add(totals, self.scorer.score(cycle, candidates), self.weight)


@dataclass(frozen=True, slots=True)
class NamedFilter:
    name: str
    filter: Filter


@dataclass(frozen=True, slots=True)
class Profile:
    """What one profile is made of, in the order in which it runs."""

    name: str
    filters: tuple[NamedFilter, ...]
    scorers: tuple[WeightedScorer, ...]
    picker: Picker

    def run(self, cycle: Cycle, candidates: Candidates) -> ProfileResult:
        """The best of ``candidates``.

        A plugin that raises has no say: a filter keeps all, a scorer prefers nobody, and without
        a picker the highest total goes first. A filter's bug may then let a request through to an
        endpoint meant for others, which is one bad answer; the other way round it is a 429 for
        every request.

        Raises:
            NothingFits: a filter dropped every candidate.
        """
        kept, failures = candidates, cycle.failures
        for named in self.filters:
            mask = asked(failures, named.filter, "filter", named.filter.keep, cycle, kept)
            if mask is not None and not mask.all():
                if not mask.any():
                    raise NothingFits(f'no endpoint satisfies the filter "{named.name}"')
                kept = narrowed(kept, mask)
        kept = preferred(kept)
        totals = np.zeros(len(kept))
        for weighted in self.scorers:
            asked(failures, weighted.scorer, "score", weighted.add_to, totals, cycle, kept)
        order = asked(failures, self.picker, "pick", self.picker.pick, cycle, kept, totals)
        if order is None:
            order = np.argsort(-totals, kind="stable")[:1]
        return ProfileResult(
            picked=tuple(kept.endpoints[index] for index in order.tolist()),
            scores=Totals(kept.endpoints, totals),
        )


class Totals(Mapping[str, float]):
    """destination -> total score; a mapping only once somebody looks, which few requests need."""

    __slots__ = ("_endpoints", "_totals")

    def __init__(self, endpoints: tuple[Endpoint, ...], totals: Floats) -> None:
        self._endpoints = endpoints
        self._totals = totals

    def __getitem__(self, destination: str) -> float:
        for index, endpoint in enumerate(self._endpoints):
            if endpoint.destination == destination:
                return float(self._totals[index])
        raise KeyError(destination)

    def __iter__(self) -> Iterator[str]:
        return (endpoint.destination for endpoint in self._endpoints)

    def __len__(self) -> int:
        return len(self._endpoints)

    def __repr__(self) -> str:
        return repr(dict(zip(self, self._totals.tolist(), strict=True)))


def narrowed(candidates: Candidates, mask: Bools) -> Candidates:
    """The candidates where ``mask`` is true, in the same order."""
    indices = np.flatnonzero(mask)
    return Candidates(
        endpoints=tuple(candidates.endpoints[index] for index in indices.tolist()),
        slots=candidates.slots[indices],
        columns=candidates.columns,
        confidence=candidates.confidence[indices],
    )


def preferred(candidates: Candidates) -> Candidates:
    """Without those nothing is known of, as long as something is known of another.

    When nothing is known of anybody all stay, and are told apart by this gateway's own accounting.
    """
    if not some_unlike_others(candidates.confidence):
        return candidates
    return narrowed(candidates, candidates.confidence > 0.0)


@kernel
def some_unlike_others(confidence: Floats) -> bool:
    """Whether some are above 0 and some are not."""
    known = 0
    for i in range(confidence.size):
        if confidence[i] > 0.0:  # NaN is not
            known += 1
    return 0 < known < confidence.size


@kernel
def add(totals: Floats, scores: Floats, weight: float) -> None:
    """Add clamp(scores, 0, 1) * weight to ``totals``, in place. NaN is no preference: 0."""
    for i in range(totals.size):
        score = scores[i]
        if score > 0.0:  # NaN is not
            totals[i] += min(score, 1.0) * weight
