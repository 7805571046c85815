"""What is read of an excerpt is what would be read of the whole page."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.datalayer.extract.excerpt import TESTS, Excerpt, byte_tests, extractor
from gateway.datalayer.extract.load import EndpointLoad
from gateway.datalayer.extract.series import total
from load_tests.idle_page import page
from loadstar.signals.exposition import samples

NAMES = (b"a:b", b"a:c", b"a:bb", b"d")
PIECES = (
    *(name + b" 1\n" for name in NAMES),
    *(name + b'{x="y"} 2 3\r\n' for name in NAMES),
    *(name + b"_total 1\n# HELP " + name + b" 4\n" for name in NAMES),
    *(b'a:b{x="\\na:b 9"} oops\n', b"a:b\n", b"a:b ", b"a:b{", b"a:", b"a:b\t5\n", b"d 1"),
    *(b"\n", b"\r", b" ", b"\t", b"#", b"x" * 63, b"z\n", b" " * 63, b"\n" + b" " * 64 + b"d 7\n"),
)


@given(st.lists(st.sampled_from(PIECES), max_size=60), st.sets(st.sampled_from(NAMES), min_size=1))
@example([b"x" * 63, b"\n", b"d 1"], {b"d"})
@example([b"\n", b" " * 63, b"d 1\n"], {b"d"})
@example([b"a:b 1\n"] * 200, {b"a:b", b"d"})
@example([], {b"a:b"})
def test_an_excerpt_has_the_samples_of_the_page(pieces: list[bytes], names: set[bytes]) -> None:
    text = b"".join(pieces)
    lines = Excerpt(sorted(names))(text)
    for name in names:
        assert samples(lines, name) == samples(text, name)


@given(st.lists(st.sampled_from(PIECES), max_size=60), st.sets(st.sampled_from(NAMES), min_size=1))
def test_an_excerpt_is_lines_of_the_page_in_their_order(
    pieces: list[bytes], names: set[bytes]
) -> None:
    text = b"".join(pieces)
    lines = text.splitlines(keepends=True) if b"\r" not in text else text.split(b"\n")
    left = iter(line.rstrip(b"\n") for line in lines)
    excerpt = Excerpt(sorted(names))(text)
    assert all(line in left for line in excerpt.rstrip(b"\n").split(b"\n") if excerpt)


def test_of_a_large_page_a_dozen_lines_are_left() -> None:
    lines = Excerpt([b"vllm:num_requests_waiting", b"vllm:kv_cache_usage_perc"])(page())

    assert [line.partition(b"{")[0] for line in lines.splitlines()] == [
        b"vllm:num_requests_waiting",
        b"vllm:kv_cache_usage_perc",
    ]


@given(st.sets(st.integers(0, 255), min_size=1))
def test_every_wanted_byte_passes_one_of_few_tests(wanted: set[int]) -> None:
    tests = byte_tests(wanted)
    assert len(tests) == TESTS
    assert all(any(byte & mask == value for mask, value in tests) for byte in wanted)


def test_few_bytes_are_told_from_all_others() -> None:
    tests = byte_tests(b"nkg")
    passed = [b for b in range(256) if any(b & mask == value for mask, value in tests)]
    assert bytes(passed) == b"gkn"


def test_what_stays_the_same_is_read_once_whatever_else_changes() -> None:
    read: list[bytes] = []

    def waiting(lines: bytes) -> EndpointLoad:
        read.append(lines)
        return EndpointLoad(waiting=total(lines, b"w"))

    extract = extractor(waiting, [b"w"])
    loads = [extract(b"cpu %d\nw %d\n" % (number, number // 3)).waiting for number in range(6)]

    assert loads == [0.0, 0.0, 0.0, 1.0, 1.0, 1.0]
    assert read == [b"w 0\n", b"w 1\n"]


def test_an_engine_that_reports_nothing_is_read_as_nothing() -> None:
    assert extractor(lambda _: EndpointLoad(), [])(b"w 1\n") == EndpointLoad()


@pytest.mark.parametrize("families", [[], [b""], [b"a", b""]])
def test_a_family_has_a_name(families: list[bytes]) -> None:
    with pytest.raises(ValueError, match="names of families"):
        Excerpt(families)
