"""Discovery of as many names as are listed at all, as the aggregator reads it: packed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from metrics_adapter.api.compression import LONG_BYTES
from tests.controlplane.cluster import ControlPlane
from tests.controlplane.processes import wait_until
from tests.integration.adapter_lab import (
    EXTERNAL,
    adapter,
    as_accepted,
    external,
    install,
    master,
    raw,
    register,
    unregister,
    wait_available,
)

pytestmark = [pytest.mark.controlplane, pytest.mark.timeout(180)]

V2 = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList"
NAMES = 1900


def test_two_thousand_names_are_current_in_the_aggregators_discovery(
    control_plane: ControlPlane, tmp_path: Path
) -> None:
    plane = control_plane
    install(plane)
    with adapter(plane, tmp_path) as made:
        made.tell([external("lab", f"metric_with_a_long_name_{n:05}", n) for n in range(NAMES)])
        path = f"/apis/{EXTERNAL}/v1beta1"

        def own() -> int:
            body = made.direct(path, pair=master(plane)).body
            return len(body) if b"metric_with_a_long_name" in body else 0

        wait_until(lambda: own() > 0, within_s=5, what="the adapter lists them")
        assert own() > LONG_BYTES
        register(plane, made.port)
        try:
            wait_available(plane, within_s=10)

            def published() -> dict[str, Any]:
                items = as_accepted(plane, "/apis", V2)["items"]
                found: dict[str, Any] = next(
                    (each for each in items if each["metadata"]["name"] == EXTERNAL), {}
                )
                versions: list[dict[str, Any]] = found.get("versions") or [{}]
                return versions[0]

            wait_until(
                lambda: len(published().get("resources", ())) > NAMES,
                within_s=15,
                what="the aggregator has them all",
            )
            assert published()["freshness"] == "Current"
            assert len(raw(plane, path)["resources"]) > NAMES
        finally:
            unregister(plane)
