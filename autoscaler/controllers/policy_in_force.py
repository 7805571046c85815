"""The policy that holds, and what became of the last one offered. One bad text changes nothing.

Fed by ``policy_source``; read each tick by the loop. No IO.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from dataclasses import dataclass

from autoscaler.capacity.profiles import unknown_profiles
from autoscaler.policy.model import Mode, Policy, load_policy
from loadstar.config.errors import ConfigError

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class InForce:
    """A policy, its text, and where and when it came from."""

    policy: Policy
    text: str
    origin: str
    since_s: float
    number: int


class PolicyInForce:
    """``offer`` takes a text; ``current`` is the last good one."""

    def __init__(self, wall: Callable[[], float]) -> None:
        self._wall = wall
        self.current: InForce | None = None
        self.problem: ConfigError | None = None
        """Why the last text offered was refused; None if it was not."""
        self.accepted = 0
        self.refused = 0

    def offer(self, text: str, origin: str) -> bool:
        """Take ``text`` whole, or keep what there is. Whether something changed."""
        if self.current is not None and self.current.text == text:
            self.problem = None
            return False
        try:
            policy = load_policy(text)
            unknown = unknown_profiles(policy)
            if unknown:
                raise ConfigError(unknown)
        except ConfigError as error:
            self.refused += 1
            self.problem = error
            kept = "nothing" if self.current is None else f"policy {self.current.number}"
            for problem in error.problems:
                log.error("%s: %s", origin, problem, extra={"kept": kept})
            return False
        self.problem = None
        self.accepted += 1
        self.current = InForce(policy, text, origin, self._wall(), self.accepted)
        log.info(
            "policy taken",
            extra={"origin": origin, "number": self.accepted, "mode": policy.mode.value},
        )
        return True

    @property
    def mode(self) -> Mode:
        """The mode to act in: off without a policy, and under the kill switch."""
        if self.current is None or self.current.policy.safety.kill_switch:
            return Mode.OFF
        return self.current.policy.mode

    def page(self) -> object:
        """For ``/configz``."""
        current = self.current
        return {
            "origin": current and current.origin,
            "number": current and current.number,
            "sinceS": current and current.since_s,
            "mode": self.mode.value,
            "text": current and current.text,
            "refused": [str(each) for each in self.problem.problems] if self.problem else [],
        }
