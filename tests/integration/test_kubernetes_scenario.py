"""A day in production, under load: pods come and go, policies change, the API server does too.

Real API server, real Envoy, our gateway as processes, emulated model servers. How long the API
server is away is shortened; ``LOADSTAR_ABSENCE_SECONDS=600`` makes it the ten minutes it is for.
"""

from __future__ import annotations

import asyncio
import logging
import os
from collections.abc import Callable, Coroutine
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from load_tests.ports import free_ports
from tests.controlplane.cluster import ControlPlane
from tests.integration.kubernetes_site import (
    CLOCK,
    EVEN,
    FOR_X,
    FOR_Y,
    POLICY,
    Answer,
    Load,
    RunningPicker,
    Site,
    picker,
    proxy,
)

ABSENCE_SECONDS = float(os.environ.get("LOADSTAR_ABSENCE_SECONDS", "15"))

pytestmark = [
    pytest.mark.controlplane,
    pytest.mark.envoy,
    pytest.mark.slow,
    pytest.mark.timeout(420 + ABSENCE_SECONDS),
]

CRDS = Path(__file__).parents[2] / "manifests" / "base" / "crds"
CLIENTS = 6
GRACE_SECONDS = 1.5
"""Between a pod's deletion and its end: what a preStop hook gives."""
CHANGE_SECONDS = 2.0
"""In which a policy must be in force."""
PATIENCE_SECONDS = 30.0
REFUSED = 'loadstar_gateway_reload_refused{file="config"}'

log = logging.getLogger(__name__)


async def until(condition: Callable[[], Coroutine[None, None, bool]]) -> float:
    """Wait for what other processes do; how long it took, in seconds."""
    began = CLOCK.now()
    async with asyncio.timeout(PATIENCE_SECONDS):
        while not await condition():  # noqa: ASYNC110 - other processes announce nothing
            await asyncio.sleep(0.05)
    return CLOCK.now() - began


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_day_in_production(
    workers: int,
    control_plane: ControlPlane,
    kube_namespace: str,
    tmp_path: Path,
) -> None:
    (port,) = free_ports(1)
    async with AsyncExitStack() as scope:
        site = Site(control_plane, kube_namespace, tmp_path, port, scope)
        await site.do(control_plane.objects.apply, CRDS)
        await site.apply(site.pool(), site.config_map(EVEN))
        await site.start([1, 2])
        running = await scope.enter_async_context(picker(site, workers, control_plane.kubeconfig))
        up = await scope.enter_async_context(proxy(site, running))
        load = Load(up.url)
        await scope.enter_async_context(load.running(CLIENTS))

        await _pods_scale(site, load)
        figures = await _weights_change(site, load)
        await _a_broken_policy_is_refused(site, load, running)
        failed = [a for a in load.failed() if not site.in_flight_to_a_killed_server(a)]
        assert failed == []
        await _the_pool_goes_and_comes_back(site, load, running)
        await _the_api_server_crashes(site, load, running)
        await _the_api_server_is_away(site, load, running)

        figures["requests"] = float(len(load.answers))
        figures["failed in flight to a killed server"] = float(
            sum(site.in_flight_to_a_killed_server(a) for a in load.failed())
        )
        log.info("%d workers: %s", workers, figures)


@pytest.mark.parametrize("workers", [1, 2])
async def test_a_pod_that_comes_while_the_policy_is_broken_serves_with_the_defaults(
    workers: int, control_plane: ControlPlane, kube_namespace: str, tmp_path: Path
) -> None:
    """A lost pod's replacement, or one that an autoscaler adds under load."""
    (port,) = free_ports(1)
    async with AsyncExitStack() as scope:
        site = Site(control_plane, kube_namespace, tmp_path, port, scope)
        await site.do(control_plane.objects.apply, CRDS)
        broken = EVEN.replace("type: max-score-picker", "type: max-score-pickr")
        assert broken != EVEN
        await site.apply(site.pool(), site.config_map(broken))
        await site.start([1, 2])
        running = await scope.enter_async_context(picker(site, workers, control_plane.kubeconfig))
        up = await scope.enter_async_context(proxy(site, running))
        load = Load(up.url)
        await scope.enter_async_context(load.running(CLIENTS))
        await until(lambda: _serve(load, 0.0, {1, 2}))
        await _told_of(site, "max-score-pickr")
        assert await running.metric(REFUSED) == 1.0
        page = await running.page("/configz")
        assert page["source"] == "built-in default"
        assert "max-score-pickr" in str(page["lastRefusal"])
        await site.apply(site.config_map(EVEN))
        await until(lambda: _mended(running))
        assert (await running.page("/configz"))["config"] == EVEN
        assert load.failed() == []


async def _told_of(site: Site, mistake: str) -> None:
    async def told() -> bool:
        events = await site.do(site.plane.objects.list, "v1", "Event", site.namespace)
        about = [e for e in events if e["involvedObject"]["name"] == POLICY]
        return any(mistake in e["message"] for e in about)

    await until(told)


async def _mended(running: RunningPicker) -> bool:
    return await running.metric(REFUSED) == 0.0


async def _pods_scale(site: Site, load: Load) -> None:
    """2 -> 20 -> 3, and everybody who is there serves."""
    began = CLOCK.now()
    await until(lambda: _serve(load, began, {1, 2}))
    await site.start(range(3, 21))
    began = CLOCK.now()
    await until(lambda: _serve(load, began, set(range(1, 21))))
    await site.stop(range(4, 21), grace_s=GRACE_SECONDS)
    began = CLOCK.now()
    await until(lambda: _serve(load, began, {1, 2, 3}))
    await asyncio.sleep(1)
    assert set(load.served(began)) <= {"1", "2", "3"}


async def _serve(load: Load, began: float, numbers: set[int]) -> bool:
    return {str(number) for number in numbers} <= set(load.served(began))


async def _weights_change(site: Site, load: Load) -> dict[str, float]:
    """Odd pods are for x, even ones for y; the time until the last pick under the old weights."""
    figures = {}
    for name, text, numbers in (("x", FOR_X, {"1", "3"}), ("y", FOR_Y, {"2"})):
        written_at = CLOCK.now()
        await site.apply(site.config_map(text))
        await asyncio.sleep(2 * CHANGE_SECONDS)
        late = [a for a in load.since(written_at) if a.server not in numbers]
        took = max((a.sent_at for a in late), default=written_at) - written_at
        figures[f"seconds until weights for {name}"] = round(took, 3)
        assert took < CHANGE_SECONDS
        assert len(load.since(written_at)) > 20
    return figures


async def _a_broken_policy_is_refused(site: Site, load: Load, running: RunningPicker) -> None:
    broken = FOR_X.replace("type: queue-scorer", "type: queue-scorrer")
    await site.apply(site.config_map(broken))
    began = CLOCK.now()
    await _told_of(site, "queue-scorrer")
    assert await running.metric(REFUSED) == 1.0
    page = await running.page("/configz")
    assert page["config"] == FOR_Y
    assert "queue-scorrer" in str(page["lastRefusal"])
    await until(lambda: _serve(load, began, {2}))
    assert set(load.served(began)) == {"2"}
    await site.apply(site.config_map(EVEN))
    await until(lambda: _mended(running))


async def _the_pool_goes_and_comes_back(site: Site, load: Load, running: RunningPicker) -> None:
    await site.do(site.plane.objects.delete, site.pool(), wait=True)

    async def missed() -> bool:
        return not await running.ready()

    await until(missed)
    began = CLOCK.now()
    await asyncio.sleep(1)
    without = load.since(began)
    # Refused in words, by us: not a failure of the picker, which a proxy might let through.
    assert without
    assert {a.status for a in without} == {503}
    await site.apply(site.pool())
    await until(running.ready)
    began = CLOCK.now()
    await until(lambda: _serve(load, began, {1, 2, 3}))
    assert load.failed(began) == []


async def _the_api_server_crashes(site: Site, load: Load, running: RunningPicker) -> None:
    began = CLOCK.now()
    await site.do(site.plane.restart_apiserver)
    await until(lambda: _followed(running))
    assert await running.ready()
    assert load.failed(began) == []
    assert len(load.since(began)) > 20


async def _the_api_server_is_away(site: Site, load: Load, running: RunningPicker) -> None:
    """No request is lost, health stays, the gauges say so; and then what was missed is learnt."""
    began = CLOCK.now()
    away = site.plane.apiserver_away()
    await site.do(away.__enter__)
    try:

        async def noticed() -> bool:
            return not await _followed(running)

        await until(noticed)
        while CLOCK.now() - began < ABSENCE_SECONDS:
            await asyncio.sleep(1)
            assert await running.ready()
    finally:
        await site.do(away.__exit__, None, None, None)
    await until(lambda: _followed(running))
    await site.stop([3], grace_s=GRACE_SECONDS)
    after = CLOCK.now()
    await asyncio.sleep(1)
    assert set(load.served(after)) == {"1", "2"}
    failed: list[Answer] = load.failed(began)
    assert [a for a in failed if not site.in_flight_to_a_killed_server(a)] == []
    assert set(load.served(began)) == {"1", "2", "3"}


async def _followed(running: RunningPicker) -> bool:
    kinds = ("pods", "inferencepools.inference.networking.k8s.io")
    name = "loadstar_gateway_watch_connected"
    return [await running.metric(f'{name}{{resource="{kind}"}}') for kind in kinds] == [1.0, 1.0]
