"""The whole deployment serves: clients, a real Envoy, the gateway, emulated model servers."""

from __future__ import annotations

import random
import signal
from pathlib import Path

import pytest

from gateway.extproc.messages import BodyMode
from load_tests.arrival_times import poisson, within
from load_tests.drive import Driver, target
from load_tests.envoy_config import Balancing
from load_tests.fleet import Fleet, FleetPlan, GatewayPlan, Policy, ServersPlan, fleet
from load_tests.measure import Sample
from load_tests.workload import Conversation, PrefixFree, Shape, SharedPrefix
from loadstar.clock import SystemClock

pytestmark = [pytest.mark.envoy, pytest.mark.timeout(200)]

SERVERS = ServersPlan(count=2, profile="H100-8B", speed=10)
CHATS = Conversation(systems=2, system_tokens=300, output_tokens=8, think_s=0.5)


async def driven(running: Fleet, shape: Shape, rate: float, seconds: float) -> list[Sample]:
    rng = random.Random(1)
    arrivals = shape.arrivals(within(poisson(rate, rng), seconds), rng)
    samples: list[Sample] = []
    driver = Driver(target(running.address, "m"), SystemClock(), request_s=20)
    await driver.run(arrivals, lambda _, sample: samples.append(sample))
    return samples


@pytest.mark.parametrize(
    "plan",
    [
        pytest.param(FleetPlan(servers=SERVERS), id="as a gateway deploys it"),
        pytest.param(
            FleetPlan(servers=SERVERS, balancing=Balancing.OVERRIDE_HOST), id="override host"
        ),
        pytest.param(FleetPlan(servers=SERVERS, body=BodyMode.BUFFERED), id="buffered"),
        pytest.param(FleetPlan(servers=SERVERS, body=BodyMode.STREAMED), id="streamed"),
        pytest.param(FleetPlan(servers=SERVERS, body=BodyMode.NONE), id="headers only"),
        pytest.param(FleetPlan(servers=SERVERS, gateway=GatewayPlan(tls=False)), id="without TLS"),
        pytest.param(FleetPlan(policy=Policy.ROUND_ROBIN, servers=SERVERS), id="round robin"),
    ],
)
async def test_conversations_are_served(plan: FleetPlan, tmp_path: Path) -> None:
    async with fleet(plan, tmp_path) as running:
        samples = await driven(running, CHATS, rate=30, seconds=1)
        servers = {address.text for address in running.servers.addresses}
    assert [s for s in samples if not s.ok] == []
    assert {s.served_by for s in samples} <= servers
    assert all(s.output_tokens and s.prompt_tokens and s.prompt_tokens > 300 for s in samples)


async def test_a_shared_prefix_is_found_where_it_was_left(tmp_path: Path) -> None:
    """Two prefixes, two servers: after the first of each, the gateway knows who has it."""
    shape = SharedPrefix(groups=2, prefix_tokens=2000, question_tokens=40, output_tokens=4)
    async with fleet(FleetPlan(servers=SERVERS), tmp_path) as running:
        await driven(running, shape, rate=10, seconds=1)
        samples = await driven(running, shape, rate=20, seconds=1)
    assert len(samples) > 10
    assert all(s.cached_tokens is not None and s.cached_tokens >= 1984 for s in samples)


async def test_a_lost_gateway_that_may_fail_open_costs_its_streams_and_no_others(
    tmp_path: Path,
) -> None:
    plan = FleetPlan(servers=SERVERS, balancing=Balancing.OVERRIDE_HOST, failure_mode_allow=True)
    async with fleet(plan, tmp_path) as running:
        assert running.gateway is not None
        before = await driven(running, PrefixFree(output_tokens=4), rate=20, seconds=0.5)
        running.gateway.process.send(signal.SIGKILL)
        await driven(running, PrefixFree(output_tokens=4), rate=20, seconds=0.3)
        after = await driven(running, PrefixFree(output_tokens=4), rate=20, seconds=1)
    assert [s for s in before if not s.ok] == []
    assert len(after) > 5
    assert [s for s in after if not s.ok] == []
