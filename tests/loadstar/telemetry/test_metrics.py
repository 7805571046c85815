"""Metric families: recorded once, shown under every name, bounded whatever clients send."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry, generate_latest

from loadstar.telemetry.metrics import (
    MAX_SERIES,
    OTHER,
    CappedLabel,
    Families,
    Histogram,
    alias,
)


def page(families: Families) -> list[str]:
    """The exposition's sample lines."""
    registry = CollectorRegistry(auto_describe=False)
    registry.register(families)
    text = generate_latest(registry).decode()
    return [line for line in text.splitlines() if not line.startswith("#")]


def test_a_counter_is_shown_under_its_name_and_its_older_one() -> None:
    families = Families()
    sent = families.counter(
        "new_total", "Sent.", "model", "tenant", also=[alias("old_total", "model")]
    )
    sent.labels("m", "a").inc()
    sent.labels("m", "b").inc(2)
    assert page(families) == [
        'new_total{model="m",tenant="a"} 1.0',
        'new_total{model="m",tenant="b"} 2.0',
        'old_total{model="m"} 3.0',
    ]


def test_an_older_name_may_rename_labels() -> None:
    families = Families()
    family = families.gauge("new", "Now.", "endpoint", also=[alias("old", pod="endpoint")])
    family.labels("e").set(4)
    assert page(families) == ['new{endpoint="e"} 4.0', 'old{pod="e"} 4.0']


def test_a_histogram_accumulates_and_adds_up_under_its_older_name() -> None:
    families = Families()
    family = families.histogram("h", "Took.", "tenant", buckets=(0.1, 1024), also=[alias("old")])
    family.labels("a").observe(0.1)
    family.labels("b").observe(0.2)
    family.labels("b").observe(5000)
    assert page(families) == [
        'h_bucket{le="0.1",tenant="a"} 1.0',
        'h_bucket{le="1024.0",tenant="a"} 1.0',
        'h_bucket{le="+Inf",tenant="a"} 1.0',
        'h_count{tenant="a"} 1.0',
        'h_sum{tenant="a"} 0.1',
        'h_bucket{le="0.1",tenant="b"} 0.0',
        'h_bucket{le="1024.0",tenant="b"} 1.0',
        'h_bucket{le="+Inf",tenant="b"} 2.0',
        'h_count{tenant="b"} 2.0',
        'h_sum{tenant="b"} 5000.2',
        'old_bucket{le="0.1"} 1.0',
        'old_bucket{le="1024.0"} 2.0',
        'old_bucket{le="+Inf"} 3.0',
        'old_count 3.0',
        'old_sum 5000.3',
    ]  # fmt: skip


@given(st.lists(st.floats(0, 100), max_size=50))
def test_a_histogram_puts_each_value_at_or_under_its_bound(values: list[float]) -> None:
    histogram = Histogram((1.0, 10.0, 50.0))
    for value in values:
        histogram.observe(value)
    for index, bound in enumerate(histogram.bounds):
        assert sum(histogram.counts[: index + 1]) == sum(value <= bound for value in values)
    assert sum(histogram.counts) == len(values)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        pytest.param(["a", "b", "a"], ["a", "b", "a"], id="within the cap"),
        pytest.param(["a", "b", "c", "a"], ["a", "b", OTHER, "a"], id="beyond the cap"),
        pytest.param(["", "a", "b"], ["", "a", "b"], id="empty takes no room"),
        pytest.param([OTHER, "a", "b"], [OTHER, "a", "b"], id="nor does a client's 'other'"),
        pytest.param(["a", "b", "mine"], ["a", "b", "mine"], id="configured names never fold"),
    ],
)
def test_a_client_supplied_label_is_capped(given: list[str], shown: list[str]) -> None:
    label = CappedLabel(cap=2)
    label.pin(["mine"])
    assert [label(value) for value in given] == shown


def test_a_full_family_folds_new_label_sets_into_one() -> None:
    families = Families()
    family = families.counter("c_total", "Counted.", "x", "y")
    for number in range(MAX_SERIES + 500):
        family.labels(str(number), "y").inc()
    family.labels("0", "y").inc()
    assert len(family.series) == MAX_SERIES + 1
    assert family.series[OTHER, OTHER].value == 500
    assert family.series["0", "y"].value == 2


def test_a_wrong_number_of_labels_is_a_programming_error() -> None:
    family = Families().counter("c_total", "Counted.", "x")
    with pytest.raises(ValueError, match="has labels"):
        family.labels()
