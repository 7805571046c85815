"""Gateway API traffic through Istio's control plane and a stock Envoy goes where our picker says.

The assertions are those of the inference extension's conformance tests that a picker can
influence, and a few about what may not happen. Each test leaves the scenario as it found it.
"""

from __future__ import annotations

import json
from contextlib import closing

import pytest

from tests.controlplane.processes import wait_until
from tests.e2e.gateway_api import GATEWAY, NAMESPACE, POOL_GROUP, ROUTE_GROUP
from tests.e2e.scenario import EVERYDAY, MODERN, POOLS, PRIMARY, SECONDARY
from tests.e2e.site import Site
from tests.e2e.traffic import SETTLE_SECONDS, SHORT, Client, servers, statuses, until_followed

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

A_B, B_B = SECONDARY.endpoints


def test_the_gateway_is_programmed_and_takes_our_pools(gateway_site: Site) -> None:
    objects = gateway_site.plane.objects
    gateway = objects.get(f"{ROUTE_GROUP}/v1", "Gateway", GATEWAY, NAMESPACE)
    assert gateway is not None
    conditions = {each["type"]: each["status"] for each in gateway["status"]["conditions"]}
    assert set(conditions.items()) >= {("Accepted", "True"), ("Programmed", "True")}
    for pool in POOLS:
        stored = objects.get(f"{POOL_GROUP}/v1", "InferencePool", pool.name, NAMESPACE)
        assert stored is not None
        (parent,) = stored["status"]["parents"]
        assert {each["type"]: each["status"] for each in parent["conditions"]} == {
            "Accepted": "True",
            "ResolvedRefs": "True",
        }


@pytest.mark.parametrize("count", [1, 2, 3])
def test_traffic_follows_the_picks(primary: Client, count: int) -> None:
    """A hundred requests, ten at a time: none lands outside the pods that were named."""
    named = PRIMARY.pod_ips[:count]
    answers = primary.ask_many(100, named)
    assert statuses(answers) == {200: 100}
    assert {str(each.served_by).partition(":")[0] for each in answers} == set(named)
    assert all(each.told == each.served_by for each in answers)


def test_a_pod_named_without_a_port_is_served_by_any_rank(primary: Client) -> None:
    pod = PRIMARY.pod_ips[1]
    answers = primary.ask_many(60, [pod])
    assert set(servers(answers)) == {f"{pod}:{port}" for port in PRIMARY.ports}


@pytest.mark.parametrize("endpoint", PRIMARY.endpoints)
def test_a_rank_that_is_named_serves_alone_and_is_reported(primary: Client, endpoint: str) -> None:
    answers = primary.ask_many(20, [endpoint])
    assert servers(answers) == {endpoint: 20}
    assert {each.told for each in answers} == {endpoint}


@pytest.mark.parametrize(("method", "path"), [("GET", "/v1/models"), ("HEAD", "/health")])
def test_requests_without_a_body_are_picked_as_well(
    primary: Client, method: str, path: str
) -> None:
    for endpoint in PRIMARY.endpoints:
        answer = primary.ask([endpoint], method=method, path=path, body=None)
        assert (answer.status, answer.served_by, answer.told) == (200, endpoint, endpoint)


def test_an_answer_is_streamed_through_and_picked(primary: Client) -> None:
    endpoint = PRIMARY.endpoints[3]
    wanted = {"model": "m", "prompt": "hello", "max_tokens": 20, "stream": True}
    answer = primary.ask([endpoint], body=json.dumps(wanted).encode())
    events = [line for line in answer.body.decode().splitlines() if line.startswith("data: ")]
    assert (answer.status, answer.served_by) == (200, endpoint)
    assert events[-1] == "data: [DONE]"
    assert len(events) > 20


def test_a_long_prompt_arrives_whole(primary: Client) -> None:
    """More than any buffer between: the usage that comes back grows with what was sent."""
    tokens = []
    for words in (1_000, 20_000):
        answer = primary.ask([PRIMARY.endpoints[0]], body=_completion("word " * words))
        assert answer.status == 200
        tokens.append(json.loads(answer.body)["usage"]["prompt_tokens"])
    assert tokens[1] == pytest.approx(20 * tokens[0], rel=0.05)


def test_a_client_cannot_choose_by_the_headers_of_the_protocol(primary: Client) -> None:
    picked, wanted = PRIMARY.endpoints[0], PRIMARY.endpoints[5]
    forged = {
        "x-gateway-destination-endpoint": wanted,
        "x-gateway-destination-endpoint-served": wanted,
    }
    answer = primary.ask([picked], headers=forged)
    assert (answer.status, answer.served_by, answer.told) == (200, picked, picked)


def test_an_endpoint_of_another_pool_is_never_picked(primary: Client) -> None:
    answer = primary.ask(SECONDARY.endpoints)
    assert (answer.status, answer.served_by) == (429, None)
    assert json.loads(answer.body)["error"]["code"] == "no_capacity"


@pytest.mark.parametrize("endpoint", MODERN.endpoints)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_pool_of_http2_servers_is_picked_though_it_shows_no_metrics(
    gateway_site: Site, endpoint: str, method: str
) -> None:
    with closing(Client(MODERN.hostname)) as client:
        answer = client.ask([endpoint], method=method, body=None if method == "GET" else SHORT)
    assert (answer.status, answer.served_by, answer.told) == (200, endpoint, endpoint)
    assert json.loads(answer.body) == {"served_by": endpoint, "method": method}


@pytest.mark.parametrize("topic", ["ships", "shoes", "sealing wax"])
def test_prompts_that_begin_alike_meet_on_one_server(gateway_site: Site, topic: str) -> None:
    """With the configuration that everybody has; without picks they would take turns."""
    prefix = f"all that is known about {topic}, " * 200
    with closing(Client(EVERYDAY.hostname)) as client:
        answers = [client.ask(body=_completion(f"{prefix}: question {n}")) for n in range(12)]
    assert statuses(answers) == {200: 12}
    assert [each.told for each in answers] == [each.served_by for each in answers]
    assert len(set(servers(answers))) == 1


def test_traffic_follows_the_picks_while_the_api_server_is_away(
    gateway_site: Site, primary: Client
) -> None:
    endpoint = PRIMARY.endpoints[4]
    with gateway_site.plane.apiserver_away():
        for _ in range(5):
            assert servers(primary.ask_many(20, [endpoint])) == {endpoint: 20}
    assert servers(primary.ask_many(20, [endpoint])) == {endpoint: 20}


def test_the_picker_is_asked_over_tls(gateway_site: Site, primary: Client) -> None:
    assert primary.ask(PRIMARY.pod_ips).status == 200
    stats = gateway_site.envoy_stats(f"{PRIMARY.picker}.*ssl.handshake$")
    assert [count > 0 for count in stats.values()] == [True]


def test_a_pod_that_is_deleted_gets_no_more_traffic_and_its_replacement_does(
    gateway_site: Site, secondary: Client
) -> None:
    """The same address under a new name: Istio and the picker both learn it from Kubernetes."""
    objects = gateway_site.plane.objects
    (pod,) = objects.list("v1", "Pod", NAMESPACE, f"app={SECONDARY.name}")[1:]
    objects.delete(pod, grace_s=0)
    wait_until(
        lambda: secondary.ask([B_B]).status == 429,
        within_s=SETTLE_SECONDS,
        what="the picker knows that the pod is gone",
    )
    assert servers(secondary.ask_many(20, [A_B, B_B])) == {A_B: 20}
    ip = SECONDARY.pod_ips[1]
    gateway_site.run_pod(f"{SECONDARY.name}-replacement", ip, SECONDARY.labels)
    until_followed(secondary, B_B)


def _completion(prompt: str) -> bytes:
    return json.dumps({"model": "m", "prompt": prompt, "max_tokens": 1}).encode()
