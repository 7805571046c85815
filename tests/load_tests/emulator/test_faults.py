"""Faults as values: what is taken, what is refused, and that they read back."""

from __future__ import annotations

import pytest

from load_tests.emulator.faults import BadFault, Faults, Metrics, changed, described


def test_json_and_text_mean_the_same() -> None:
    json = {"error_rate": 0.5, "stalled": True, "metrics": "nan", "drop_after_tokens": 3}
    text = {"error_rate": "0.5", "stalled": "true", "metrics": "nan", "drop_after_tokens": "3"}
    expected = Faults(error_rate=0.5, stalled=True, metrics=Metrics.NAN, drop_after_tokens=3)
    assert changed(Faults(), json) == changed(Faults(), text) == expected


def test_what_is_not_named_stays() -> None:
    faults = Faults(slowness=3.0, unhealthy=True)
    assert changed(faults, {"unhealthy": False}) == Faults(slowness=3.0)
    assert changed(faults, {}) == faults


def test_described_reads_back() -> None:
    faults = Faults(error_rate=0.1, metrics=Metrics.FROZEN, metrics_delay_s=2.0, stalled=True)
    assert changed(Faults(), described(faults)) == faults


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        pytest.param({"eror_rate": 1}, "eror_rate: unknown fault", id="unknown"),
        pytest.param({"error_rate": 2}, "a share is from 0 to 1", id="share"),
        pytest.param({"error_rate": "x"}, "'x' is no value", id="text"),
        pytest.param({"error_rate": None}, "None is no value", id="none"),
        pytest.param({"stalled": 1}, "1 is no value", id="number for a truth"),
        pytest.param({"stalled": "yes"}, "'yes' is no value", id="yes"),
        pytest.param({"metrics": "broken"}, "'broken' is no value", id="mode"),
        pytest.param({"slowness": 0}, "cannot be", id="slowness"),
        pytest.param({"error_status": 200}, "from 400 to 599", id="status"),
        pytest.param({"error_rate": "nan"}, "a share is from 0 to 1", id="nan"),
    ],
)
def test_what_is_refused(wanted: dict[str, object], message: str) -> None:
    with pytest.raises(BadFault, match=message):
        changed(Faults(), wanted)
