"""Saturation sheds negative priorities and nobody else."""

from __future__ import annotations

import math

import pytest

from gateway.admission.sheddable import admit
from gateway.errors import Shed


@pytest.mark.parametrize(
    ("priority", "saturation"),
    [
        pytest.param(0, 5.0, id="default priority is never shed"),
        pytest.param(7, math.nan, id="high priority neither"),
        pytest.param(-1, 0.99, id="sheddable with room left"),
    ],
)
def test_a_request_passes(priority: int, saturation: float) -> None:
    admit(priority, saturation)


@pytest.mark.parametrize(
    ("priority", "saturation"),
    [
        pytest.param(-1, 1.0, id="exactly full"),
        pytest.param(-100, 3.0, id="overfull"),
        pytest.param(-1, math.inf, id="beyond measure"),
        pytest.param(-1, math.nan, id="not known counts as full"),
    ],
)
def test_a_request_is_shed(priority: int, saturation: float) -> None:
    with pytest.raises(Shed, match="sheddable request dropped"):
        admit(priority, saturation)
