"""PromQL selectors as operators write them."""

from __future__ import annotations

import pytest

from loadstar.signals.exposition import Sample
from loadstar.signals.series_selector import parse

SERIES = [
    Sample(b'state="waiting",pool="a"', 1.0),
    Sample(b'state="running",pool="b,c"', 2.0),
    Sample(b"", 3.0),
    Sample(b'state="a.b"', 4.0),
    Sample(b'state="a-b"', 5.0),
]


@pytest.mark.parametrize(
    ("text", "chosen"),
    [
        pytest.param("metric", [1, 2, 3, 4, 5], id="name alone"),
        pytest.param(" metric {} ", [1, 2, 3, 4, 5], id="empty braces, blanks"),
        pytest.param('metric{state="waiting"}', [1], id="equal"),
        pytest.param("metric{state=waiting}", [1], id="without quotes"),
        pytest.param("metric{state='waiting'}", [1], id="single quotes"),
        pytest.param('metric{ state = "waiting" , }', [1], id="blanks and a last comma"),
        pytest.param('metric{state!="waiting"}', [2, 3, 4, 5], id="not equal"),
        pytest.param('metric{state=~"wait.*|run.*"}', [1, 2], id="pattern"),
        pytest.param('metric{state=~"wait"}', [], id="a pattern is anchored"),
        pytest.param('metric{state!~"wait.*"}', [2, 3, 4, 5], id="not the pattern"),
        pytest.param('metric{pool="b,c"}', [2], id="comma in quotes"),
        pytest.param('metric{state=~"a\\\\.b"}', [4], id="an escaped dot, as PromQL writes it"),
        pytest.param('metric{state=~"a\\.b"}', [4], id="an escaped dot, as people write it"),
        pytest.param('metric{state="a\\.b"}', [4], id="outside of patterns a dot is a dot"),
        pytest.param('metric{state=""}', [3], id="a label that is not there is empty"),
        pytest.param('metric{state="running",pool="a"}', [], id="all must hold"),
    ],
)
def test_series_are_chosen(text: str, chosen: list[int]) -> None:
    selector = parse(text, bare=True)
    assert selector.name == "metric"
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
        parse(text, bare=True)


def test_a_value_goes_without_quotes_only_where_that_is_allowed() -> None:
    with pytest.raises(ValueError, match="cannot read the labels from 'state=waiting}'"):
        parse("metric{state=waiting}")


def test_a_selector_longer_than_anyone_writes_is_refused() -> None:
    with pytest.raises(ValueError, match="1001 characters"):
        parse("m" * 1001)
