"""A word is found where ``bytes.find`` finds it."""

from __future__ import annotations

from hypothesis import example, given
from hypothesis import strategies as st

from gateway.datalayer.extract.mentions import mentions


def by_find(text: bytes, word: bytes) -> list[int]:
    found, at = [], text.find(word)
    while at >= 0:
        found.append(at)
        at = text.find(word, at + len(word))
    return found


@given(
    st.lists(st.sampled_from([b"a", b"ab", b"ba", b"\n", b"x" * 63, b"x" * 64]), max_size=80),
    st.sampled_from([b"a", b"ab", b"aba", b"x", b"xa", b"b\na", b"y"]),
)
@example([b"x" * 64, b"a"], b"a")
@example([b"ab"] * 200, b"ab")
@example([], b"a")
def test_every_mention_is_found_once(pieces: list[bytes], word: bytes) -> None:
    text = b"".join(pieces)
    assert list(mentions(text, word)) == by_find(text, word)
