"""The second act's part of the report: sections of HTML with inline SVG. Pure."""

from __future__ import annotations

import html
from collections.abc import Callable, Sequence

import numpy as np

from load_tests.day.record import Check, Moment, Record, late
from load_tests.day.shape import Day, offered_rps
from load_tests.day.terms import TTFT_OBJECTIVE_S, Terms
from load_tests.day.view import HEADINGS, about, row
from load_tests.html_report import COLOURS, plot_figure, svg, table_of

BUCKET_H = 0.25
STEPS = 600


def sections(
    day: Day, terms: Terms, records: tuple[Record, Record], checks: Sequence[Check]
) -> list[tuple[str, str]]:
    """(heading, HTML) of each part, in order."""
    paragraphs = "".join(f"<p>{html.escape(part)}</p>" for part in about(day, terms).split("\n"))
    worked = table_of(
        ("", "", "found"),
        [(check.what, "ok" if check.holds else "FAILED", check.found) for check in checks],
    )
    return [
        (
            "A day, by a forecast and by a reactive HPA",
            paragraphs + table_of(HEADINGS, [row(record) for record in records]),
        ),
        (
            "Demand, and the most that the forecast expects within its horizon",
            _demand(day, records),
        ),
        ("Replicas ready", _steps(day, records, lambda moment: moment.ready, "replicas")),
        ("Nodes asked for", _steps(day, records, lambda moment: moment.nodes_wanted, "nodes")),
        ("KV cache in use, mean", _steps(day, records, lambda moment: moment.kv_used, "share")),
        (
            f"Requests whose first token took more than {TTFT_OBJECTIVE_S:g} s, "
            f"of {BUCKET_H * 60:.0f} minutes",
            _late(day, records),
        ),
        ("What had to work", worked),
    ]


def _demand(day: Day, records: tuple[Record, Record]) -> str:
    figure, (axes,) = plot_figure(1)
    real_s = np.linspace(0.0, day.seconds, STEPS, endpoint=False)
    hours = [day.hour(float(at)) for at in real_s]
    offered = [offered_rps(day, float(at)) for at in real_s]
    axes.fill_between(hours, offered, color="#d6d3d1", label="offered", linewidth=0)
    moments = records[0].moments
    at = [day.hour(moment.at_s) for moment in moments]
    axes.plot(at, [m.arrivals_rps for m in moments], color=COLOURS[1], label="heard", linewidth=1)
    axes.plot(
        at, [m.upper_rps for m in moments], color=COLOURS[3], label="forecast, upper", linewidth=1
    )
    axes.plot(
        at,
        [m.expected_rps for m in moments],
        color=COLOURS[3],
        label="forecast, expected",
        linewidth=1,
        linestyle=":",
    )
    axes.set(xlabel="hour of the day", ylabel="requests/s", ylim=(0, None))
    axes.legend()
    return svg(figure)


def _steps(day: Day, records: Sequence[Record], of: Callable[[Moment], float], unit: str) -> str:
    figure, (axes,) = plot_figure(1, height=2.4)
    for record, colour in zip(records, COLOURS[1::-1], strict=False):
        at = [day.hour(moment.at_s) for moment in record.moments]
        values = [of(moment) for moment in record.moments]
        axes.step(at, values, where="post", color=colour, label=record.name)
    axes.set(xlabel="hour of the day", ylabel=unit, ylim=(0, None))
    axes.legend()
    return svg(figure)


def _late(day: Day, records: Sequence[Record]) -> str:
    figure, (axes,) = plot_figure(1, height=2.4)
    for record, colour in zip(records, COLOURS[1::-1], strict=False):
        buckets: dict[int, list[bool]] = {}
        for sample in record.samples:
            hour = day.hour(sample.sent_at - record.began_at)
            buckets.setdefault(int(hour / BUCKET_H), []).append(late(sample))
        at = sorted(buckets)
        shares = [sum(buckets[b]) / len(buckets[b]) for b in at]
        axes.plot([b * BUCKET_H for b in at], shares, color=colour, label=record.name)
    axes.set(xlabel="hour of the day", ylabel="share", ylim=(0, 1.01))
    axes.legend()
    return svg(figure)
