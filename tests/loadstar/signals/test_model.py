"""What a publisher counted between two of its snapshots."""

from __future__ import annotations

import pytest

from loadstar.signals.model import Histogram, PoolLoad

BEFORE = Histogram((1.0, 2.0), (1.0, 2.0, 3.0), 10.0)
NOW = Histogram((1.0, 2.0), (1.0, 5.0, 4.0), 19.0)


def load(**counters: float) -> PoolLoad:
    return PoolLoad(namespace="llm", pool="pool", model="llama", counters=counters)


@pytest.mark.parametrize(
    ("before", "since"),
    [
        pytest.param(BEFORE, Histogram((1.0, 2.0), (0.0, 3.0, 1.0), 9.0), id="bucket by bucket"),
        pytest.param(None, NOW, id="all of it, where there was nothing before"),
        pytest.param(Histogram((1.0,), (1.0, 2.0)), None, id="other bounds cannot be compared"),
        pytest.param(
            Histogram((1.0, 2.0), (9.0, 5.0, 3.0), 99.0),
            Histogram((1.0, 2.0), (0.0, 0.0, 1.0), 0.0),
            id="never less than nothing",
        ),
    ],
)
def test_what_a_histogram_saw_since(before: Histogram | None, since: Histogram | None) -> None:
    assert NOW.since(before) == since


@pytest.mark.parametrize(
    ("since", "counted"),
    [
        pytest.param(load(arrivals=3.0), 4.0, id="growth"),
        pytest.param(load(), 7.0, id="not counted then was zero"),
        pytest.param(None, 7.0, id="nothing before was zero"),
        pytest.param(load(arrivals=9.0), 0.0, id="never less than nothing"),
    ],
)
def test_what_was_counted_since(since: PoolLoad | None, counted: float) -> None:
    assert load(arrivals=7.0).counted("arrivals", since) == counted


def test_what_is_not_counted_is_not_known() -> None:
    assert load().counted("arrivals", load(arrivals=3.0)) is None
