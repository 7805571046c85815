"""Conditions keep their time while their status stays, and leave others' alone."""

from __future__ import annotations

import pytest

from loadstar.kube.conditions import (
    Condition,
    Truth,
    is_true,
    micro_timestamp,
    seconds_of,
    timestamp,
    with_condition,
)

T0 = 1_700_000_000.0


def test_a_new_condition_comes_last() -> None:
    other = {"type": "Other", "status": "True"}
    assert with_condition([other], Condition("Ready", "True", "AllGood", "fine", 3), T0) == [
        other,
        {
            "type": "Ready",
            "status": "True",
            "reason": "AllGood",
            "message": "fine",
            "lastTransitionTime": "2023-11-14T22:13:20Z",
            "observedGeneration": 3,
        },
    ]


@pytest.mark.parametrize(
    ("status", "since"),
    [("True", "2023-11-14T22:13:20Z"), ("False", "2023-11-14T22:14:20Z")],
)
def test_the_time_moves_with_the_status_only(status: Truth, since: str) -> None:
    before = with_condition([], Condition("Ready", "True", "AllGood"), T0)
    after = with_condition(before, Condition("Ready", status, "Other", "new"), T0 + 60)
    assert after == [
        {
            "type": "Ready",
            "status": status,
            "reason": "Other",
            "message": "new",
            "lastTransitionTime": since,
        }
    ]
    assert is_true(after, "Ready") is (status == "True")


def test_times_as_the_api_writes_them() -> None:
    assert timestamp(T0) == "2023-11-14T22:13:20Z"
    assert micro_timestamp(T0 + 0.25) == "2023-11-14T22:13:20.250000Z"
    assert seconds_of("2023-11-14T22:13:20Z") == T0
    assert seconds_of("2023-11-14T22:13:20.250000Z") == T0 + 0.25
