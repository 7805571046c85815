"""Which answers are packed, and that they are the same unpacked."""

from __future__ import annotations

import gzip

import pytest

from metrics_adapter.api.answer import Answer
from metrics_adapter.api.compression import LONG_BYTES, compressed, takes_gzip

LONG = Answer(200, b"ab" * LONG_BYTES)


def test_a_long_answer_is_the_same_unpacked_and_far_shorter() -> None:
    packed = compressed(LONG, ["gzip"])
    assert gzip.decompress(packed.body) == LONG.body
    assert len(packed.body) < len(LONG.body) / 10
    assert packed.headers == {"Vary": "Accept-Encoding", "Content-Encoding": "gzip"}


def test_a_long_answer_to_who_cannot_unpack_is_plain_and_says_that_others_differ() -> None:
    plain = compressed(LONG, ["identity"])
    assert (plain.body, plain.headers) == (LONG.body, {"Vary": "Accept-Encoding"})


def test_a_short_answer_is_not_packed() -> None:
    short = Answer(200, b"a" * (LONG_BYTES - 1), headers={"Vary": "Accept"})
    assert compressed(short, ["gzip"]) is short


def test_what_an_answer_varies_by_is_added_to() -> None:
    found = Answer(200, LONG.body, headers={"Vary": "Accept"})
    assert compressed(found, []).headers["Vary"] == "Accept, Accept-Encoding"


@pytest.mark.parametrize(
    ("headers", "takes"),
    [
        (["gzip"], True),
        (["deflate, gzip;q=0.5"], True),
        (["br", "GZIP"], True),
        (["*"], True),
        (["gzip;q=0"], False),
        (["gzip;q=0.000, *"], False),
        (["deflate"], False),
        ([""], False),
        ([], False),
    ],
)
def test_who_takes_gzip(headers: list[str], takes: bool) -> None:
    assert takes_gzip(headers) is takes
