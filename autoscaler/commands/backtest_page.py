"""The HTML page of a backtest: a table, and plots of demand, forecast, capacity and violations.

Needs matplotlib, which the distribution's ``load`` extra brings; nothing else here does.
"""

from __future__ import annotations

import base64
import html
import io
from collections.abc import Sequence
from typing import Any

from autoscaler.simulate.backtest import ORACLE, Result
from autoscaler.simulate.catalog import OURS

MISSING = "--html needs matplotlib: pip install 'loadstar[load]'"
SHOWN_DAYS = 3
"""A plot of more days than this shows nothing; the last ones are drawn."""


class NoPlots(Exception):
    """Plots were asked for and there is nothing to draw them with."""


def page(results: Sequence[Result], title: str) -> str:
    """The whole page, plots inside. Raises NoPlots."""
    try:
        from matplotlib.figure import Figure
    except ImportError:
        raise NoPlots(MISSING) from None
    plots = "\n".join(
        f"<h2>{html.escape(result.name)}</h2>{_image(_drawn(Figure, result))}"
        for result in sorted(results, key=lambda r: (r.name != OURS, r.name == ORACLE))
    )
    rows = "\n".join(
        "<tr>" + "".join(f"<td>{html.escape(cell)}</td>" for cell in row) + "</tr>"
        for row in table(results)[1:]
    )
    head = "".join(f"<th>{html.escape(cell)}</th>" for cell in table(results)[0])
    front = _front(Figure, results)
    return (
        f"<!doctype html><meta charset='utf-8'><title>{html.escape(title)}</title>"
        "<style>body{font:15px system-ui;margin:2em auto;max-width:1100px}"
        "td,th{padding:.2em .8em;text-align:right}td:first-child,th:first-child{text-align:left}"
        "img{max-width:100%}</style>"
        f"<h1>{html.escape(title)}</h1><table><tr>{head}</tr>{rows}</table>{front}"
        f"{plots}"
    )


def table(results: Sequence[Result]) -> list[list[str]]:
    """The report as cells, the header first."""
    oracle = next((r.outcome.cost for r in results if r.name == ORACLE), None)
    days = [max(len(r.outcome.minutes) / 1440, 1e-9) for r in results]
    head = ["controller", "knob", "late", "bad min", "GPU-h", "cost", "x oracle", "flaps/day"]
    made = [head]
    for result, each_days in zip(results, days, strict=True):
        got = result.outcome
        made.append(
            [
                result.name,
                "" if result.knob is None else f"{result.knob:g}",
                f"{got.violation_fraction:.2%}",
                str(got.violation_minutes),
                f"{got.node_hours:,.1f}",
                f"{got.cost:,.2f}",
                f"{got.cost / oracle:.2f}" if oracle else "",
                f"{got.flaps / each_days:.1f}",
            ]
        )
    return made


def _drawn(figure: Any, result: Result) -> Any:
    minutes = result.outcome.minutes[-SHOWN_DAYS * 1440 :]
    first = len(result.outcome.minutes) - len(minutes)
    hours = [(first + i) / 60 for i in range(len(minutes))]
    drawing = figure(figsize=(11, 4.2), layout="constrained")
    upper, lower = drawing.subplots(2, 1, sharex=True, height_ratios=[3, 1])
    upper.plot(
        hours, [m.believed_work_s / 60 for m in minutes], lw=0.8, label="demand", color="#1f77b4"
    )
    ready = [m.capacity_s / 60 for m in minutes]
    upper.step(hours, ready, where="post", lw=1.0, label="replicas ready", color="#2ca02c")
    skipped = len(result.recorder.minutes) - len(minutes)
    bands = [
        ((until - skipped * 60) / 3600 + first / 60, bound)
        for at, until, bound in result.recorder.forecasts
        if at >= skipped * 60
    ]
    if bands:
        upper.plot(
            *zip(*bands, strict=True), lw=0.6, color="#ff7f0e", label="forecast, upper bound"
        )
    upper.set_ylabel("reference replicas")
    upper.legend(loc="upper left", fontsize=8)
    lower.fill_between(
        hours, result.outcome.violating_by_minute[-len(minutes) :], color="#d62728", step="post"
    )
    lower.set_ylabel("late")
    lower.set_xlabel("hours")
    return drawing


def _front(figure: Any, results: Sequence[Result]) -> str:
    drawing = figure(figsize=(7, 4), layout="constrained")
    axes = drawing.subplots()
    for result in results:
        late = max(result.outcome.violation_fraction, 1e-5)
        axes.scatter(result.outcome.cost, late, s=60 if result.name == OURS else 25)
        axes.annotate(result.name, (result.outcome.cost, late), fontsize=8)
    axes.set_yscale("log")
    axes.set_xlabel("cost")
    axes.set_ylabel("share of requests late")
    return _image(drawing)


def _image(drawing: Any) -> str:
    buffer = io.BytesIO()
    drawing.savefig(buffer, format="png", dpi=90)
    return f"<img src='data:image/png;base64,{base64.b64encode(buffer.getvalue()).decode()}'>"
