"""A picker is away: its pool serves nobody, or anybody, as the InferencePool says."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager

import pytest

from tests.controlplane.processes import wait_until
from tests.e2e.gateway_api import NAMESPACE, Pool
from tests.e2e.scenario import PRIMARY, SECONDARY
from tests.e2e.site import Site
from tests.e2e.traffic import SETTLE_SECONDS, Client, servers, statuses, until_followed

pytestmark = [pytest.mark.e2e, pytest.mark.timeout(300)]

A_B, B_B = SECONDARY.endpoints


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
    until_followed(primary, PRIMARY.endpoints[0])


def test_a_pool_that_fails_open_serves_from_any_pod_while_its_picker_has_no_endpoint(
    gateway_site: Site, secondary: Client
) -> None:
    assert servers(secondary.ask_many(10, [A_B])) == {A_B: 10}
    with picker_not_ready(gateway_site, SECONDARY):
        answers = secondary.ask_many(40, [A_B])
        assert statuses(answers) == {200: 40}
        assert set(servers(answers)) == {A_B, B_B}
    until_followed(secondary, B_B)


def test_until_kubernetes_knows_that_a_picker_died_only_requests_with_a_body_may_fail(
    gateway_site: Site, secondary: Client
) -> None:
    """Envoy cannot fail open once it has handed on a part of the body: it does not keep it."""
    with picker_killed(gateway_site, SECONDARY):
        bodyless = [secondary.ask(method="GET", path="/v1/models", body=None) for _ in range(20)]
        assert statuses(bodyless) == {200: 20}
        assert set(servers(bodyless)) == {A_B, B_B}
        assert set(statuses(secondary.ask_many(40, [A_B]))) <= {200, 500}
    until_followed(secondary, B_B)
