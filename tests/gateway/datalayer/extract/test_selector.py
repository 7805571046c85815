"""PromQL selectors as operators write them."""

from __future__ import annotations

import pytest

from gateway.datalayer.extract.selector import parse
from loadstar.signals.exposition import Sample

SERIES = [
    Sample(b'state="waiting",pool="a"', 1.0),
    Sample(b'state="running",pool="b,c"', 2.0),
    Sample(b"", 3.0),
]


@pytest.mark.parametrize(
    ("text", "chosen"),
    [
        pytest.param("metric", [1, 2, 3], id="name alone"),
        pytest.param(" metric {} ", [1, 2, 3], id="empty braces, blanks"),
        pytest.param('metric{state="waiting"}', [1], id="equal"),
        pytest.param("metric{state=waiting}", [1], id="without quotes"),
        pytest.param("metric{state='waiting'}", [1], id="single quotes"),
        pytest.param('metric{ state = "waiting" , }', [1], id="blanks and a last comma"),
        pytest.param('metric{state!="waiting"}', [2, 3], id="not equal"),
        pytest.param('metric{state=~"wait.*|run.*"}', [1, 2], id="pattern"),
        pytest.param('metric{state=~"wait"}', [], id="a pattern is anchored"),
        pytest.param('metric{state!~"wait.*"}', [2, 3], id="not the pattern"),
        pytest.param('metric{pool="b,c"}', [2], id="comma in quotes"),
        pytest.param('metric{state=""}', [3], id="a label that is not there is empty"),
        pytest.param('metric{state="running",pool="a"}', [], id="all must hold"),
    ],
)
def test_series_are_chosen(text: str, chosen: list[int]) -> None:
    selector = parse(text)
    assert selector.name == b"metric"
    assert [sample.value for sample in selector.choose(SERIES)] == chosen


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{a=b}",
        "1metric",
        "metric[5m]",
        "metric{a}",
        "metric{a=b",
        "metric{a=b}}",
        "metric{a=}",
        "metric{a==b}",
        "metric{a=b c=d}",
        "sum(metric)",
        "metric + 1",
        'metric{a=~"("}',
    ],
)
def test_what_is_no_selector_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"begin|after|read|regular"):
        parse(text)
