"""How much of a prompt its endpoint holds is counted when it is picked, and changes nothing."""

from __future__ import annotations

import numpy as np
import pytest

from gateway.datalayer.state import Endpoint
from gateway.scheduling.types import Cycle, Decision, PrefixMatch
from gateway.serving.measured import MeasuredScheduler
from tests.builders import cycle, endpoint


class Always:
    """A scheduler that picks one endpoint and remembers what it is told."""

    def __init__(self, chosen: Endpoint) -> None:
        self.decision = Decision((chosen,), "default")
        self.told: list[str] = []

    def schedule(self, cycle: Cycle, endpoints: tuple[Endpoint, ...]) -> Decision:
        return self.decision

    def picked(self, cycle: Cycle, decision: Decision) -> None:
        self.told.append("picked")

    def served(self, cycle: Cycle, decision: Decision, endpoint: Endpoint) -> None:
        self.told.append("served")

    def response_headers(self, cycle: Cycle, endpoint: Endpoint) -> list[tuple[str, str]]:
        return [("x", endpoint.name)]


class Counts(list[tuple[str, int, int]]):
    def prefix_matched(
        self, plugin_name: str, plugin_type: str, matched_bytes: int, total_bytes: int
    ) -> None:
        self.append((plugin_name, matched_bytes, total_bytes))


@pytest.mark.parametrize(
    ("slot", "counted"),
    [
        pytest.param(0, [("prefix", 0, 640)], id="holds nothing of it"),
        pytest.param(1, [("prefix", 448, 640)], id="holds most of it"),
    ],
)
def test_the_chosen_endpoints_share_is_counted(
    slot: int, counted: list[tuple[str, int, int]]
) -> None:
    counts, inner = Counts(), Always(endpoint(slot))
    scheduler = MeasuredScheduler(inner, counts)
    asked = cycle()
    match = PrefixMatch([0] * 10, 16, np.array([0, 7, 0]), 10)
    asked.prefixes["prefix"] = match
    assert scheduler.schedule(asked, (endpoint(slot),)) is inner.decision
    assert counts == counted


def test_everything_else_is_passed_on() -> None:
    inner = Always(endpoint(0))
    scheduler = MeasuredScheduler(inner, Counts())
    scheduler.picked(cycle(), inner.decision)
    scheduler.served(cycle(), inner.decision, endpoint(1))
    assert inner.told == ["picked", "served"]
    assert scheduler.response_headers(cycle(), endpoint(1)) == [("x", "pod-1")]
