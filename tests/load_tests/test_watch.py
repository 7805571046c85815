"""What the demo shows: read from real-looking pages, drawn without a terminal, plotted to HTML."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree

import pytest
from rich.console import Console

from load_tests import html_report, view
from load_tests.compare import Offered, Result, Settings
from load_tests.fleet import Policy
from load_tests.measure import Sample
from load_tests.watch import Moment, Run, ServerState, parse

PAGE = """\
# HELP vllm:num_requests_running Number of requests in model execution batches.
# TYPE vllm:num_requests_running gauge
vllm:num_requests_running{engine="0",model_name="m"} 3.0
vllm:num_requests_waiting{engine="0",model_name="m"} 2.0
vllm:num_requests_waiting_by_reason{engine="0",model_name="m",reason="capacity"} 2.0
vllm:kv_cache_usage_perc{engine="0",model_name="m"} 0.25
vllm:prefix_cache_queries_total{engine="0",model_name="m"} 1000.0
vllm:prefix_cache_hits_total{engine="0",model_name="m"} 600.0
"""


def sample(at: float, ttft: float, server: str, status: int = 200) -> Sample:
    return Sample(at, at, at + ttft, at + 1, status, output_tokens=3, served_by=server)


def moment(at: float, hits: float, queries: float, cpu: float) -> Moment:
    state = ServerState(1, 2, 0.5, hits, queries)
    return Moment(at, (state, state), {"gateway": cpu, "envoy": cpu / 2})


def run(name: str, ttft: float = 0.2) -> Run:
    servers = ("127.0.0.1:8100", "127.0.0.1:8101")
    return Run(
        name,
        40,
        servers,
        began_at=100.0,
        samples=[sample(100 + i / 10, ttft, servers[i % 2]) for i in range(200)],
        moments=[moment(t / 2, 60 * t, 100 * t, 0.05 * t) for t in range(40)],
    )


def drawn(runs: Sequence[Run], now: float) -> str:
    console = Console(width=140, force_terminal=False)
    with console.capture() as captured:
        console.print(view.live(runs, now))
    return captured.get()


def test_a_page_is_read_for_five_series_and_no_others() -> None:
    assert parse(PAGE) == ServerState(2.0, 3.0, 0.25, 600.0, 1000.0)


def test_a_series_that_is_not_there_is_not_zero() -> None:
    assert math.isnan(parse("").waiting)


def test_hits_and_cpu_are_those_of_the_run_and_not_since_the_start() -> None:
    watched = run("x")
    watched.moments.insert(0, moment(-1, 0, 1000, 0))
    watched.moments[1:] = [moment(t, 500 + 50 * t, 1000 + 100 * t, 0.1 * t) for t in (1, 2, 3, 4)]
    assert watched.hit_share(0) == pytest.approx(700 / 400)
    assert watched.cpu_share("gateway", over_s=2) == pytest.approx(0.1)
    assert math.isnan(watched.cpu_share("nobody"))


@pytest.mark.parametrize(
    ("share", "drawing"),
    [
        pytest.param(0.0, "    ", id="empty"),
        pytest.param(0.5, "██  ", id="half"),
        pytest.param(0.28, "█▏  ", id="parts"),
        pytest.param(1.0, "████", id="full"),
        pytest.param(7.0, "████", id="more than full"),
        pytest.param(math.nan, "    ", id="not known"),
    ],
)
def test_bars(share: float, drawing: str) -> None:
    assert view.bar(share, cells=4) == drawing


def test_the_view_shows_every_server_and_the_quantiles_of_each_run() -> None:
    waiting = Run("Loadstar", 40, ())
    text = drawn([run("Envoy round robin"), waiting], now=120)
    assert "Envoy round robin · 20 of 40 s" in text
    assert re.search(r":8100 .*1.* 2 .*50%.*60\.0%", text)
    assert "p99 200 ms" in text
    assert "gateway 10.0%, envoy 5.0% of a core" in text
    assert "next" in text


def test_a_run_that_has_seen_nothing_yet_can_be_drawn() -> None:
    empty = Run("Loadstar", 40, ("127.0.0.1:8100",), began_at=100)
    assert "0 of 40 s" in drawn([empty], now=100)
    assert "TTFT p50 -" in view.line(empty, 100)


def test_without_a_terminal_progress_is_one_line() -> None:
    assert view.line(run("Loadstar"), now=110) == (
        "Loadstar: 10 of 40 s, 200 answered, TTFT p50 200 ms p99 200 ms, queues 1/1, "
        "gateway CPU 10.0%"
    )


def test_the_report_is_one_well_formed_page_with_its_plots_inside() -> None:
    runs = [run("Envoy round robin", 0.5), run("Loadstar", 0.1)]
    results = [
        Result(Policy.ROUND_ROBIN, runs[0].samples, 20, {"envoy": 1.0}),
        Result(Policy.LOADSTAR, runs[1].samples, 20, {"gateway": 2.0}),
    ]
    offered = Offered((), 10.0, 13.3)
    page = html_report.document(html_report.policies(Settings(), offered, runs, results, "a < b"))
    assert page.count("<svg") == 5
    assert "a &lt; b" in page
    assert "http" not in re.sub(
        r'xmlns\S*="http[^"]*"|<metadata>.*?</metadata>', "", page, flags=re.DOTALL
    )
    for svg in re.findall(r"<svg.*?</svg>", page, re.DOTALL):
        ElementTree.fromstring(svg)


def test_a_report_of_a_run_without_answers_can_be_written(tmp_path: Path) -> None:
    nothing = Run("Loadstar", 40, ("127.0.0.1:8100",), began_at=0.0, moments=[])
    results = [Result(Policy.LOADSTAR, [], 1.0, {})]
    path = tmp_path / "deep" / "report.html"
    sections = html_report.policies(Settings(), Offered((), 1, 1), [nothing], results, "")
    html_report.write(path, sections)
    assert path.read_text().endswith("</html>\n")
