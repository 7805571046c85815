"""``make demo``: two acts, live, and what they came to.

The first: the same conversations through Envoy's round robin and through Loadstar, two fleets of
emulated servers one after the other. The second, in ``load_tests.day``: a day in minutes, by the
predictive autoscaler and by a reactive HPA at once. A table each, one report with plots, and then
what is up is left up for a while, to be tried by hand.
"""

from __future__ import annotations

import asyncio
import shlex
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path

from rich.console import Console
from rich.live import Live

from load_tests import compare, compare_report, html_report, view
from load_tests.compare import MODEL, Offered, Result, Settings
from load_tests.day import conduct, plots
from load_tests.day import view as day_view
from load_tests.day.record import Check
from load_tests.day.shape import Day
from load_tests.drive import Driver, target
from load_tests.fleet import Fleet, FleetPlan, Policy, ServersPlan, fleet
from load_tests.measure import Sample
from load_tests.watch import Run, Watch
from load_tests.workload import Arrival, Conversation
from loadstar.clock import Clock

REDRAW_S = 0.5
PLAIN_EVERY_S = 5.0
TRY_SECONDS = 60.0
ANSWERED = 0.97
"""Of the first act's requests, at the least."""
ENVOY_PORTS = (8081, 19000)  # as in manifests/envoy/standalone.yaml
TITLES = {Policy.ROUND_ROBIN: "Envoy round robin", Policy.LOADSTAR: "Loadstar"}

# Twenty-four system prompts are nearly one L4's whole KV cache: four servers hold them all
# between them, but none can hold them beside its running requests.
CHATS = Conversation(systems=24, system_tokens=1200, output_tokens=32)


class Act(Enum):
    """A part of the demo that can be run alone."""

    GATEWAY = "gateway"
    AUTOSCALER = "autoscaler"


@dataclass(frozen=True, slots=True)
class Demo:
    """What ``make demo`` runs; the defaults take about six minutes."""

    acts: tuple[Act, ...] = (Act.GATEWAY, Act.AUTOSCALER)

    settings: Settings = field(
        default_factory=lambda: Settings(
            policies=(Policy.ROUND_ROBIN, Policy.LOADSTAR),
            servers=4,
            shape=CHATS,
            seconds=20.0,
        )
    )
    day: Day = field(default_factory=Day)
    hpa_load: float = 0.65
    """Share of what a replica completes at the most at which the second act's HPA keeps it. With
    this one both fleets use as many node-hours within a tenth, so that what is late compares."""
    out: Path = Path("out/demo")
    keep: bool = False
    """Serve until Ctrl-C afterwards."""


async def demo(plan: Demo, clock: Clock, console: Console) -> list[Check]:
    """Run it all; what had to work. All that was started is gone when this returns or is cancelled.

    The last act's fleet stays up for a while where somebody may want to try it.
    """
    sections: list[tuple[str, str]] = []
    checks: list[Check] = []
    with tempfile.TemporaryDirectory(prefix="loadstar-demo-") as made:
        for act in plan.acts:
            folder = Path(made) / act.value
            await asyncio.to_thread(folder.mkdir)
            last = act is plan.acts[-1]
            perform = _gateway if act is Act.GATEWAY else _autoscaler
            checks += await perform(plan, clock, console, folder, sections, last=last)
    say = _saying(console)
    say("")
    for check in checks:
        say(f"{'ok    ' if check.holds else 'FAILED'}  {check.what}: {check.found}")
    return checks


async def _gateway(
    plan: Demo,
    clock: Clock,
    console: Console,
    folder: Path,
    sections: list[tuple[str, str]],
    *,
    last: bool,
) -> list[Check]:
    """The first act."""
    workload = await asyncio.to_thread(compare.offered, plan.settings)
    length = workload.arrivals[-1].at_s
    runs = [Run(TITLES[policy], length, ()) for policy in plan.settings.policies]
    results: list[Result] = []
    say = _saying(console)
    say(
        f"{len(workload.arrivals)} chat requests at {workload.rate:.0f}/s, "
        f"{plan.settings.load:.0%} of what {plan.settings.servers} emulated "
        f"{plan.settings.profile} servers can do under round robin; the same for both.\n"
        "Starting Envoy, the model servers and the gateway (the first time takes longer) ..."
    )
    for policy, run in zip(plan.settings.policies, runs, strict=True):
        workdir = folder / policy.value
        await asyncio.to_thread(workdir.mkdir)
        servers = ServersPlan(plan.settings.servers, plan.settings.profile, plan.settings.speed)
        deployed = FleetPlan(policy=policy, servers=servers, listen_ports=ENVOY_PORTS)
        async with fleet(deployed, workdir) as running:
            run.servers = [a.text for a in running.servers.addresses]
            await _watched(running, run, runs, workload, clock, console)
            results.append(_result(policy, run))
            if policy is plan.settings.policies[-1]:
                summary = compare_report.render(plan.settings, results)
                say(f"\n{summary}\n")
                sections += html_report.policies(plan.settings, workload, runs, results, summary)
                await _report(plan, console, sections, things_to_try(running), last=last)
    return [_answered(run) for run in runs]


async def _autoscaler(
    plan: Demo,
    clock: Clock,
    console: Console,
    folder: Path,
    sections: list[tuple[str, str]],
    *,
    last: bool,
) -> list[Check]:
    """The second act."""
    say = _saying(console)
    say("")
    async with conduct.conduct(plan.day, plan.hpa_load, clock, console, folder) as outcome:
        say(f"\n{day_view.summary(outcome.records)}\n")
        say("The metrics adapter, asked as an HPA asks it:")
        for answer in outcome.answers:
            say(f"  {answer.command}\n    -> {answer.said or 'no answer'}")
        sections += plots.sections(plan.day, outcome.terms, outcome.records, outcome.checks)
        commands = [*outcome.try_commands, *(answer.command for answer in outcome.answers)]
        await _report(plan, console, sections, commands, last=last)
        return outcome.checks


def _answered(run: Run) -> Check:
    share = sum(s.ok for s in run.samples) / len(run.samples) if run.samples else 0.0
    return Check(f"{run.name}: requests were answered", share >= ANSWERED, f"{share:.1%}")


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


async def _report(
    plan: Demo,
    console: Console,
    sections: Sequence[tuple[str, str]],
    commands: Sequence[str],
    *,
    last: bool,
) -> None:
    """Write the report so far; after the last act stay up for as long as was asked for."""
    say = _saying(console)
    report = plan.out / "report.html"
    await asyncio.to_thread(html_report.write, report, sections)
    if not last:
        return
    say(f"Report with plots: {report}")
    if plan.keep:
        stays = "Everything stays up until Ctrl-C. Try:"
    elif console.is_terminal:
        stays = f"Everything stays up until Ctrl-C, or {TRY_SECONDS:.0f} s from now. Try:"
    else:
        stays = "With --keep everything stays up, to try:"
    say(f"\n{stays}\n")
    for command in commands:
        say(f"  {command}")
    if plan.keep or console.is_terminal:
        await _until_told_to_stop(None if plan.keep else TRY_SECONDS)


def _saying(console: Console) -> Callable[[str], None]:
    def say(text: str) -> None:
        console.print(text, soft_wrap=True, markup=False, highlight=False)

    return say


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
