"""The demo's report: one HTML file with inline SVG plots, nothing to download.

Pure up to ``write``. Called by ``load_tests.demo``, which adds the second act's sections.
"""

from __future__ import annotations

import html
import io
from collections import Counter
from collections.abc import Sequence
from pathlib import Path

import matplotlib as mpl
import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from load_tests.compare import Offered, Result, Settings
from load_tests.compare_report import HEADINGS, row
from load_tests.watch import EVERY_S, Run

COLOURS = ("#b45309", "#0369a1", "#15803d", "#7e22ce")
WINDOW_S = 5.0
STYLE = """
body { font: 15px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 2rem auto; padding: 0 1rem;
       color: #1c1917; background: #fff; }
h1 { font-size: 1.5rem; } h2 { font-size: 1.1rem; margin-top: 2rem; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; }
th, td { padding: .25rem .6rem; border-bottom: 1px solid #d6d3d1; text-align: right; }
th:first-child, td:first-child { text-align: left; }
pre { background: #f5f5f4; padding: .8rem; overflow-x: auto; }
svg { max-width: 100%; height: auto; }
"""


def write(path: Path, sections: Sequence[tuple[str, str]]) -> None:
    """Write the report to ``path``, making its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(document(sections), encoding="utf-8")


def document(sections: Sequence[tuple[str, str]]) -> str:
    """The whole page: (heading, HTML) of each section."""
    content = "".join(f"<h2>{html.escape(title)}</h2>\n{part}\n" for title, part in sections)
    return (
        '<!doctype html>\n<html lang="en"><head><meta charset="utf-8">\n'
        "<title>Loadstar's demo</title>\n"
        f"<style>{STYLE}</style></head><body>\n<h1>Loadstar's demo</h1>\n{content}</body></html>\n"
    )


def policies(
    settings: Settings,
    workload: Offered,
    runs: Sequence[Run],
    results: Sequence[Result],
    summary: str,
) -> list[tuple[str, str]]:
    """The first act's sections: Loadstar against round robin."""
    about = (
        f"{len(workload.arrivals)} requests at {workload.rate:.1f}/s, the same for each policy: "
        f"{settings.load:.0%} of the {workload.saturation:.1f}/s that {settings.servers} emulated "
        f"{settings.profile} servers complete under round robin. Seed {settings.seed}, speed "
        f"{settings.speed:g}. Emulated servers, a real Envoy, one machine: compare the policies "
        "with each other, not the milliseconds with a GPU's."
    )
    return [
        (
            "Loadstar against round robin",
            f"<p>{html.escape(about)}</p>\n{_table(settings, results)}",
        ),
        ("Time to first token: share of requests answered within", _distribution(runs)),
        (f"Time to first token over the run: p90 of {WINDOW_S:.0f} s", _over_time(runs)),
        ("Waiting requests, all servers", _queues(runs)),
        ("Prompt tokens found in the prefix cache", _hits(runs)),
        ("Requests by server", _served(runs)),
        ("As printed", f"<pre>{html.escape(summary)}</pre>"),
    ]


def table_of(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table."""

    def cells(tag: str, values: Sequence[str]) -> str:
        return "<tr>" + "".join(f"<{tag}>{html.escape(v)}</{tag}>" for v in values) + "</tr>"

    lines = "\n".join(cells("td", each) for each in rows)
    return f"<table>\n{cells('th', headings)}\n{lines}\n</table>"


def _table(settings: Settings, results: Sequence[Result]) -> str:
    return table_of(HEADINGS, [row(settings, result) for result in results])


def _distribution(runs: Sequence[Run]) -> str:
    figure, (axes,) = plot_figure(1)
    for run, colour in zip(runs, COLOURS, strict=False):
        ttft = np.sort([s.ttft_s for s in run.samples if s.ok]) * 1000
        share = np.arange(1, len(ttft) + 1) / max(1, len(ttft))
        axes.plot(ttft, share, color=colour, label=run.name)
    axes.set(xscale="log", xlabel="ms", ylim=(0, 1.01))
    axes.legend()
    return svg(figure)


def _over_time(runs: Sequence[Run]) -> str:
    figure, (axes,) = plot_figure(1)
    for run, colour in zip(runs, COLOURS, strict=False):
        ok = [s for s in run.samples if s.ok]
        buckets: dict[int, list[float]] = {}
        for sample in ok:
            window = int((sample.sent_at - run.began_at) / WINDOW_S)
            buckets.setdefault(window, []).append(sample.ttft_s * 1000)
        windows = sorted(buckets)
        p90 = [float(np.percentile(buckets[window], 90)) for window in windows]
        axes.plot(
            [window * WINDOW_S for window in windows], p90, color=colour, label=run.name, marker="."
        )
    axes.set(xlabel="seconds", ylabel="ms", ylim=(0, None))
    axes.legend()
    return svg(figure)


def _queues(runs: Sequence[Run]) -> str:
    figure, (axes,) = plot_figure(1)
    for run, colour in zip(runs, COLOURS, strict=False):
        waiting = [sum(s.waiting for s in m.servers) for m in run.moments]
        axes.plot([m.at_s for m in run.moments], waiting, color=colour, label=run.name)
    axes.set(xlabel="seconds", ylabel="requests", ylim=(0, None))
    axes.legend()
    return svg(figure)


def _hits(runs: Sequence[Run]) -> str:
    figure, (axes,) = plot_figure(1)
    step = round(WINDOW_S / EVERY_S)
    for run, colour in zip(runs, COLOURS, strict=False):
        asked = np.array([sum(s.prefix_queries for s in m.servers) for m in run.moments])
        found = np.array([sum(s.prefix_hits for s in m.servers) for m in run.moments])
        at = [m.at_s for m in run.moments[step:]]
        with np.errstate(invalid="ignore", divide="ignore"):
            share = (found[step:] - found[:-step]) / (asked[step:] - asked[:-step])
        axes.plot(at, share, color=colour, label=run.name)
    axes.set(xlabel="seconds", ylim=(0, 1.01))
    axes.legend()
    return svg(figure)


def _served(runs: Sequence[Run]) -> str:
    figure, all_axes = plot_figure(len(runs), height=2.2)
    for axes, run, colour in zip(all_axes, runs, COLOURS, strict=False):
        served = Counter(s.served_by for s in run.samples)
        names = [f":{name.rpartition(':')[2]}" for name in run.servers]
        axes.bar(names, [served[name] for name in run.servers], color=colour)
        axes.set_title(run.name, fontsize=9)
    return svg(figure)


def plot_figure(columns: int, height: float = 3.0) -> tuple[Figure, Sequence[Axes]]:
    """A figure of so many plots beside each other."""
    figure = Figure(figsize=(9, height), layout="constrained")
    axes = figure.subplots(1, columns, squeeze=False)[0]
    for one in axes:
        one.grid(alpha=0.3)
        one.spines[["top", "right"]].set_visible(False)
    return figure, list(axes)


def svg(figure: Figure) -> str:
    """``figure`` as SVG, to stand in a page."""
    buffer = io.StringIO()
    # Text stays text: smaller, and it can be searched. The salt makes two reports of the same
    # run the same file.
    with mpl.rc_context({"svg.fonttype": "none", "svg.hashsalt": "loadstar"}):
        figure.savefig(buffer, format="svg", metadata={"Date": None})
    text = buffer.getvalue()
    return text[text.index("<svg") :]
