"""External metrics: series of one granularity, models by names that a selector can hold."""

from __future__ import annotations

import math

import numpy as np
import pytest

from loadstar.kube.resources import INFERENCE_POOLS
from metrics_adapter.catalog import sanitized, with_model
from metrics_adapter.errors import NotFound, Stale
from metrics_adapter.query import Value
from tests.metrics_adapter.views import (
    NOW,
    ask_outside,
    outside,
    pod,
    pool,
    row,
    told,
    view,
)

LLAMA = with_model({"model_name": "meta-llama/Llama-3.1-8B"})
QWEN = with_model({"model_name": "qwen"})


def test_series_are_selected_by_their_labels() -> None:
    known = view(
        outside("queue_messages", 5, queue="a"),
        outside("queue_messages", 7, queue="b", ago=2),
    )

    assert ask_outside(known, "queue_messages", "queue in (b, c)") == [
        Value("queue_messages", 7.0, NOW - 2, None, None, {"queue": "b"})
    ]
    assert [v.value for v in ask_outside(known, "queue_messages")] == [5.0, 7.0]


def test_a_series_of_one_namespace_is_not_told_in_another() -> None:
    known = view(outside("m", 5, namespace="lab"), outside("m", 7, namespace="prod", x="y"))

    assert [v.value for v in ask_outside(known, "m", namespace="lab")] == [5.0]


def test_old_and_unreadable_series_are_left_out_until_none_is_left() -> None:
    old, unreadable = outside("m", 5, ago=90, x="a"), outside("m", math.nan, x="b")

    assert [v.value for v in ask_outside(view(old, unreadable, outside("m", 1)), "m")] == [1.0]
    with pytest.raises(Stale, match="90 s ago; the limit is 60 s"):
        ask_outside(view(old, unreadable), "m")


def test_an_unknown_metric_is_refused_with_names_that_are_like_it() -> None:
    with pytest.raises(NotFound, match=r"did you mean queue_depth\?"):
        ask_outside(view(), "queue_dept")
    with pytest.raises(NotFound, match="no series matches the selector"):
        ask_outside(view(outside("m", 1, x="a")), "m", "x=b")


def test_traffic_is_told_by_pool_and_model() -> None:
    known = view(
        told(
            "requests_per_second",
            row("chat", 4, labels=LLAMA, window=60),
            row("chat", 2, labels=QWEN),
            resource=INFERENCE_POOLS,
        )
    )

    (value,) = ask_outside(known, "requests_per_second", f"model={sanitized(LLAMA['model_name'])}")

    assert value == Value(
        "requests_per_second",
        4.0,
        NOW - 1,
        60,
        None,
        {"pool": "chat", "model": "meta-llama--Llama-3.1-8B", "model_name": LLAMA["model_name"]},
    )
    assert len(ask_outside(known, "requests_per_second", "pool=chat")) == 2


def test_an_expression_is_worked_out_for_each_pool_and_model() -> None:
    known = view(
        told(
            "errors_per_second",
            row("chat", 1, labels=LLAMA, ago=5),
            row("chat", 0, labels=QWEN),
            resource=INFERENCE_POOLS,
        ),
        told(
            "requests_per_second",
            row("chat", 4, labels=LLAMA),
            row("chat", 0, labels=QWEN),
            resource=INFERENCE_POOLS,
        ),
    )

    values = {v.labels["model_name"]: (v.value, v.at) for v in ask_outside(known, "error_rate")}

    assert values == {LLAMA["model_name"]: (0.25, NOW - 5), "qwen": (0.0, NOW - 1)}


def test_where_models_are_not_known_there_is_one_series_for_each_pool() -> None:
    known = view(
        told("queue_depth", row("a", 3), row("b", 4)),
        told("gateway_queue_depth", row("chat", 5, labels=QWEN), resource=INFERENCE_POOLS),
        pods=[pod("a"), pod("b")],
        groups=[pool()],
    )

    assert [(v.labels, v.value) for v in ask_outside(known, "queue_depth")] == [
        ({"pool": "chat"}, 7.0)
    ]
    assert [(v.labels, v.value) for v in ask_outside(known, "pending_requests")] == [
        ({"pool": "chat"}, 12.0)
    ]


def test_a_pool_without_pods_waits_for_what_gateways_hold_and_says_nothing_without_them() -> None:
    """Zero pods and no word from a gateway is not an empty queue."""
    held = told("gateway_queue_depth", row("chat", 5, labels=QWEN), resource=INFERENCE_POOLS)

    assert [
        v.value for v in ask_outside(view(held, pods=[], groups=[pool()]), "pending_requests")
    ] == [5.0]
    with pytest.raises(NotFound):
        ask_outside(view(pods=[], groups=[pool()]), "pending_requests")


def test_latencies_are_quantiles_of_a_model() -> None:
    known = view(
        told(
            "time_to_first_token_ms",
            row("chat", math.nan, labels=QWEN, counts=[9, 1, 0], window=60),
            resource=INFERENCE_POOLS,
            bounds=[0.1, 0.2, np.inf],
        )
    )

    (ninety,) = ask_outside(known, "time_to_first_token_ms")
    (most,) = ask_outside(known, "time_to_first_token_ms_p99", "model=qwen")

    assert ninety.value == pytest.approx(100)
    assert most.value == pytest.approx(190)


def test_what_no_other_reader_may_have_is_not_told_outside() -> None:
    known = view(told("gpu_utilization_percent", row("a", 3)), pods=[pod("a")], groups=[pool()])

    with pytest.raises(NotFound):
        ask_outside(known, "gpu_utilization_percent")


def test_external_rows_that_are_too_old_are_not_replaced_by_something_else() -> None:
    known = view(
        outside("queue_depth", 50, ago=90),
        told("queue_depth", row("a", 3)),
        pods=[pod("a")],
        groups=[pool()],
    )

    with pytest.raises(Stale):
        ask_outside(known, "queue_depth")
