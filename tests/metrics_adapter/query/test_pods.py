"""What an HPA hears of pods: fresh ones, exactly those selected, or why there are none."""

from __future__ import annotations

import math
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from metrics_adapter.errors import NotFound, Stale
from metrics_adapter.query import Described, Row, Value
from metrics_adapter.query.columns import WHENEVER
from tests.metrics_adapter.views import NAMESPACE, NOW, ask, numbers, pod, row, told, view


def test_each_selected_pod_tells_its_own_sample_with_its_own_time() -> None:
    known = view(
        told("queue_depth", row("a", 3, ago=2), row("b", 5, ago=7, window=30), row("c", 9)),
        pods=[pod("a"), pod("b"), pod("c", app="other")],
    )

    assert ask(known, "queue_depth", selecting="app=vllm") == [
        Value("queue_depth", 3.0, NOW - 2, None, Described("Pod", "v1", NAMESPACE, "a")),
        Value("queue_depth", 5.0, NOW - 7, 30, Described("Pod", "v1", NAMESPACE, "b")),
    ]


def test_one_pod_is_asked_for_by_name() -> None:
    known = view(told("queue_depth", row("a", 3), row("b", 5)), pods=[pod("a"), pod("b")])

    assert numbers(ask(known, "queue_depth", name="b")) == {"b": 5.0}


@pytest.mark.parametrize(
    ("left_out", "pods"),
    [
        pytest.param(row("b", 9, ago=61), ["a", "b"], id="too old"),
        pytest.param(row("b", 9, ago=-61), ["a", "b"], id="from a clock that is far ahead"),
        pytest.param(row("b", math.nan), ["a", "b"], id="not a number"),
        pytest.param(row("b", math.inf), ["a", "b"], id="infinite"),
        pytest.param(row("b", 9), ["a"], id="of a pod that was deleted"),
        pytest.param(row("b", 9, uid="of-before"), ["a", "b"], id="of another pod of that name"),
    ],
)
def test_what_is_not_known_of_a_pod_is_left_out_and_never_zero(
    left_out: Row, pods: list[str]
) -> None:
    known = view(told("queue_depth", row("a", 3), left_out), pods=[pod(name) for name in pods])

    assert numbers(ask(known, "queue_depth")) == {"a": 3.0}


def test_a_sample_from_before_a_pod_was_created_is_of_its_predecessor() -> None:
    known = view(
        told("queue_depth", row("a", 3, ago=30), row("b", 5, ago=10)),
        pods=[pod("a", born_ago=20), pod("b", born_ago=20)],
    )

    assert numbers(ask(known, "queue_depth")) == {"b": 5.0}


def test_a_sample_that_names_the_very_pod_is_believed_whatever_the_clocks_say() -> None:
    known = view(
        told("queue_depth", row("a", 3, ago=30, uid="uid-a")), pods=[pod("a", born_ago=20)]
    )

    assert numbers(ask(known, "queue_depth")) == {"a": 3.0}


def test_what_is_always_so_is_of_now() -> None:
    always = Row((NAMESPACE, "a"), {}, 3.0, WHENEVER)

    (value,) = ask(view(told("queue_depth", always), pods=[pod("a")]), "queue_depth")

    assert (value.value, value.at) == (3.0, NOW)


def test_series_of_one_pod_become_one_number() -> None:
    known = view(
        told("queue_depth", row("a", 3, labels={"model": "x"}), row("a", 4, labels={"model": "y"})),
        told(
            "kv_cache_utilization",
            row("a", 0.2, labels={"engine": "0"}),
            row("a", 0.4, labels={"engine": "1"}),
        ),
        pods=[pod("a")],
    )

    assert numbers(ask(known, "queue_depth")) == {"a": 7.0}
    assert numbers(ask(known, "queue_depth", series="model=y")) == {"a": 4.0}
    assert numbers(ask(known, "kv_cache_utilization")) == pytest.approx({"a": 0.3})


def test_a_pod_of_which_one_series_is_too_old_is_not_told_from_the_rest() -> None:
    """A sum over what is left would look like less load."""
    known = view(
        told(
            "queue_depth",
            row("a", 3, labels={"model": "x"}),
            row("a", 4, labels={"model": "y"}, ago=90),
            row("b", 1),
        ),
        pods=[pod("a"), pod("b")],
    )

    assert numbers(ask(known, "queue_depth")) == {"b": 1.0}
    assert numbers(ask(known, "queue_depth", series="model=x")) == {"a": 3.0}


def test_of_two_sources_the_fresher_is_told() -> None:
    known = view(
        told("queue_depth", row("a", 3, ago=9), row("b", 1, ago=1)),
        told("queue_depth", row("a", 5, ago=2), row("b", 2, ago=3)),
        pods=[pod("a"), pod("b")],
    )

    assert numbers(ask(known, "queue_depth")) == {"a": 5.0, "b": 1.0}


def test_without_kubernetes_objects_are_those_that_are_told_of_with_the_labels_told() -> None:
    known = view(
        told("queue_depth", row("a", 3, labels={"app": "vllm"}), row("b", 5, labels={"app": "x"}))
    )

    assert numbers(ask(known, "queue_depth")) == {"a": 3.0, "b": 5.0}
    assert numbers(ask(known, "queue_depth", selecting="app in (vllm)")) == {"a": 3.0}


def test_all_too_old_says_since_when() -> None:
    known = view(told("queue_depth", row("a", 3, ago=100)), pods=[pod("a"), pod("b")])

    with pytest.raises(Stale) as refused:
        ask(known, "queue_depth", selecting="app=vllm")

    assert refused.value.message == (
        "the server could not find the metric queue_depth for pods: no fresh sample of any of "
        "the 2 objects since 1970-01-12T13:45:00Z, 100 s ago; the limit is 60 s"
    )


@pytest.mark.parametrize(
    ("metric", "options", "reason"),
    [
        pytest.param("queue_dept", {}, "did you mean queue_depth?", id="no such metric"),
        pytest.param("queue_depth", {"name": "z"}, "there is no such object", id="no such pod"),
        pytest.param(
            "queue_depth",
            {"selecting": "app=none"},
            "there are no pods matching app=none in the namespace lab",
            id="nobody is selected",
        ),
        pytest.param(
            "queue_depth", {"series": "model=z"}, "no series matches the selector", id="no series"
        ),
        pytest.param("running_requests", {}, "no source has told a value", id="nothing told"),
    ],
)
def test_a_refusal_says_why(metric: str, options: dict[str, str], reason: str) -> None:
    known = view(told("queue_depth", row("a", 3, labels={"model": "x"})), pods=[pod("a")])

    with pytest.raises(NotFound) as refused:
        ask(known, metric, **options)

    assert refused.value.message.startswith("the server could not find the metric ")
    assert reason in refused.value.message


def test_gke_names_are_understood() -> None:
    known = view(told("queue_depth", row("a", 3)), pods=[pod("a")])

    (value,) = ask(known, "prometheus.googleapis.com|vllm:num_requests_waiting|gauge")

    assert (value.metric, value.value) == (
        "prometheus.googleapis.com|vllm:num_requests_waiting|gauge",
        3.0,
    )


def test_a_metric_that_no_table_has_is_told_if_a_source_has_it() -> None:
    known = view(told("my_gauge", row("a", 3)), pods=[pod("a")])

    assert numbers(ask(known, "my_gauge")) == {"a": 3.0}


rows = st.lists(
    st.builds(
        row,
        st.sampled_from(["a", "b", "c"]),
        st.integers(0, 9),
        ago=st.sampled_from([1.0, 20.0, 99.0]),
        labels=st.sampled_from([{}, {"model": "x"}, {"model": "y"}]),
    ),
    min_size=1,
    unique_by=lambda each: (each.key, tuple(each.labels.items())),
)


@given(rows, st.randoms(use_true_random=False))
def test_replicas_that_heard_the_same_in_any_order_say_the_same(
    told_rows: list[Row], rng: random.Random
) -> None:
    shuffled = list(told_rows)
    rng.shuffle(shuffled)

    def said(of: list[Row]) -> list[Value] | str:
        try:
            known = view(told("queue_depth", *of), pods=[pod("c"), pod("a"), pod("b")])
            return ask(known, "queue_depth")
        except NotFound as refusal:
            return refusal.message

    assert said(told_rows) == said(shuffled)


def test_what_is_listed_stays_the_same_object_while_only_values_change() -> None:
    """So that whoever keeps documents made of it need not make them anew every second."""
    before = view(told("mine", row("a", 3)))
    listed = before.custom_listing

    assert before.with_published((told("mine", row("a", 4)),)).custom_listing is listed
    renamed = before.with_published((told("other", row("a", 4)),))
    assert {line.metric for line in renamed.custom_listing} >= {"other"}
    assert "mine" not in {line.metric for line in renamed.custom_listing}


def test_remembered_selections_are_bounded_and_right(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("metrics_adapter.query.inventory.MOST_REMEMBERED", 5)
    pods = [pod(f"p{n}", app=f"a{n % 3}") for n in range(9)]
    known = view(told("queue_depth", *(row(f"p{n}", n) for n in range(9))), pods=pods)

    for _ in range(3):
        for n in range(3):
            expected = {f"p{m}": float(m) for m in range(n, 9, 3)}
            assert numbers(ask(known, "queue_depth", selecting=f"app=a{n}")) == expected
    assert len(known.inventory._chosen) <= 2
