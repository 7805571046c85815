"""The service from its command line to its end: flags, clocks, ports, signals.

``serve`` builds the parts (``parts`` is their table of contents), opens the port, runs every task
in one group and ends with it. Nothing below reads the command line or the environment.
"""

from __future__ import annotations

import asyncio
import logging
import os
import random
import signal
import sys
import uuid
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import AsyncExitStack, asynccontextmanager

import aiohttp
from aiohttp import web
from prometheus_client import CollectorRegistry

from autoscaler.actuate.providers.local import LocalFleet
from autoscaler.config import Flags, parse, usage
from autoscaler.from_flags import COMPONENT
from autoscaler.parts import Parts
from autoscaler.publish import publishing
from loadstar import tls
from loadstar.aio.beside import beside
from loadstar.clock import Clock, ScaledClock, SystemClock
from loadstar.config.errors import ConfigError
from loadstar.config.pflag import HelpWanted
from loadstar.feed.publish import CannotPublish
from loadstar.kube.client import KubeClient
from loadstar.kube.credentials import Credentials
from loadstar.kube.errors import ApiError
from loadstar.telemetry.admin import Guard, admin_app
from loadstar.telemetry.logging import logs
from loadstar.tls_port import TlsPort

log = logging.getLogger(__name__)

USAGE_ERROR = 2


def main(argv: Sequence[str]) -> int:
    """0 is a clean end, 2 a line or policy to mend, 1 anything else."""
    try:
        flags = parse(argv)
    except HelpWanted:
        sys.stdout.write(usage())
        return 0
    except ConfigError as error:
        sys.stderr.writelines(f"loadstar autoscaler: {problem}\n" for problem in error.problems)
        sys.stderr.write("see --help\n")
        return USAGE_ERROR
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    with logs(flags.v, flags.log_format):
        try:
            asyncio.run(serve(flags, os.environ, SystemClock()))
        except ConfigError as error:
            for problem in error.problems:
                log.error("cannot start: %s", problem)
            return USAGE_ERROR
        except (tls.CertificateError, CannotPublish, OSError, ApiError) as error:
            log.error("cannot start: %s", error)
            return 1
    return 0


async def serve(flags: Flags, environment: Mapping[str, str], machine: Clock) -> None:
    """Run until a signal. Raises ConfigError where the policy at the start is wrong."""
    clock = machine
    if flags.clock_factor != 1.0:
        clock = ScaledClock(machine, flags.clock_factor, flags.clock_agreed_at)
    stop = asyncio.Event()
    running = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        running.add_signal_handler(number, stop.set)
    rng = random.Random(uuid.uuid4().int)
    async with AsyncExitStack() as stack:
        kube: KubeClient | None = None
        fleet: LocalFleet | None = None
        if flags.local_fleet:
            session = await stack.enter_async_context(aiohttp.ClientSession())
            fleet = LocalFleet(flags.local_fleet, session)
        else:
            credentials = Credentials(flags.kubeconfig, environment=environment)
            kube = await stack.enter_async_context(
                KubeClient(credentials, clock, user_agent=COMPONENT)
            )
            await kube.connection()  # a kubeconfig that is wrong ends the process here
        parts = Parts(flags, clock, machine, rng, kube, fleet)
        await stack.enter_async_context(_listening(flags, parts))
        if flags.signals_port is not None:
            published = publishing(
                parts.wishes,
                machine,
                host=flags.bind_address,
                port=flags.signals_port,
                cert_dir=flags.signals_cert_dir,
                token_file=flags.signals_port_token_file,
            )
            log.info("publishing", extra={"port": await stack.enter_async_context(published)})
        await parts.run(stop)


@asynccontextmanager
async def _listening(flags: Flags, parts: Parts) -> AsyncIterator[None]:
    registry = CollectorRegistry()
    registry.register(parts.metrics)
    guard = Guard(open=not flags.metrics_endpoint_auth, token_file=flags.metrics_token_file)
    app = admin_app(
        registry=registry,
        why_not_ready=parts.why_not_ready,
        pages={"/configz": parts.force.page, "/decisions": parts.decisions},
        guard=guard,
        tasks=True,
    )
    secured: TlsPort | None = None
    if flags.metrics_cert_dir:
        secured = await asyncio.to_thread(TlsPort, flags.metrics_cert_dir)
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    try:
        site = web.TCPSite(
            runner,
            flags.bind_address or None,
            flags.metrics_port,
            ssl_context=None if secured is None else secured.context,
        )
        await site.start()
        log.info("serving", extra={"metrics_port": runner.addresses[0][1]})
        async with AsyncExitStack() as stack:
            if secured is not None:
                await stack.enter_async_context(beside(secured.run(), name="certificate"))
            yield
    finally:
        await runner.cleanup()
