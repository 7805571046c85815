"""A client's request goes through a real Envoy to the server that our gateway picks, and back."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import random
import signal
from collections import Counter
from pathlib import Path

import aiohttp
import pytest
import yaml

from gateway.extproc.messages import BodyMode
from load_tests.envoy import envoy
from load_tests.envoy_config import Address, Balancing, EnvoyPlan, PickerPlan
from load_tests.fleet import (
    HOST,
    Fleet,
    FleetPlan,
    GatewayPlan,
    ServersPlan,
    fleet,
    gateway,
    model_servers,
)
from load_tests.ports import free_ports
from tests.integration.traffic import chat, client, completion, get, post, samples, until

pytestmark = [pytest.mark.envoy, pytest.mark.timeout(120)]

MODES = pytest.mark.parametrize(
    "mode",
    [BodyMode.FULL_DUPLEX_STREAMED, BodyMode.BUFFERED, BodyMode.STREAMED],
    ids=lambda mode: mode.name,
)
TRANSPORTS = pytest.mark.parametrize("transport", ["wire", "grpcio"])
FAST = ServersPlan(count=3, speed=20.0)
ECHO = ServersPlan(count=2, flags=("--echo",))
MIB = 1 << 20
KNOWN_DOWN_SECONDS = 2.5


def plan(mode: BodyMode, transport: str = "wire", servers: ServersPlan = FAST) -> FleetPlan:
    return FleetPlan(
        servers=servers, body=mode, gateway=GatewayPlan(flags=(f"--transport={transport}",))
    )


async def nothing_in_flight(session: aiohttp.ClientSession, running: Fleet) -> bool:
    assert running.gateway is not None
    url = running.gateway.metrics_url
    counts = [
        *await samples(session, url, "loadstar_gateway_inflight_requests"),
        *await samples(session, url, "loadstar_gateway_inflight_tokens"),
        *await samples(session, url, "loadstar_gateway_requests_live"),
    ]
    assert len(counts) == 2 * len(running.servers.addresses) + 1
    return not any(counts)


@MODES
@TRANSPORTS
async def test_answers_arrive_whole_streamed_or_not(
    mode: BodyMode, transport: str, tmp_path: Path
) -> None:
    async with fleet(plan(mode, transport), tmp_path) as running, client() as session:
        url = running.envoy.url
        for path, ask in (("/v1/chat/completions", chat), ("/v1/completions", completion)):
            whole = await post(session, url + path, ask("Where does this go?", stream=False))
            assert whole.status == 200
            assert whole.json["usage"]["completion_tokens"] == 8
            streamed = await post(session, url + path, ask("Where does this go?", stream=True))
            assert streamed.headers["content-type"].startswith("text/event-stream")
            assert streamed.events[-1] == "[DONE]"
            assert streamed.events[-2]["usage"]["completion_tokens"] == 8
        listed = await get(session, url + "/v1/models")
        assert listed.status == 200
        await until(lambda: nothing_in_flight(session, running))


@MODES
@TRANSPORTS
@pytest.mark.parametrize("size", [MIB, 10 * MIB], ids=["1 MiB", "10 MiB"])
async def test_large_bodies_reach_the_server_byte_for_byte(
    mode: BodyMode, transport: str, size: int, tmp_path: Path
) -> None:
    rng = random.Random(size)
    text = "".join(rng.choices('abcdefghij \\"\n\t<>&\u00e9\u4e16', k=1024)) * (size // 1024)
    body = json.dumps(completion(text, stream=False), ensure_ascii=False).encode()
    assert len(body) > size
    async with (
        fleet(plan(mode, transport, ECHO), tmp_path) as running,
        client() as session,
    ):
        sent = await asyncio.gather(  # noqa: TID251 -- the order of answers is what is asserted
            *(post(session, running.envoy.url + "/v1/completions", body) for _ in range(3))
        )
        assert {reply.status for reply in sent} == {200}
        assert {reply.json["sha256"] for reply in sent} == {hashlib.sha256(body).hexdigest()}
        await until(lambda: nothing_in_flight(session, running))


@MODES
@TRANSPORTS
async def test_clients_that_leave_mid_stream_leave_nothing_behind(
    mode: BodyMode, transport: str, tmp_path: Path
) -> None:
    slow = ServersPlan(count=3, speed=1.0)
    async with fleet(plan(mode, transport, slow), tmp_path) as running, client() as session:

        async def leave(turn: int) -> None:
            asked = chat(f"Tell me of {turn}", stream=True, max_tokens=4000)
            url = running.envoy.url + "/v1/chat/completions"
            # BUFFERED keeps the whole answer back; there a client leaves while it waits.
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(1.0), session.post(url, json=asked) as answer:
                    assert answer.status == 200
                    await answer.content.readany()
                    answer.close()

        async with asyncio.TaskGroup() as clients:
            for turn in range(40):
                clients.create_task(leave(turn))
        await until(lambda: nothing_in_flight(session, running))
        after = await post(
            session, running.envoy.url + "/v1/chat/completions", chat("Still?", stream=False)
        )
        assert after.status == 200


@pytest.mark.parametrize("mode", [BodyMode.BUFFERED, BodyMode.STREAMED], ids=lambda m: m.name)
async def test_answers_longer_than_the_drain_outlive_the_gateway(
    mode: BodyMode, tmp_path: Path
) -> None:
    slow = ServersPlan(count=2, speed=1.0)
    async with fleet(plan(mode, servers=slow), tmp_path) as running, client() as session:
        assert running.gateway is not None
        child = running.gateway.process
        asked = chat("Tell me all", stream=True, max_tokens=400)
        async with asyncio.TaskGroup() as clients:
            url = running.envoy.url + "/v1/chat/completions"
            answers = [clients.create_task(post(session, url, asked)) for _ in range(12)]
            await asyncio.sleep(0.5)
            child.send(signal.SIGTERM)
            await until(lambda: asyncio.sleep(0, child.returncode is not None))
            assert child.returncode == 0
            assert not any(answer.done() for answer in answers)
        for answer in answers:
            events = answer.result().events
            assert events[-1] == "[DONE]"
            assert events[-2]["usage"]["completion_tokens"] == 400


@pytest.mark.parametrize(
    ("open_when_failed", "meanwhile"),
    [
        pytest.param(False, "refused", id="fail closed"),
        pytest.param(True, "served", id="fail open"),
    ],
)
@pytest.mark.parametrize(
    "mode",
    [BodyMode.FULL_DUPLEX_STREAMED, BodyMode.BUFFERED, BodyMode.STREAMED],
    ids=lambda mode: mode.name,
)
async def test_a_gateway_killed_and_restarted_under_load_hangs_nobody(
    mode: BodyMode, open_when_failed: bool, meanwhile: str, tmp_path: Path
) -> None:
    """Fail closed: 5xx while it is gone. Fail open: Envoy chooses. Then back to normal."""
    listen, admin, port = free_ports(3)
    replies: list[tuple[str, int]] = []
    phase = "before"
    flags = GatewayPlan(flags=("--grpc-port", str(port)))

    async with model_servers(FAST, tmp_path) as servers:
        proxy = EnvoyPlan(
            Address(HOST, listen),
            Address(HOST, admin),
            Balancing.OVERRIDE_HOST,
            servers.addresses,
            PickerPlan(
                Address(HOST, port),
                request_body=mode,
                response_body=mode,
                failure_mode_allow=open_when_failed,
            ),
        )
        async with envoy(proxy, workdir=tmp_path) as running, client() as session:

            async def load() -> None:
                turn = 0
                while phase != "over":
                    turn += 1
                    asked = chat(f"Turn {turn}", stream=bool(turn % 2))
                    began = phase
                    try:
                        reply = await post(session, running.url + "/v1/chat/completions", asked)
                        replies.append((began if began == phase else "between", reply.status))
                    except aiohttp.ClientPayloadError:
                        replies.append(("cut", 0))  # it was streaming when the gateway was killed

            async with asyncio.TaskGroup() as tasks:
                async with gateway(flags, servers.addresses, tmp_path, "first") as first:
                    workers = [tasks.create_task(load()) for _ in range(8)]
                    await asyncio.sleep(1.0)
                    phase = "between"
                    first.process.send(signal.SIGKILL)
                # In full duplex Envoy has given a body away before it learns that nobody is there;
                # requests fail until it knows, even where it may fail open.
                await asyncio.sleep(KNOWN_DOWN_SECONDS)
                phase = "without"
                await asyncio.sleep(1.0)
                phase = "between"
                async with gateway(flags, servers.addresses, tmp_path, "second"):
                    await asyncio.sleep(1.5)  # Envoy retries its connection with a backoff
                    phase = "after"
                    await asyncio.sleep(1.0)
                    phase = "over"
                    async with asyncio.timeout(30):
                        for worker in workers:
                            await worker

    seen = {name: Counter(s for p, s in replies if p == name) for name in dict(replies)}
    assert set(seen["before"]) == {200}
    assert set(seen["after"]) == {200}
    if meanwhile == "served":
        assert set(seen["without"]) == {200}
    else:
        assert seen["without"]
        assert all(500 <= status < 600 for status in seen["without"])


async def test_a_subset_hint_binds_every_kind_of_request(tmp_path: Path) -> None:
    listen, admin = free_ports(2)
    async with (
        model_servers(FAST, tmp_path) as servers,
        gateway(GatewayPlan(), servers.addresses, tmp_path) as picker,
    ):
        proxy = EnvoyPlan(
            Address(HOST, listen),
            Address(HOST, admin),
            Balancing.OVERRIDE_HOST,
            servers.addresses,
            PickerPlan(picker.address, subset_test_headers=True),
        )
        async with envoy(proxy, workdir=tmp_path) as running, client() as session:
            only = servers.addresses[1].text
            url = running.url + "/v1/completions"
            for _ in range(5):
                hint = {"x-test-subset": only}
                posted = await post(session, url, completion("hi", stream=False), hint)
                listed = await get(session, running.url + "/v1/models", hint)
                assert posted.headers["x-served-by"] == only
                assert listed.headers["x-served-by"] == only
            nowhere = {"x-test-subset": "127.0.0.1:1"}
            for reply in (
                await post(session, url, completion("hi", stream=False), nowhere),
                await get(session, running.url + "/v1/models", nowhere),
            ):
                assert reply.status == 503
                assert reply.headers["x-llm-d-request-dropped-reason"] == "rejected-no-endpoints"
                assert "error" in reply.json


@MODES
async def test_models_are_rewritten_by_weight_and_named_back(
    mode: BodyMode, tmp_path: Path
) -> None:
    served = ServersPlan(count=2, speed=50.0, flags=("--model", "llama-v1", "--model", "llama-v2"))
    async with fleet(plan(mode, servers=served), tmp_path) as running, client() as session:
        assert running.gateway is not None
        path = running.gateway.endpoints_file
        listed = yaml.safe_load(await asyncio.to_thread(path.read_text))
        rule = {
            "targets": [
                {"weight": 75, "modelRewrite": "llama-v1"},
                {"weight": 25, "modelRewrite": "llama-v2"},
            ]
        }
        listed["rewrites"] = [{"name": "canary", "rules": [rule]}]
        await asyncio.to_thread(path.write_text, yaml.safe_dump(listed))
        url = running.envoy.url + "/v1/chat/completions"

        async def rewritten() -> bool:
            return (await post(session, url, chat("hi", stream=False))).status == 200

        await until(rewritten)
        for turn in range(60):
            reply = await post(session, url, chat(f"hi {turn}", stream=bool(turn % 2)))
            assert reply.status == 200, reply.body
            named = (
                {event["model"] for event in reply.events[:-1]}
                if turn % 2
                else {reply.json["model"]}
            )
            assert named == {"llama"}
        decisions = await samples(
            session, running.gateway.metrics_url, "llm_d_epp_model_rewrite_decisions_total"
        )
        assert sum(decisions) >= 60
        assert 0.55 < max(decisions) / sum(decisions) < 0.95


@TRANSPORTS
async def test_a_retry_elsewhere_moves_the_account_to_who_served(
    transport: str, tmp_path: Path
) -> None:
    """Two destinations are named; the first refuses connections, so Envoy goes to the second."""
    dead = free_ports(1)[0]
    config = {
        "plugins": [
            {"type": "random-picker", "parameters": {"maxNumOfEndpoints": 2}},
            {"type": "single-profile-handler"},
        ],
        "schedulingProfiles": [{"name": "default", "plugins": [{"pluginRef": "random-picker"}]}],
    }
    gateway_plan = GatewayPlan(config=config, flags=(f"--transport={transport}",))
    async with model_servers(ServersPlan(count=1, speed=50.0), tmp_path) as servers:
        everybody = (*servers.addresses, Address(HOST, dead))
        async with gateway(gateway_plan, everybody, tmp_path) as picker:
            listen, admin = free_ports(2)
            proxy = EnvoyPlan(
                Address(HOST, listen),
                Address(HOST, admin),
                Balancing.OVERRIDE_HOST,
                everybody,
                PickerPlan(picker.address),
                retries=2,
            )
            async with envoy(proxy, workdir=tmp_path) as running, client() as session:
                url = running.url + "/v1/completions"
                for turn in range(20):
                    reply = await post(session, url, completion(f"hi {turn}", stream=False))
                    assert reply.status == 200
                    assert reply.headers["x-served-by"] == servers.addresses[0].text
                inflight = await samples(
                    session, picker.metrics_url, "loadstar_gateway_inflight_requests"
                )
                assert inflight == [0.0, 0.0]
