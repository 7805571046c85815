"""One scenario for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing

import pytest

from tests.controlplane.build import required
from tests.controlplane.gobuild import cached
from tests.controlplane.recipes import ISTIO, KUBERNETES
from tests.e2e.network import have_addresses
from tests.e2e.scenario import PRIMARY, SECONDARY
from tests.e2e.site import Site, site
from tests.e2e.traffic import Client


@pytest.fixture(scope="session")
def gateway_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Istio, Envoy, two pools and their pickers; see ``tests.e2e.site``."""
    reason = _why_not()
    if reason is not None:
        if required():
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    with site(tmp_path_factory.mktemp("e2e")) as running:
        yield running


def _why_not() -> str | None:
    if not have_addresses():
        return "needs a network of its own: run `make e2e-gateway`"
    if any(cached(recipe) is None for recipe in (KUBERNETES, ISTIO)):
        return "Istio or Kubernetes is not built: `make e2e-gateway` builds them first"
    return None


@pytest.fixture
def primary(gateway_site: Site) -> Iterator[Client]:
    with closing(Client(PRIMARY.hostname)) as client:
        yield client


@pytest.fixture
def secondary(gateway_site: Site) -> Iterator[Client]:
    with closing(Client(SECONDARY.hostname)) as client:
        yield client
