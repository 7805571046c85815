"""Figures are sums over the rounds; pickers are read from one word each."""

from __future__ import annotations

import json
import math

import pytest

from gateway.extproc.messages import BodyMode
from load_tests.envoy_config import Address
from load_tests.overhead.client import Burst
from load_tests.overhead.pickers import OURS, BadPicker, Picker, parse
from load_tests.overhead.report import figures, render
from load_tests.overhead.rounds import NONE, Round, cases
from load_tests.overhead.workloads import NUMBER_BYTES, WORKLOADS, Workload, request_parts


def took(picker: str, cpu: float, p50: float, requests: int = 100) -> Round:
    return Round("json", 16, picker, Burst(requests, 0, 1.0, p50, 2 * p50), cpu, 0.01, 600)


def test_cost_is_cpu_over_requests_and_latency_is_what_none_does_not_have() -> None:
    rounds = [
        *(took(NONE, 0.0, 0.001), took("a", 0.01, 0.002), took("b", 0.04, 0.004)),
        *(took(NONE, 0.0, 0.001), took("a", 0.02, 0.003, 200), took("b", 0.04, 0.004)),
        *(took(NONE, 0.0, 0.001), took("a", 0.03, 0.009, 300), took("b", 0.04, 0.004)),
    ]
    a, b = figures(rounds, "b")
    assert (a.picker, a.requests) == ("a", 600)
    assert a.cpu_us == pytest.approx(100)
    assert a.versus_baseline == pytest.approx(0.25)
    assert a.requests_per_core_second == pytest.approx(10_000)
    assert a.added_p50_ms == pytest.approx(2)
    assert a.added_p99_ms == pytest.approx(4)
    assert a.messages == pytest.approx(3)
    assert b.versus_baseline == 1.0
    assert "0.25x" in render([a, b], "b")


def test_without_answers_nothing_is_known() -> None:
    (figure,) = figures([took(NONE, 0.0, 0.001), took("a", 0.5, math.nan, 0)], "a")
    assert math.isnan(figure.cpu_us)
    assert "nan" in render([figure], "a") or "-" in render([figure], "a")


def test_a_picker_is_one_word() -> None:
    assert parse("go=127.0.0.1:9002,123") == Picker("go", Address("127.0.0.1", 9002), 123)
    assert parse("go=[::1]:9002,123,tls") == Picker("go", Address("::1", 9002), 123, tls=True)


@pytest.mark.parametrize(
    "text", ["", "go", "go=host,1", "go=host:1", "go=host:1,x", "=h:1,2", "go=h:1,2,ssl"]
)
def test_other_words_are_refused(text: str) -> None:
    with pytest.raises(BadPicker, match="name=host:port,pid"):
        parse(text)


def test_a_gateway_that_lets_go_is_asked_in_a_mode_in_which_it_may() -> None:
    assert OURS["wire"].plan.config == {}
    assert OURS["wire"].response_body is BodyMode.FULL_DUPLEX_STREAMED
    for name, mode in (("wire-headers", "headers"), ("wire-adaptive", "adaptive")):
        assert OURS[name].plan.config == {"responseProcessing": {"mode": mode}}
        assert OURS[name].plan.flags == ("--transport=wire",)
        assert OURS[name].response_body is BodyMode.STREAMED


@pytest.mark.parametrize("workload", WORKLOADS.values(), ids=WORKLOADS.keys())
def test_a_request_is_as_long_as_it_says(workload: Workload) -> None:
    before, after = request_parts(workload)
    head, _, body = (before + b"0" * NUMBER_BYTES + after).partition(b"\r\n\r\n")
    assert len(body) == workload.body_bytes
    assert f"content-length: {len(body)}".encode() in head
    assert json.loads(body)["stream"] is (workload.chunks > 0)


def test_workloads_take_the_connections_that_become_them_unless_told() -> None:
    assert cases(["json", "sse-64"], None) == (
        *(("json", 1), ("json", 16), ("json", 256)),
        ("sse-64", 64),
    )
    assert cases(["json", "sse-64"], [2]) == (("json", 2), ("sse-64", 2))
