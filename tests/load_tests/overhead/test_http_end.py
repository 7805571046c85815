"""Ends of messages are found however the bytes are cut."""

from __future__ import annotations

import pytest

from load_tests.overhead.http_end import MessageEnd

LENGTH = b"HTTP/1.1 200 OK\r\ncontent-length: 5\r\n\r\nhello"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n"
NO_BODY = b"GET /metrics HTTP/1.1\r\nhost: a\r\n\r\n"


@pytest.mark.parametrize("message", [LENGTH, CHUNKED, NO_BODY], ids=["length", "chunked", "none"])
@pytest.mark.parametrize("size", [1, 3, 1000])
def test_three_messages_have_three_ends(message: bytes, size: int) -> None:
    end = MessageEnd()
    found = []
    pieces = [message[at : at + size] for at in range(0, len(message), size)]
    for _ in range(3):
        found += [end.feed(piece) for piece in pieces]
        assert end.head == message.partition(b"\r\n\r\n")[0]
    assert [at for at, over in enumerate(found) if over] == [
        (n + 1) * len(pieces) - 1 for n in range(3)
    ]
