"""A clock of the autoscaler's that outruns the machine's: flags, pace, and whose seconds count."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest

from autoscaler.config import parse
from autoscaler.controllers.hurried import HeardLately, at_pace, wake_in_time, window_s
from autoscaler.observe.feed_demand import FeedDemand
from autoscaler.policy.model import Policy, load_policy
from gateway.config import flags as gateway_flags
from gateway.publish import SHORTEST_INTERVAL_S
from loadstar.config.errors import ConfigError
from loadstar.signals.model import PoolLoad, Snapshot

FACTOR = 360.0


def policy() -> Policy:
    return load_policy({"period": "30s", "models": [{"name": "llama"}], "pools": [{"name": "gpu"}]})


class Machine:
    def now(self) -> float:
        return 50.0

    def wall(self) -> float:
        return 1_010.0


def test_demand_is_of_the_machines_last_second_whatever_the_day_says() -> None:
    feed = FeedDemand(window_s=window_s(FACTOR), stale_after_s=5.0)
    for tenth in range(21):
        load = PoolLoad(
            namespace="lab", pool="chat", model="llama", counters={"arrivals": 2.0 * tenth}
        )
        at_s = 1_008.0 + tenth / 10.0
        feed.heard(Snapshot(publisher="a", started_at=0.0, observed_at=at_s, pools=(load,)))
    heard = HeardLately(feed, Machine())
    demand = heard.demand(policy().models[0], now_s=1.7e9)
    assert demand.window_s == 1.0
    assert demand.arrivals_rps == pytest.approx(20.0)


def test_an_unhurried_window_is_the_usual_one() -> None:
    assert (window_s(1.0), window_s(5.0), window_s(FACTOR)) == (15.0, 3.0, 1.0)


def test_what_sleeps_for_real_has_a_period_in_real_seconds() -> None:
    assert at_pace(policy(), 1.0) == policy()
    assert at_pace(policy(), FACTOR).period_s == pytest.approx(30.0 / FACTOR, rel=1e-3)


@pytest.mark.looptime
async def test_the_loop_is_woken_each_period_of_its_clock() -> None:
    woken: list[float] = []
    loop = asyncio.get_running_loop()
    began = loop.time()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(1.0):
            await wake_in_time(lambda: woken.append(loop.time() - began), policy, FACTOR)
    assert len(woken) in (11, 12)  # of a twelfth of a second each
    assert woken[0] == pytest.approx(30.0 / FACTOR, rel=1e-3)


@pytest.mark.parametrize(
    ("given", "place"),
    [
        pytest.param(["--clock-factor=360"], "--clock-factor", id="when do they agree?"),
        pytest.param(
            ["--clock-factor=360", "--clock-agreed-at=5"], "--clock-factor", id="no local fleet"
        ),
        pytest.param(["--clock-factor=-1"], "clock-factor", id="backwards"),
    ],
)
def test_a_clock_of_its_own_is_for_local_fleets_alone(
    given: list[str], place: str, tmp_path: Path
) -> None:
    file = tmp_path / "policy.yaml"
    file.touch()
    with pytest.raises(ConfigError) as caught:
        parse([f"--policy-file={file}", "--signals=gateway:9004", *given])
    assert place in str(caught.value)
    good = ["--local-fleet=http://127.0.0.1:1", "--clock-factor=360", "--clock-agreed-at=5"]
    flags = parse([f"--policy-file={file}", "--signals=gateway:9004", *good])
    assert (flags.clock_factor, flags.clock_agreed_at) == (360.0, 5.0)


def test_signals_come_each_second_unless_told_otherwise() -> None:
    assert gateway_flags.Flags().signals_interval == 1.0
    assert SHORTEST_INTERVAL_S > 0.0
