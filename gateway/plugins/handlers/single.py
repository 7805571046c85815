"""``single-profile-handler``: the one profile there is, run once."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from gateway.scheduling.types import Cycle, Decision, ProfileResult


@dataclass(frozen=True, slots=True)
class SingleProfile:
    @property
    def most_profiles(self) -> int:
        return 1

    def profiles(
        self, cycle: Cycle, available: Sequence[str], done: Mapping[str, ProfileResult]
    ) -> Sequence[str]:
        return () if done else available

    def decide(self, cycle: Cycle, done: Mapping[str, ProfileResult]) -> Decision:
        ((name, result),) = done.items()
        return Decision(endpoints=result.picked, profile=name, results=done)
