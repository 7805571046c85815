"""``make demo``: the same conversations through Envoy's round robin and through Loadstar, live.

Two fleets of emulated servers, one after the other, cold each; a table, a report with plots, and
then the gateway is left up for a while, to be tried by hand.
"""

from __future__ import annotations

import asyncio
import shlex
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.console import Console
from rich.live import Live

from load_tests import compare, html_report, view
from load_tests.compare import MODEL, Offered, Result, Settings
from load_tests.drive import Driver, target
from load_tests.fleet import Fleet, FleetPlan, Policy, ServersPlan, fleet
from load_tests.measure import Sample
from load_tests.watch import Run, Watch
from load_tests.workload import Arrival, Conversation
from loadstar.clock import Clock

REDRAW_S = 0.5
PLAIN_EVERY_S = 5.0
TRY_SECONDS = 60.0
ENVOY_PORTS = (8081, 19000)  # as in manifests/envoy/standalone.yaml
TITLES = {Policy.ROUND_ROBIN: "Envoy round robin", Policy.LOADSTAR: "Loadstar"}

# Twenty-four system prompts are nearly one L4's whole KV cache: four servers hold them all
# between them, but none can hold them beside its running requests.
CHATS = Conversation(systems=24, system_tokens=1200, output_tokens=32)


@dataclass(frozen=True, slots=True)
class Demo:
    """What ``make demo`` runs; the defaults take about 100 s."""

    settings: Settings = field(
        default_factory=lambda: Settings(
            policies=(Policy.ROUND_ROBIN, Policy.LOADSTAR),
            servers=4,
            shape=CHATS,
            seconds=40.0,
        )
    )
    out: Path = Path("out/demo")
    keep: bool = False
    """Serve until Ctrl-C afterwards."""


async def demo(plan: Demo, clock: Clock, console: Console) -> None:
    """Run it all. Everything that was started is gone when this returns or is cancelled."""
    workload = await asyncio.to_thread(compare.offered, plan.settings)
    length = workload.arrivals[-1].at_s
    runs = [Run(TITLES[policy], length, ()) for policy in plan.settings.policies]
    results: list[Result] = []
    console.print(
        f"{len(workload.arrivals)} chat requests at {workload.rate:.0f}/s, "
        f"{plan.settings.load:.0%} of what {plan.settings.servers} emulated "
        f"{plan.settings.profile} servers can do under round robin; the same for both.\n"
        "Starting Envoy, the model servers and the gateway (the first time takes longer) ..."
    )
    with tempfile.TemporaryDirectory(prefix="loadstar-demo-") as made:
        for policy, run in zip(plan.settings.policies, runs, strict=True):
            workdir = Path(made) / policy.value
            await asyncio.to_thread(workdir.mkdir)
            servers = ServersPlan(plan.settings.servers, plan.settings.profile, plan.settings.speed)
            deployed = FleetPlan(policy=policy, servers=servers, listen_ports=ENVOY_PORTS)
            async with fleet(deployed, workdir) as running:
                run.servers = [a.text for a in running.servers.addresses]
                await _watched(running, run, runs, workload, clock, console)
                results.append(_result(policy, run))
                if policy is plan.settings.policies[-1]:
                    await _finish(plan, workload, runs, results, running, console)


async def _watched(
    running: Fleet,
    run: Run,
    runs: Sequence[Run],
    workload: Offered,
    clock: Clock,
    console: Console,
) -> None:
    """Drive one fleet with the workload, in view."""
    run.began_at = clock.now()

    def seen(arrival: Arrival, sample: Sample) -> None:
        if not arrival.warmup:
            run.samples.append(sample)

    async with asyncio.TaskGroup() as tasks:
        watching = tasks.create_task(Watch(running, run, clock).run())
        showing = tasks.create_task(_show(run, runs, clock, console))
        await Driver(target(running.address, MODEL), clock).run(workload.arrivals, seen)
        run.ended = True
        watching.cancel()
        showing.cancel()
    if console.is_terminal:
        console.print(view.live(runs, clock.now()))


async def _show(run: Run, runs: Sequence[Run], clock: Clock, console: Console) -> None:
    """Redraw, or tell, until cancelled."""
    if not console.is_terminal:
        while True:
            await asyncio.sleep(PLAIN_EVERY_S)
            console.print(view.line(run, clock.now()), soft_wrap=True)
    # Drawn by us and not by Live's own thread, which would fight the client for the interpreter.
    with Live(console=console, auto_refresh=False, transient=True) as screen:
        while True:
            screen.update(view.live(runs, clock.now()), refresh=True)
            await asyncio.sleep(REDRAW_S)


def _result(policy: Policy, run: Run) -> Result:
    first, last = run.moments[0], run.moments[-1]
    used = {name: last.cpu_s[name] - first.cpu_s[name] for name in last.cpu_s}
    return Result(policy, run.samples, last.at_s - first.at_s, used)


async def _finish(
    plan: Demo,
    workload: Offered,
    runs: Sequence[Run],
    results: Sequence[Result],
    running: Fleet,
    console: Console,
) -> None:
    """Table, report, what to try; then stay up for as long as was asked for."""

    def say(text: str) -> None:
        console.print(text, soft_wrap=True, markup=False, highlight=False)

    summary = compare.render(plan.settings, results)
    say(f"\n{summary}\n")
    report = plan.out / "report.html"
    await asyncio.to_thread(
        html_report.write, report, plan.settings, workload, runs, results, summary
    )
    say(f"Report with plots: {report}")
    if plan.keep:
        stays = "Everything stays up until Ctrl-C. Try:"
    elif console.is_terminal:
        stays = f"Everything stays up until Ctrl-C, or {TRY_SECONDS:.0f} s from now. Try:"
    else:
        stays = "With --keep everything stays up, to try:"
    say(f"\n{stays}\n")
    for command in things_to_try(running):
        say(f"  {command}")
    if plan.keep or console.is_terminal:
        await _until_told_to_stop(None if plan.keep else TRY_SECONDS)


async def _until_told_to_stop(seconds: float | None) -> None:
    """Wait for ``seconds``, or for a cancellation, which is no interruption here but the end."""
    try:
        async with asyncio.timeout(seconds):
            await asyncio.Event().wait()
    except TimeoutError:
        return
    except asyncio.CancelledError:
        if (task := asyncio.current_task()) is not None:
            task.uncancel()


def things_to_try(running: Fleet) -> list[str]:
    """Commands that show something, for the fleet that is up."""
    question = (
        f'{{"model": "{MODEL}", "stream": true, "max_tokens": 12, '
        '"messages": [{"role": "user", "content": "Where does this go?"}]}'
    )
    commands = [
        f"curl -N {running.envoy.url}/v1/chat/completions -H 'content-type: application/json' "
        f"-d {shlex.quote(question)} -D -",
        f"curl -s {running.envoy.admin_url}/clusters | grep model_servers",
    ]
    if running.gateway is not None:
        commands.append(f"curl -s {running.gateway.metrics_url} | grep -v '^#' | head -40")
        commands.append(f"cat {running.gateway.endpoints_file}   # edit it: it is watched")
    return commands
