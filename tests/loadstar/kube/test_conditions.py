"""A condition holds only where the status says so; times are read as they are written."""

from __future__ import annotations

import pytest

from loadstar.kube.conditions import is_true, micro_timestamp, seconds_of, timestamp

T0 = 1_700_000_000.0


@pytest.mark.parametrize(
    ("conditions", "holds"),
    [
        pytest.param([{"type": "Ready", "status": "True"}], True, id="true"),
        pytest.param([{"type": "Ready", "status": "False"}], False, id="false"),
        pytest.param([{"type": "Ready", "status": "Unknown"}], False, id="not known"),
        pytest.param([{"type": "Other", "status": "True"}], False, id="another"),
        pytest.param([], False, id="not said"),
    ],
)
def test_a_condition_holds_only_where_it_is_said_to(
    conditions: list[dict[str, str]], holds: bool
) -> None:
    assert is_true(conditions, "Ready") is holds


def test_times_as_the_api_writes_them() -> None:
    assert timestamp(T0) == "2023-11-14T22:13:20Z"
    assert micro_timestamp(T0 + 0.25) == "2023-11-14T22:13:20.250000Z"
    assert seconds_of("2023-11-14T22:13:20Z") == T0
    assert seconds_of("2023-11-14T22:13:20.250000Z") == T0 + 0.25
