"""Conversations with the wire transport, and how to change them a little. Pure and seeded."""

from __future__ import annotations

import random
import struct
from collections.abc import Callable, Sequence

import hpack

from gateway.extproc.wire import frames as f
from gateway.extproc.wire.messages import PREFIX

MAX_INPUT_BYTES = 10_000
MAX_MUTATIONS = 6
HELLO = f.PREFACE + f.settings_frame(())
NUMBERS = (0, 1, 2, 3, 4, 5, 9, 100, 16_384, 16_385, 65_535, 2**24 - 1, 2**31 - 1, 2**31, 2**32 - 1)
REQUEST = (
    (b":method", b"POST"),
    (b":scheme", b"http"),
    (b":path", b"/envoy.service.ext_proc.v3.ExternalProcessor/Process"),
    (b":authority", b"picker"),
    (b"te", b"trailers"),
    (b"content-type", b"application/grpc"),
)


def conversations() -> list[bytes]:
    """What honest peers send, and a little of what others do: where mutation starts."""

    def opening(
        stream_id: int, flags: int = f.END_HEADERS, extra: Sequence[tuple[bytes, bytes]] = ()
    ) -> bytes:
        # An encoder for each block: mutations drop blocks, and no block shall need another.
        return f.frame(f.HEADERS, flags, stream_id, hpack.Encoder().encode([*REQUEST, *extra]))

    def data(stream_id: int, *messages: bytes, flags: int = 0) -> bytes:
        framed = b"".join(PREFIX.pack(0, len(m)) + m for m in messages)
        return f.frame(f.DATA, flags, stream_id, framed)

    settings = f.settings_frame(((f.INITIAL_WINDOW_SIZE, 10), (f.MAX_FRAME_SIZE, 16_384)))
    return [
        HELLO + opening(1) + data(1, b"hello") + data(1, b"end") + f.rst_stream(1, f.Code.CANCEL),
        HELLO + opening(1) + data(1, b"a", b"b" * 300, flags=f.END_STREAM) + opening(3),
        HELLO + b"".join(opening(n) + data(n, b"x" * n) for n in range(1, 15, 2)),
        HELLO + opening(1) + data(1, b"y" * 1_300) + data(1, b"y" * 1_300),
        HELLO + opening(1) + f.frame(f.DATA, 0, 1, PREFIX.pack(0, 2_900)) + data(1, b"z" * 2_000),
        HELLO + opening(1) + f.frame(f.DATA, f.PADDED, 1, b"\x02\0\0\0\0\x01q\0\0"),
        HELLO + settings + opening(1) + data(1, b"w" * 500) + f.window_update(1, 9_999),
        HELLO + f.ping(b"12345678") + f.window_update(0, 99) + f.frame(f.PRIORITY, 0, 5, b"\0" * 5),
        HELLO + opening(1, f.END_HEADERS | f.END_STREAM) + f.goaway(0, f.Code.NO_ERROR),
        HELLO + opening(1)[: f.HEAD_BYTES + 9] + f.frame(f.CONTINUATION, f.END_HEADERS, 1, b"\x82"),
        HELLO + opening(1, extra=[(b"grpc-timeout", b"10m")]) + data(1, b"late"),
        HELLO + opening(1) + f.frame(f.HEADERS, 5, 1, hpack.Encoder().encode([(b"t", b"v")])),
        b"GET / HTTP/1.1\r\nhost: picker\r\n\r\n",
    ]


def cut(data: bytes) -> list[bytes]:
    """``data`` as its preface and frames; what is none of these comes last."""
    pieces = []
    at = 0
    if data.startswith(f.PREFACE):
        pieces.append(f.PREFACE)
        at = len(f.PREFACE)
    while len(data) - at >= f.HEAD_BYTES:
        end = at + f.HEAD_BYTES + (f.HEAD.unpack_from(data, at)[0] >> 8)
        if end > len(data):
            break
        pieces.append(data[at:end])
        at = end
    return [*pieces, data[at:]] if at < len(data) else pieces


def mutated(data: bytes, others: Sequence[bytes], chance: random.Random) -> bytes:
    """``data`` changed a little: in its frames, in their heads, in its bytes."""
    pieces = cut(data)
    for _ in range(chance.randint(1, MAX_MUTATIONS)):
        chance.choice(MUTATIONS)(pieces, others, chance)
    return b"".join(pieces)[:MAX_INPUT_BYTES]


Mutation = Callable[[list[bytes], Sequence[bytes], random.Random], None]


def _swap(pieces: list[bytes], _: Sequence[bytes], chance: random.Random) -> None:
    if len(pieces) > 2:
        a, b = chance.sample(range(1, len(pieces)), 2)
        pieces[a], pieces[b] = pieces[b], pieces[a]


def _drop(pieces: list[bytes], _: Sequence[bytes], chance: random.Random) -> None:
    if len(pieces) > 1:
        del pieces[chance.randrange(1, len(pieces))]


def _repeat(pieces: list[bytes], _: Sequence[bytes], chance: random.Random) -> None:
    if pieces:
        at = chance.randrange(len(pieces))
        pieces[at:at] = [pieces[at]] * chance.choice((1, 2, 30))


def _graft(pieces: list[bytes], others: Sequence[bytes], chance: random.Random) -> None:
    other = cut(chance.choice(others))
    at = chance.randrange(len(pieces) + 1)
    start = chance.randrange(len(other))
    pieces[at:at] = other[start : start + chance.randint(1, 5)]


def _head(pieces: list[bytes], _: Sequence[bytes], chance: random.Random) -> None:
    frames = [n for n, piece in enumerate(pieces) if len(piece) >= f.HEAD_BYTES and n]
    if not frames:
        return
    at = chance.choice(frames)
    word, flags, stream_id = f.HEAD.unpack_from(pieces[at])
    match chance.randrange(4):
        case 0:
            word = (word & ~0xFF) | chance.randrange(12)
        case 1:
            flags = chance.choice((0, 1, 4, 5, 8, 9, 0x20, 0x2D, 0xFF))
        case 2:
            stream_id = chance.choice((0, 1, 2, 3, 5, 7, 99, 2**31 - 1))
        case _:
            word = chance.choice((0, 1, 4, 5, 6, 8, 16_384, 16_385)) << 8 | word & 0xFF
    pieces[at] = f.HEAD.pack(word, flags, stream_id) + pieces[at][f.HEAD_BYTES :]


def _number(pieces: list[bytes], _: Sequence[bytes], chance: random.Random) -> None:
    at = chance.randrange(len(pieces)) if pieces else 0
    if pieces and len(pieces[at]) >= 4:
        where = chance.randrange(len(pieces[at]) - 3)
        number = struct.pack(">I", chance.choice(NUMBERS))
        pieces[at] = pieces[at][:where] + number + pieces[at][where + 4 :]


def _bits(pieces: list[bytes], _: Sequence[bytes], chance: random.Random) -> None:
    at = chance.randrange(len(pieces)) if pieces else 0
    if pieces and pieces[at]:
        changed = bytearray(pieces[at])
        for _turn in range(chance.randint(1, 4)):
            changed[chance.randrange(len(changed))] ^= 1 << chance.randrange(8)
        pieces[at] = bytes(changed)


def _noise(pieces: list[bytes], _: Sequence[bytes], chance: random.Random) -> None:
    at = chance.randrange(len(pieces) + 1)
    pieces.insert(at, chance.randbytes(chance.choice((1, 8, 9, 60))))


MUTATIONS: tuple[Mutation, ...] = (_swap, _drop, _repeat, _graft, _head, _head, _number, _bits)
MUTATIONS += (_noise,)
