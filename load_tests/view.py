"""The demo's live view: runs in, a picture for the terminal out. Pure."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from load_tests.measure import quantile
from load_tests.tables import ms, percent
from load_tests.watch import Run, ServerState

BAR_CELLS = 10
FULL_QUEUE = 10
"""Waiting requests that fill the bar: far more than a healthy server ever has."""
RECENT_S = 3.0
BUSY, FULL = 0.5, 0.8
PARTS = " ▏▎▍▌▋▊▉█"


def live(runs: Sequence[Run], now: float) -> RenderableType:
    """All runs side by side, those to come greyed out."""
    grid = Table.grid(expand=True, padding=(0, 1))
    for _ in runs:
        grid.add_column(ratio=1)
    grid.add_row(*(_panel(run, now) for run in runs))
    return grid


def line(run: Run, now: float) -> str:
    """One line of progress, for where there is no terminal."""
    last = run.moments[-1].servers if run.moments else []
    queues = "/".join(f"{s.waiting:.0f}" for s in last)
    return (
        f"{run.name}: {_elapsed(run, now)}, {len(run.samples)} answered, "
        f"TTFT p50 {_ttft(run, 50)} p99 {_ttft(run, 99)}, queues {queues or '-'}, "
        f"gateway CPU {percent(run.cpu_share('gateway'))}"
    )


def bar(share: float, cells: int = BAR_CELLS) -> str:
    """A bar of ``cells`` characters, full at 1; blank if the share is not known."""
    if math.isnan(share):
        return " " * cells
    eighths = round(min(max(share, 0.0), 1.0) * cells * 8)
    whole, part = divmod(eighths, 8)
    return (PARTS[8] * whole + (PARTS[part] if part else "")).ljust(cells)


def _panel(run: Run, now: float) -> Panel:
    if math.isnan(run.began_at):
        return Panel(Text("next", style="dim"), title=run.name, border_style="dim")
    style = "green" if run.ended else "cyan"
    content = Group(_servers(run, now), Text(), _figures(run))
    return Panel(content, title=f"{run.name} · {_elapsed(run, now)}", border_style=style)


def _servers(run: Run, now: float) -> Table:
    table = Table.grid(expand=True, padding=(0, 1))
    for justify in ("left", "left", "right", "left", "right", "right"):
        table.add_column(justify=justify, no_wrap=True)
    table.add_row("server", "queue", "run", "KV in use", "hits", "picks/s", style="bold")
    recent = Counter(s.served_by for s in run.samples if s.ended_at > now - RECENT_S)
    states = run.moments[-1].servers if run.moments else [ServerState()] * len(run.servers)
    for index, (name, state) in enumerate(zip(run.servers, states, strict=True)):
        waiting = state.waiting / FULL_QUEUE
        table.add_row(
            f":{name.rpartition(':')[2]}",
            Text(f"{bar(waiting)} {state.waiting:3.0f}", style=_heat(waiting)),
            f"{state.running:.0f}",
            Text(f"{bar(state.kv_used)} {state.kv_used:4.0%}", style=_heat(state.kv_used)),
            percent(run.hit_share(index)),
            "" if run.ended else f"{recent[name] / RECENT_S:.1f}",
        )
    return table


def _figures(run: Run) -> Text:
    failed = sum(not s.ok for s in run.samples)
    cpu = ", ".join(
        f"{name} {percent(run.cpu_share(name))}"
        for name in ("gateway", "envoy")
        if not math.isnan(run.cpu_share(name))
    )
    text = Text()
    text.append(f"{len(run.samples)} answered", style="bold")
    text.append(f", {failed} failed\n", style="red" if failed else "")
    text.append("TTFT   ")
    text.append(f"p50 {_ttft(run, 50)}   p90 {_ttft(run, 90)}   p99 {_ttft(run, 99)}\n")
    text.append(f"CPU    {cpu or '-'} of a core")
    return text


def _ttft(run: Run, percentile: float) -> str:
    return ms(quantile([s.ttft_s for s in run.samples if s.ok], percentile))


def _elapsed(run: Run, now: float) -> str:
    if run.ended:
        return "done"
    passed = max(0.0, now - run.began_at)
    # All is sent by then; what is left are answers still under way.
    return f"{passed:.0f} of {run.length_s:.0f} s" if passed <= run.length_s else "last answers"


def _heat(share: float) -> str:
    if math.isnan(share) or share < BUSY:
        return "green"
    return "yellow" if share < FULL else "red"
