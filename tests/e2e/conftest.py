"""One scenario for all tests of this folder."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.controlplane.build import required
from tests.e2e.network import have_addresses
from tests.e2e.site import Site, site


@pytest.fixture(scope="session")
def gateway_site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """Istio, Envoy, two pools and their pickers; see ``tests.e2e.site``."""
    if not have_addresses():
        reason = "needs a private network: run `make e2e-gateway`"
        if required():
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    with site(tmp_path_factory.mktemp("e2e")) as running:
        yield running
