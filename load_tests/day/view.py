"""The second act's live view: records in, a picture for the terminal out. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from rich.console import Group, RenderableType
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from load_tests.day.record import RECENT_S, Moment, Record
from load_tests.day.shape import Day
from load_tests.day.terms import PRICE_PER_NODE_HOUR, TTFT_OBJECTIVE_S, Terms
from load_tests.tables import ms, percent, table
from load_tests.view import bar

CHART_CELLS = 48
STEPS = " ▁▂▃▄▅▆▇█"
KV_MOST = 0.4
"""Of the cache, which fills a cell: prompts are short enough never to need more."""
WAITING_MOST = 40.0
LATE = 0.05
"""Share of requests beyond the objective above which a figure is red: what a p95 allows."""
HEADINGS = (
    "",
    "requests",
    "failed",
    f"over {TTFT_OBJECTIVE_S:g} s",
    "TTFT p50",
    "p95",
    "p99",
    "most replicas",
    "node-hours",
    "cost",
)


def live(records: Sequence[Record], day: Day, terms: Terms, now: float) -> RenderableType:
    """Both fleets side by side."""
    grid = Table.grid(expand=True, padding=(0, 1))
    for _ in records:
        grid.add_column(ratio=1)
    grid.add_row(*(_panel(record, day, terms, now) for record in records))
    return grid


def line(record: Record, day: Day, now: float) -> str:
    """One line of progress, for where there is no terminal."""
    if not record.moments:
        return f"{record.name}: about to begin"
    last = record.moments[-1]
    forecast = "" if math.isnan(last.upper_rps) else f", forecast up to {last.upper_rps:.1f}/s"
    return (
        f"{record.name}: {hour(day, last.at_s)}, demand {_rps(last.arrivals_rps)}{forecast}, "
        f"replicas {last.ready}+{last.starting}, nodes {last.nodes}/{last.nodes_wanted}, "
        f"KV {percent(last.kv_used)}, waiting {_count(last.waiting)}, "
        f"over {TTFT_OBJECTIVE_S:g} s {percent(record.late_share())} "
        f"(lately {percent(record.late_share(now - RECENT_S))}), "
        f"{record.node_hours:.1f} node-hours, ${record.cost:.2f}"
    )


def hour(day: Day, real_s: float) -> str:
    """The time of the day, as a clock shows it."""
    minutes = int(day.hour(real_s) * 60.0)
    return f"{minutes // 60 % 24:02d}:{minutes % 60:02d}"


def summary(records: Sequence[Record]) -> str:
    """The table at the end."""
    return table(HEADINGS, [row(record) for record in records])


def row(record: Record) -> list[str]:
    return [
        record.name,
        f"{len(record.samples)}",
        f"{record.failed}",
        percent(record.late_share()),
        *(ms(record.ttft_s(share)) for share in (50, 95, 99)),
        f"{record.most(lambda moment: moment.ready)}",
        f"{record.node_hours:.1f}",
        f"${record.cost:.2f}",
    ]


def about(day: Day, terms: Terms) -> str:
    """What is real here and what is not, before anything is shown."""
    minutes = day.factor / 60.0
    return (
        f"A day from {day.from_h:g}:00 to {day.to_h:g}:00 in {day.seconds:.0f} s: time is "
        f"compressed {day.factor:g} times, demand and lead times alike. A second here is "
        f"{minutes:g} minutes of the day; a node takes {terms.node_s / 60:g} of them, a replica on "
        f"it {terms.pod_s / 60:g} more.\n"
        f"Requests are thinned by the same factor: one is sent, and takes its real time, where "
        f"{day.factor:g} would come, up to {day.peak_rps:g}/s to each fleet. Minutes of too little "
        f"capacity are a second here, and waits are tenths of one; so the objective is tight, a "
        f"first token within {TTFT_OBJECTIVE_S:g} s where it takes 0.3 s without a queue.\n"
        f"Real: Envoy, gateways, autoscaler, adapter, requests, processes that come and go. "
        f"Emulated: the model servers (an L4 with an 8B model, {terms.saturation_rps:.1f} "
        f"requests/s each at the most), nodes (places for processes), prices "
        f"(${PRICE_PER_NODE_HOUR:.2f} a node-hour).\n"
        f"Two fleets, the same requests. One has the predictive autoscaler, whose history is made "
        f"up: {day.days_before} seeded days of the same shape, each with its own level and noise. "
        f"The other has a reactive HPA (its exact arithmetic and default behavior) with a target "
        f"of {terms.target_rps:.1f} requests/s a replica, {terms.hpa_load:.0%} of the most, "
        "with which both cost the same within a tenth (at --hpa-load 0.75 it is cheaper and "
        "later); nodes follow it. Both know what a replica sustains, and hear the same signals."
    )


def _panel(record: Record, day: Day, terms: Terms, now: float) -> Panel:
    if not record.moments:
        return Panel(Text("about to begin", style="dim"), title=record.name, border_style="dim")
    last = record.moments[-1]
    style = "green" if record.ended else "cyan"
    title = f"{record.name} · {hour(day, last.at_s)}"
    return Panel(
        Group(_chart(record, day, terms), Text(), _figures(record, last, now)),
        title=title,
        border_style=style,
    )


def _chart(record: Record, day: Day, terms: Terms) -> Table:
    shown = Table.grid(padding=(0, 1))
    demand_most = 1.3 * day.peak_rps

    def add(name: str, of: Callable[[Moment], float], most: float, style: str) -> None:
        values = [(m.at_s / day.seconds, of(m)) for m in record.moments]
        shown.add_row(name, Text(spark(values, most), style=style))

    add("demand", lambda m: m.arrivals_rps, demand_most, "cyan")
    if any(not math.isnan(m.upper_rps) for m in record.moments):
        add("forecast", lambda m: m.upper_rps, demand_most, "magenta")
    add("replicas", lambda m: m.ready, terms.most, "green")
    add("nodes", lambda m: m.nodes, terms.most, "blue")
    add(f"KV, of {KV_MOST:.0%}", lambda m: m.kv_used, KV_MOST, "yellow")
    add("waiting", lambda m: m.waiting, WAITING_MOST, "red")
    return shown


def spark(values: Sequence[tuple[float, float]], most: float, cells: int = CHART_CELLS) -> str:
    """One cell for each part of the day, (share of the day, value): the last value in it."""
    shown = [" "] * cells
    for share, value in values:
        cell = min(int(share * cells), cells - 1)
        if share >= 0.0 and not math.isnan(value):
            step = math.ceil(min(max(value / most, 0.0), 1.0) * (len(STEPS) - 1))
            shown[cell] = STEPS[step]
    return "".join(shown)


def _figures(record: Record, last: Moment, now: float) -> Text:
    text = Text()
    text.append(f"demand {_rps(last.arrivals_rps)}")
    if not math.isnan(last.upper_rps):
        text.append(f"   forecast up to {last.upper_rps:.1f}/s within its horizon")
    text.append(
        f"\nreplicas {last.ready} ready, {last.starting} starting   "
        f"nodes {last.nodes} of {last.nodes_wanted}\n"
    )
    text.append(f"KV {bar(last.kv_used)} {percent(last.kv_used)}   ")
    text.append(f"waiting {_count(last.waiting)}\n")
    for name, share in (
        ("", record.late_share()),
        (", lately ", record.late_share(now - RECENT_S)),
    ):
        style = "red" if share > LATE else "green"
        text.append(name or f"over {TTFT_OBJECTIVE_S:g} s: ")
        text.append(percent(share), style=style)
    text.append(f"   {record.node_hours:.1f} node-hours, ${record.cost:.2f}")
    return text


def _rps(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.1f}/s"


def _count(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.0f}"
