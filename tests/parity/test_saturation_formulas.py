"""Saturation detectors and their filters give the reference's numbers."""

from __future__ import annotations

import math

import pytest

from gateway.datalayer.state import PoolState, pool_state
from gateway.plugins.detectors.concurrency import ConcurrencyDetector, Mode
from gateway.plugins.detectors.utilization import UtilizationDetector
from tests.builders import NOW, candidates, cycle, pool


def utilization(headroom: float = 0.0) -> UtilizationDetector:
    return UtilizationDetector(
        queue_threshold=5.0, kv_threshold=0.8, staleness=0.2, headroom=headroom
    )


def concurrency(mode: Mode = Mode.REQUESTS, headroom: float = 0.0) -> ConcurrencyDetector:
    return ConcurrencyDetector(
        max_requests=100.0,
        max_tokens=1000.0,
        mode=mode,
        headroom=headroom,
        until_the_end=False,
    )


@pytest.mark.parametrize(
    ("state", "saturation"),
    [
        pytest.param(pool(waiting=[0, 5], kv_used=[0.4, 0.1]), 0.75, id="mean of 0.5 and 1"),
        pytest.param(pool(waiting=[10], kv_used=[0.8]), 2.0, id="whichever is fuller"),
        pytest.param(pool(waiting=[0], kv_used=[0.0]), 0.0, id="idle"),
        pytest.param(
            pool(waiting=[0, 0], observed_at=[NOW, NOW - 0.3]), 0.5, id="stale counts as full"
        ),
        pytest.param(pool(waiting=[0, 0], observed_at=[NOW, None]), 0.5, id="never scraped too"),
        pytest.param(pool(waiting=[0, None]), 0.5, id="a missing metric too"),
        pytest.param(pool(waiting=[0], observed_at=[NOW - 0.125]), 0.0, id="just fresh enough"),
    ],
)
def test_utilization_saturation(state: PoolState, saturation: float) -> None:
    assert utilization().saturation(state, NOW) == pytest.approx(saturation)


@pytest.mark.parametrize(
    ("headroom", "state", "kept"),
    [
        pytest.param(0.0, pool(waiting=[4, 5, 0], kv_used=[0.7, 0.7, 0.8]), [1, 0, 0], id="below"),
        pytest.param(
            0.2, pool(waiting=[5, 6, 0], kv_used=[0.9, 0.7, 0.97]), [1, 0, 0], id="headroom"
        ),
        pytest.param(0.0, pool(waiting=[9, 9]), [1, 1], id="nobody below: everybody"),
        pytest.param(
            0.0,
            pool(waiting=[9, 0], observed_at=[NOW, NOW - 1]),
            [1, 1],
            id="the idle one is stale",
        ),
        pytest.param(0.0, pool(waiting=[1, None]), [1, 0], id="unknown is not below"),
    ],
)
def test_utilization_filter(headroom: float, state: PoolState, kept: list[int]) -> None:
    assert utilization(headroom).keep(cycle(state), candidates(state)).tolist() == [
        bool(keep) for keep in kept
    ]


@pytest.mark.parametrize(
    ("mode", "saturation"),
    [
        pytest.param(Mode.REQUESTS, (50 + 150) / 200, id="requests"),
        pytest.param(Mode.TOKENS, (900 + 300) / 2000, id="tokens"),
        pytest.param(Mode.HYBRID, (0.9 + 1.5) / 2, id="per endpoint the fuller"),
    ],
)
def test_concurrency_saturation(mode: Mode, saturation: float) -> None:
    state = pool(inflight_requests=[50, 150], inflight_prefill=[900, 300])
    assert concurrency(mode).saturation(state, NOW) == pytest.approx(saturation)


@pytest.mark.parametrize(
    ("mode", "headroom", "kept"),
    [
        pytest.param(Mode.REQUESTS, 0.0, [True, False, False], id="99 of 100"),
        pytest.param(Mode.REQUESTS, 0.2, [True, True, False], id="up to 119"),
        pytest.param(Mode.TOKENS, 0.0, [False, True, True], id="tokens"),
        pytest.param(Mode.HYBRID, 0.2, [True, True, False], id="both"),
    ],
)
def test_concurrency_filter(mode: Mode, headroom: float, kept: list[bool]) -> None:
    state = pool(inflight_requests=[99, 119, 120], inflight_prefill=[1000, 999, 0])
    assert concurrency(mode, headroom).keep(cycle(state), candidates(state)).tolist() == kept


def test_concurrency_filter_may_drop_everybody() -> None:
    state = pool(inflight_requests=[100, 200])
    assert not concurrency().keep(cycle(state), candidates(state)).any()


@pytest.mark.parametrize("detector", [utilization(), concurrency()], ids=["metrics", "account"])
def test_an_empty_pool_is_full(detector: UtilizationDetector | ConcurrencyDetector) -> None:
    assert detector.saturation(pool_state(1, (), pool().columns), NOW) == 1.0


def test_saturation_is_a_number_whatever_is_unknown() -> None:
    state = pool(waiting=[None, 0], kv_used=[0.5, None], observed_at=[None, NOW])
    assert not math.isnan(utilization().saturation(state, NOW))
