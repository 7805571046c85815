"""Routes lead to pools by hostname, by path and by weight, and no pick leaves its pool."""

from __future__ import annotations

from contextlib import closing

import pytest

from tests.e2e.scenario import PORT_SCENARIOS, PRIMARY, RULES_HOSTNAME, SECONDARY, SPLIT_HOSTNAME
from tests.e2e.site import Site
from tests.e2e.traffic import Client, servers, statuses, until_followed

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

A_B, B_B = SECONDARY.endpoints


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


@pytest.mark.parametrize("scenario", PORT_SCENARIOS)
def test_a_route_may_name_a_port_of_the_pool_or_another_or_none(
    gateway_site: Site, scenario: str
) -> None:
    """A pool has its own ports, whatever port a route gives: a GET is answered all the same."""
    with closing(Client(f"{scenario}.example.com")) as client:
        answer = client.ask([A_B], method="GET", path="/v1/models", body=None)
    assert (answer.status, answer.served_by, answer.told) == (200, A_B, A_B)


def test_a_weighted_route_is_split_over_two_pools(
    gateway_site: Site, primary: Client, secondary: Client
) -> None:
    """70 to 30, of 400: within five standard deviations, or once in two million runs.

    This Istio asks only the picker of a rule's last pool, whichever pool its weights choose; Envoy
    ignores a pick that is not of the chosen pool. So the split and the pools hold, and picks are
    followed in the last pool.
    """
    both = [*PRIMARY.endpoints, B_B]
    # Tests before this one take pickers away, and the second pool is open while its own is.
    until_followed(primary, PRIMARY.endpoints[0])
    until_followed(secondary, B_B)
    with closing(Client(SPLIT_HOSTNAME)) as split:
        answers = split.ask_many(400, both)
    assert statuses(answers) == {200: 400}
    found = servers(answers)
    assert set(found) <= set(both)
    assert 234 <= 400 - found[B_B] <= 326
