"""Scanning finds what a parser finds, and nothing that a parser would not."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st
from prometheus_client.parser import text_string_to_metric_families

from loadstar.signals.exposition import MOST_MENTIONS, samples

Series = list[tuple[dict[str, str], float]]


def read(page: str | bytes, name: str) -> Series:
    raw = page.encode() if isinstance(page, str) else page
    found = samples(raw, name.encode())
    assert found.unreadable == 0
    return [(dict(sample.labels), sample.value) for sample in found.samples]


@pytest.mark.parametrize(
    ("page", "expected"),
    [
        pytest.param("", [], id="empty page"),
        pytest.param("waiting 3\n", [({}, 3.0)], id="no labels, first line"),
        pytest.param("x 1\nwaiting 3", [({}, 3.0)], id="no newline at the end"),
        pytest.param("waiting{} 3\n", [({}, 3.0)], id="empty braces"),
        pytest.param('waiting{a="b",} 3\n', [({"a": "b"}, 3.0)], id="comma after the last label"),
        pytest.param('waiting { a = "b" , c="d" } 3\n', [({"a": "b", "c": "d"}, 3.0)], id="blanks"),
        pytest.param("\t waiting\t3 \n", [({}, 3.0)], id="blanks around the line"),
        pytest.param('waiting{a="b"} 3\r\nx 1\r\n', [({"a": "b"}, 3.0)], id="CRLF"),
        pytest.param("waiting 3 1395066363000\n", [({}, 3.0)], id="timestamp in milliseconds"),
        pytest.param("waiting 3 -1.5e3\n", [({}, 3.0)], id="OpenMetrics timestamp"),
        pytest.param(
            'waiting{a="b"} 3 # {trace_id="KOO5S4vxi0o"} 0.67\n# EOF\n',
            [({"a": "b"}, 3.0)],
            id="OpenMetrics exemplar",
        ),
        pytest.param("waiting 1.5e-3\n", [({}, 0.0015)], id="exponent"),
        pytest.param("waiting +Inf\n", [({}, math.inf)], id="+Inf"),
        pytest.param("waiting -Inf\n", [({}, -math.inf)], id="-Inf"),
        pytest.param(
            r'waiting{a="q\"b\\s\nn",b="}{,=\\"} 3' + "\n",
            [({"a": 'q"b\\s\nn', "b": "}{,=\\"}, 3.0)],
            id="escapes, braces and commas in a value",
        ),
        pytest.param(
            'waiting{a="1"} 3\nother 1\nwaiting{a="2"} 4\n',
            [({"a": "1"}, 3.0), ({"a": "2"}, 4.0)],
            id="series that do not stand together",
        ),
    ],
)
def test_a_sample_is_read(page: str, expected: Series) -> None:
    assert read(page, "waiting") == expected


@pytest.mark.parametrize(
    "page",
    [
        pytest.param("# HELP waiting 3\n# TYPE waiting gauge\n", id="comments"),
        pytest.param("waiting_by_reason 3\nwaiting_total 3\n", id="longer names"),
        pytest.param("num_waiting 3\nvllm:waiting 3\n", id="names that end in it"),
        pytest.param('x{a="waiting 3"} 1\n', id="label value"),
        pytest.param('x{a="\\nwaiting 3"} 1\n', id="label value after an escaped newline"),
        pytest.param("# HELP x the\twaiting 3\n", id="help text"),
    ],
)
def test_a_mention_is_not_a_sample(page: str) -> None:
    assert read(page, "waiting") == []


def test_not_a_number_is_a_value() -> None:
    """Whether it means anything is for the reader of the signal to say."""
    [(labels, value)] = read("waiting NaN\n", "waiting")
    assert labels == {}
    assert math.isnan(value)


@pytest.mark.parametrize(
    "line",
    [
        pytest.param("waiting three", id="word"),
        pytest.param("waiting 1_000", id="Python's digits"),
        pytest.param("waiting ", id="no value"),
        pytest.param("waiting{a=b} 3", id="label without quotes"),
        pytest.param('waiting{a="b} 3', id="quote left open"),
        pytest.param('waiting{a="b" 3', id="brace left open"),
        pytest.param('waiting{a="b" c="d"} 3', id="no comma"),
        pytest.param("waiting 3 4 5", id="too much"),
        pytest.param('waiting{a="b"} ', id="no value after labels"),
    ],
)
def test_an_unreadable_line_is_counted_and_not_zero(line: str) -> None:
    found = samples(f"{line}\nwaiting 7\n".encode(), b"waiting")
    assert [sample.value for sample in found.samples] == [7.0]
    assert found.unreadable == 1


def test_bytes_that_are_not_utf8_spoil_only_their_label() -> None:
    assert read(b'waiting{a="\xff"} 3\n', "waiting") == [({"a": "�"}, 3.0)]


@pytest.mark.parametrize(
    "page",
    [
        pytest.param(b"waiting 1\n" * 800_000, id="very many samples"),
        pytest.param(b"waiting" * 1_000_000, id="the name over and over"),
        pytest.param(b"waiting{" + b'a="' * 2_000_000, id="quotes without end"),
        pytest.param(b"waiting{" + b'a="b",' * 1_000_000, id="labels without end"),
        pytest.param(b"waiting" + b" " * 8_000_000, id="blanks without end"),
        pytest.param(b" " * 4_000_000 + b"waiting 1", id="blanks before"),
    ],
)
def test_a_page_made_to_keep_us_busy_does_not(page: bytes) -> None:
    started = time.process_time()
    found = samples(page, b"waiting")
    assert time.process_time() - started < 1.0
    assert len(found.samples) <= MOST_MENTIONS


def test_a_page_not_read_to_its_end_says_so() -> None:
    found = samples(b"waiting 1\n" * (MOST_MENTIONS + 1), b"waiting")
    assert found.unreadable == 1


NAMES = ("waiting", "waiting_total", "waitin", "x:waiting", "kv")
label_values = st.text(st.characters(codec="utf-8", exclude_characters="\r"), max_size=8)
labels = st.dictionaries(st.sampled_from(["a", "b", "le", "waiting"]), label_values, max_size=3)
blanks = st.sampled_from(["", " ", "\t", "  "])


def escaped(text: str) -> str:
    return text.replace("\\", r"\\").replace("\n", r"\n").replace('"', r"\"")


@st.composite
def lines(draw: st.DrawFn) -> str:
    name = draw(st.sampled_from(NAMES))
    kind = draw(st.sampled_from(["sample", "sample", "sample", "help", "type", "blank"]))
    if kind == "help":
        return f"# HELP {name} {draw(st.sampled_from(NAMES))} 3"
    if kind == "type":
        return f"# TYPE {name} gauge"
    if kind == "blank":
        return draw(blanks)
    of: Mapping[str, str] = draw(labels)
    inner = ",".join(f'{label}="{escaped(value)}"' for label, value in of.items())
    block = "{" + inner + draw(st.sampled_from(["", ","] if inner else [""])) + "}" if of else ""
    value = draw(
        st.one_of(
            st.floats().map(repr),
            st.integers(0, 10**20).map(str),
            st.sampled_from(["+Inf", "-Inf", "NaN", "1e3", "-0", ".5", "5."]),
        )
    )
    stamp = draw(st.one_of(st.just(""), st.integers(0, 2**42).map(lambda at: f" {at}")))
    return f"{draw(blanks)}{name}{block} {draw(blanks)}{value}{stamp}{draw(blanks)}"


@given(st.lists(lines(), max_size=12), st.sampled_from(["\n", ""]))
def test_scanning_finds_what_the_prometheus_client_parses(page: list[str], end: str) -> None:
    text = "\n".join(page) + end
    parsed: dict[str, list[tuple[dict[str, str], float]]] = {name: [] for name in NAMES}
    for family in text_string_to_metric_families(text):
        for sample in family.samples:
            parsed[sample.name].append((sample.labels, sample.value))
    for name in NAMES:
        assert comparable(read(text, name)) == comparable(parsed[name])


def comparable(series: Series) -> list[str]:
    """As text, in which NaN equals NaN; the client reads "-0" as the integer 0."""
    return [f"{labels} {float(value) + 0.0}" for labels, value in series]


@given(st.binary(max_size=200))
def test_no_bytes_are_too_odd(noise: bytes) -> None:
    found = samples(noise.replace(b"?", b"\nwaiting"), b"waiting")
    assert all(dict(sample.labels) is not None for sample in found.samples)
