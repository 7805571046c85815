"""Work, the service curve and what a replica sustains: the algebra, and figures that are known."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.capacity.curve import HIGHEST_LOAD, LOWEST_LOAD, ServiceCurve
from autoscaler.capacity.work import WorkModel
from autoscaler.policy.profile import ProfilePolicy

WORK = WorkModel.of(ProfilePolicy())
CHAT = ServiceCurve.of(WORK, 1100, 200)
CODE = ServiceCurve.of(WORK, 2047, 28)


def test_work_is_linear_in_rates() -> None:
    """A history of rates is a history of work: 3 requests/s of 1100 + 200 tokens."""
    (rate,) = WORK.rate(np.array([[3.0, 3300.0, 600.0]]))
    assert rate == pytest.approx(3 * WORK.request_s(1100, 200))
    assert WORK.request_s(1100, 200) == pytest.approx(0.0825 + 0.02 + 0.0208333, rel=1e-4)
    assert WORK.request_s(1100, 200, 0.5) == pytest.approx(WORK.request_s(550, 200))


def test_a_batch_that_looks_half_empty_is_a_replica_nearly_full() -> None:
    """Why KV use is a late signal: at a load of 0.9 the batch is under two thirds full."""
    assert CHAT.concurrency(0.9) == pytest.approx(0.60, abs=0.01)
    assert CODE.concurrency(0.9) < 0.2


@given(st.floats(0.0, 1.0), st.floats(0.01, 0.99))
def test_load_is_the_inverse_of_concurrency(load: float, fixed: float) -> None:
    curve = ServiceCurve(fixed, 0.5, 0.1)
    assert curve.load(curve.concurrency(load)) == pytest.approx(load, abs=1e-9)


@given(st.floats(0.0, 0.99), st.floats(0.0, 0.99), st.floats(1, 64))
def test_first_tokens_are_late_more_often_at_higher_load(
    load: float, more: float, replicas: float
) -> None:
    low, high = sorted((load, more))
    assert CODE.late(low, 2.0, replicas) <= CODE.late(high, 2.0, replicas) + 1e-12


def test_long_prompts_sustain_less_load() -> None:
    assert CHAT.sustainable_load(2.0) == HIGHEST_LOAD
    assert LOWEST_LOAD < CODE.sustainable_load(2.0) < HIGHEST_LOAD
    assert CODE.sustainable_load(0.5) < CODE.sustainable_load(2.0)


def test_an_objective_shorter_than_a_prefill_cannot_be_kept() -> None:
    assert CODE.late(0.5, 0.1, 4) == 1.0
    assert CODE.sustainable_load(0.1) == pytest.approx(LOWEST_LOAD, abs=1e-3)


def test_a_replica_without_work_is_idle() -> None:
    assert ServiceCurve.of(WORK, 0, 0).concurrency(0.0) == 0.0
    assert CHAT.load(0.0) == 0.0
