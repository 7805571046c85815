"""How much of a prompt its endpoint holds is counted when it is picked, and changes nothing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from gateway.datalayer.confidence import confidence
from gateway.datalayer.state import Endpoint
from gateway.plugins.load import load
from gateway.scheduling.plugin_type import Settings
from gateway.scheduling.types import Cycle, Decision, PrefixMatch
from gateway.serving.measured import (
    TIMED_EVERY,
    MeasuredPlugins,
    MeasuredPolicy,
    MeasuredScheduler,
)
from tests.builders import cycle, endpoint, pool
from tests.fakes.clock import ManualClock


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
    """Prefix matches as a list; the rest by name."""

    def __init__(self) -> None:
        super().__init__()
        self.sizes: dict[tuple[str, str], int] = {}
        self.durations: dict[tuple[str, str, str], list[float]] = {}

    def prefix_matched(
        self, plugin_name: str, plugin_type: str, matched_bytes: int, total_bytes: int
    ) -> None:
        self.append((plugin_name, matched_bytes, total_bytes))

    def prefix_indexed(self, plugin_name: str, plugin_type: str, blocks: int) -> None:
        self.sizes[plugin_name, plugin_type] = blocks

    def plugin(self, extension_point: str, plugin_type: str, plugin_name: str) -> Durations:
        key = (extension_point, plugin_type, plugin_name)
        return Durations(self.durations.setdefault(key, []))


@dataclass(frozen=True, slots=True)
class Durations:
    seconds: list[float]

    def observe(self, value: float) -> None:
        self.seconds.append(value)


def measured(inner: Always, counts: Counts) -> MeasuredScheduler:
    return MeasuredScheduler(inner, counts, MeasuredPlugins((), counts, ManualClock().now))


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
    scheduler = measured(inner, counts)
    asked = cycle()
    match = PrefixMatch([0] * 10, 16, np.array([0, 7, 0]), 10)
    asked.prefixes["prefix"] = match
    assert scheduler.schedule(asked, (endpoint(slot),)) is inner.decision
    assert counts == counted


def test_everything_else_is_passed_on() -> None:
    inner = Always(endpoint(0))
    scheduler = measured(inner, Counts())
    scheduler.picked(cycle(), inner.decision)
    scheduler.served(cycle(), inner.decision, endpoint(1))
    assert inner.told == ["picked", "served"]
    assert scheduler.response_headers(cycle(), endpoint(1)) == [("x", "pod-1")]


CONFIG = """
apiVersion: llm-d.ai/v1alpha1
kind: EndpointPickerConfig
plugins:
- {type: approx-prefix-cache-producer}
- {type: queue-scorer, name: queue}
- {type: max-score-picker}
"""


def test_plugins_are_timed_now_and_then_and_indexes_sized() -> None:
    """Under the reference's words for the points, and the operator's for the plugins."""
    counts, clock, state = Counts(), Ticking(), pool(size=2)
    built = load(CONFIG, Settings(confidence=lambda at, now: confidence(at, now, 2.0)))
    scheduler = MeasuredPolicy(built, counts, clock.now).scheduler
    for _ in range(2 * TIMED_EVERY):
        asked = cycle(state)
        scheduler.picked(asked, scheduler.schedule(asked, state.endpoints))
    producer = "approx-prefix-cache-producer"
    assert counts.durations == {
        ("DataProducer", producer, producer): [1.0, 1.0],
        ("Scorer", "queue-scorer", "queue"): [1.0, 1.0],
        ("Picker", "max-score-picker", "max-score-picker"): [1.0, 1.0],
        ("PreRequest", producer, producer): [1.0, 1.0],
    }
    assert counts.sizes == {(producer, producer): 1}


class Ticking(ManualClock):
    """A second passes whenever somebody looks."""

    def now(self) -> float:
        self.advance(1.0)
        return super().now()
