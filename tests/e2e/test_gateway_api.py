"""Gateway API traffic through Istio's control plane and a stock Envoy goes where our picker says.

The assertions are those of the inference extension's conformance tests that a picker can
influence, and a few about what may not happen. Each test leaves the scenario as it found it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing, contextmanager

import pytest

from tests.controlplane.processes import wait_until
from tests.e2e.gateway_api import GATEWAY, NAMESPACE, POOL_GROUP, ROUTE_GROUP, Pool
from tests.e2e.scenario import (
    MODERN,
    POOLS,
    PORT_SCENARIOS,
    PRIMARY,
    RULES_HOSTNAME,
    SECONDARY,
    SPLIT_HOSTNAME,
)
from tests.e2e.site import Site
from tests.e2e.traffic import SHORT, Client, servers, statuses

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

SETTLE_SECONDS = 30.0
A_B, B_B = SECONDARY.endpoints


@pytest.fixture
def primary(gateway_site: Site) -> Iterator[Client]:
    with closing(Client(PRIMARY.hostname)) as client:
        yield client


@pytest.fixture
def secondary(gateway_site: Site) -> Iterator[Client]:
    with closing(Client(SECONDARY.hostname)) as client:
        yield client


@pytest.fixture
def split(gateway_site: Site) -> Iterator[Client]:
    with closing(Client(SPLIT_HOSTNAME)) as client:
        yield client


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
        wanted = {"model": "m", "prompt": "word " * words, "max_tokens": 1}
        answer = primary.ask([PRIMARY.endpoints[0]], body=json.dumps(wanted).encode())
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


def test_each_hostname_leads_to_its_own_pool(primary: Client, secondary: Client) -> None:
    both = [*PRIMARY.endpoints, *SECONDARY.endpoints]
    assert set(servers(primary.ask_many(40, both))) <= set(PRIMARY.endpoints)
    assert set(servers(secondary.ask_many(40, both))) <= set(SECONDARY.endpoints)


def test_each_rule_of_a_route_leads_to_its_own_pool(gateway_site: Site) -> None:
    both = [*PRIMARY.endpoints, *SECONDARY.endpoints]
    with closing(Client(RULES_HOSTNAME)) as client:
        for path, pool in [("/v1/completions", PRIMARY), ("/secondary/v1/completions", SECONDARY)]:
            answers = [client.ask(both, path=path) for _ in range(20)]
            assert statuses(answers) == {200: 20}
            assert set(servers(answers)) <= set(pool.endpoints)


@pytest.mark.parametrize("endpoint", MODERN.endpoints)
@pytest.mark.parametrize("method", ["GET", "POST"])
def test_a_pool_of_http2_servers_is_picked_though_it_shows_no_metrics(
    gateway_site: Site, endpoint: str, method: str
) -> None:
    with closing(Client(MODERN.hostname)) as client:
        answer = client.ask([endpoint], method=method, body=None if method == "GET" else SHORT)
    assert (answer.status, answer.served_by, answer.told) == (200, endpoint, endpoint)
    assert json.loads(answer.body) == {"served_by": endpoint, "method": method}


def test_a_weighted_route_is_split_over_two_pools(split: Client) -> None:
    """70 to 30, of 400: within five standard deviations, or once in two million runs.

    This Istio asks only the picker of a rule's last pool, whichever pool its weights choose; Envoy
    ignores a pick that is not of the chosen pool. So the split and the pools hold, and picks are
    followed in the last pool.
    """
    both = [*PRIMARY.endpoints, B_B]
    answers = split.ask_many(400, both)
    assert statuses(answers) == {200: 400}
    found = servers(answers)
    assert set(found) <= set(both)
    assert 234 <= 400 - found[B_B] <= 326


@pytest.mark.parametrize("scenario", PORT_SCENARIOS)
def test_a_route_may_name_a_port_of_the_pool_or_another_or_none(
    gateway_site: Site, scenario: str
) -> None:
    """A pool has its own ports, whatever port a route gives: a GET is answered all the same."""
    with closing(Client(f"{scenario}.example.com")) as client:
        answer = client.ask([A_B], method="GET", path="/v1/models", body=None)
    assert (answer.status, answer.served_by, answer.told) == (200, A_B, A_B)


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
    _wait_followed(secondary, B_B)


@contextmanager
def picker_killed(gateway_site: Site, pool: Pool) -> Iterator[None]:
    gateway_site.picker(pool).stop(grace_s=0)
    try:
        yield
    finally:
        gateway_site.start_picker(pool)
        gateway_site.wait_picker(pool)


@contextmanager
def picker_not_ready(gateway_site: Site, pool: Pool) -> Iterator[None]:
    """It runs, and its Service has no endpoint."""
    objects = gateway_site.plane.objects
    pod = objects.get("v1", "Pod", pool.picker, NAMESPACE)
    assert pod is not None
    objects.patch_pod_status(pod, ready=False)
    try:
        wait_until(
            lambda: not gateway_site.picker_members(pool),
            within_s=SETTLE_SECONDS,
            what="Envoy knows that the picker is away",
        )
        yield
    finally:
        objects.patch_pod_status(pod)


Away = Callable[[Site, Pool], AbstractContextManager[None]]


@pytest.mark.parametrize("away", [picker_killed, picker_not_ready])
def test_without_its_picker_a_pool_that_fails_closed_serves_nobody(
    gateway_site: Site, primary: Client, away: Away
) -> None:
    with away(gateway_site, PRIMARY):
        answers = primary.ask_many(20, PRIMARY.pod_ips)
        assert min(statuses(answers)) >= 500
        assert set(servers(answers)) == {None}
    _wait_followed(primary, PRIMARY.endpoints[0])


def test_a_pool_that_fails_open_serves_from_any_pod_while_its_picker_has_no_endpoint(
    gateway_site: Site, secondary: Client
) -> None:
    assert servers(secondary.ask_many(10, [A_B])) == {A_B: 10}
    with picker_not_ready(gateway_site, SECONDARY):
        answers = secondary.ask_many(40, [A_B])
        assert statuses(answers) == {200: 40}
        assert set(servers(answers)) == {A_B, B_B}
    _wait_followed(secondary, B_B)


def test_until_kubernetes_knows_that_a_picker_died_only_requests_with_a_body_may_fail(
    gateway_site: Site, secondary: Client
) -> None:
    """Envoy cannot fail open once it has handed on a part of the body: it does not keep it."""
    with picker_killed(gateway_site, SECONDARY):
        bodyless = [secondary.ask(method="GET", path="/v1/models", body=None) for _ in range(20)]
        assert statuses(bodyless) == {200: 20}
        assert set(servers(bodyless)) == {A_B, B_B}
        assert set(statuses(secondary.ask_many(40, [A_B]))) <= {200, 500}
    _wait_followed(secondary, B_B)


def _wait_followed(client: Client, endpoint: str) -> None:
    wait_until(
        lambda: servers(client.ask_many(5, [endpoint])) == {endpoint: 5},
        within_s=SETTLE_SECONDS,
        what="picks are followed again",
    )
