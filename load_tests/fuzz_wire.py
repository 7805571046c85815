"""A fuzzer of the wire transport's connection: ``python -m load_tests.fuzz_wire --seconds 600``.

Mutates recorded conversations, plays them to a ``Connection`` as a host would, and checks after
every read what must always hold. An input that makes the connection behave in a new way joins the
corpus (``--corpus``), which a fast test replays. One process; stops by itself, or at a finding.
"""

from __future__ import annotations

import argparse
import random
import struct
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from zlib import crc32

import hpack

from gateway.extproc.wire import frames as f
from gateway.extproc.wire.connection import Connection
from gateway.extproc.wire.events import Gone, HalfClosed, Opened, Received, TooLarge, WireEvent
from gateway.extproc.wire.limits import WireLimits
from gateway.extproc.wire.messages import PREFIX
from loadstar.clock import SystemClock

LIMITS = WireLimits(
    max_streams=20,
    stream_window_bytes=5_000,
    connection_window_bytes=70_000,
    max_header_block_bytes=1_024,
    max_header_list_bytes=2_048,
    max_message_bytes=3_000,
    max_pending_bytes=6_000,
    max_unsent_bytes=4_000,
    control_burst=60,
    reset_burst=30,
)
"""Small, so that short inputs reach every bound."""
MAX_INPUT_BYTES = 10_000
MAX_CORPUS_BYTES = 190_000
MAX_KEPT_BYTES = 3_000  # of one input: the corpus shall hold many ways, not long ones
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

Signature = frozenset[str]
"""What an input made the connection do."""


class Finding(AssertionError):
    """Something that must never happen has happened."""


@dataclass(slots=True)
class Host:
    """Answers a connection as the server does, and remembers what it was told."""

    connection: Connection
    open: set[int] = field(default_factory=set)
    half_closed: set[int] = field(default_factory=set)
    did: set[str] = field(default_factory=set)

    def act(self, events: Sequence[WireEvent]) -> None:
        """Carry out what is told; Finding where the order of events makes no sense."""
        for event in events:
            known = event.stream_id in self.open
            self.did.add(type(event).__name__)
            if isinstance(event, Opened):
                expect(not known, "a stream was opened twice")
                self.open.add(event.stream_id)
            elif isinstance(event, Gone):
                self.did.add(f"gone: {event.reason}")
                self.open.discard(event.stream_id)
                self.half_closed.discard(event.stream_id)
            elif known:
                expect(event.stream_id not in self.half_closed, "news after the end of a stream")
                self._answer(event)

    def _answer(self, event: Received | TooLarge | HalfClosed) -> None:
        stream_id, connection = event.stream_id, self.connection
        if isinstance(event, Received):
            expect(len(event.payload) <= LIMITS.max_message_bytes, "a message over the limit")
            connection.send(stream_id, [event.payload, b"more"])
            if event.payload.startswith(b"end"):
                connection.finish(stream_id)
                self.open.discard(stream_id)
        elif isinstance(event, TooLarge):
            connection.finish(stream_id, 8, "too large")
            self.open.discard(stream_id)
        else:
            self.half_closed.add(stream_id)
            connection.finish(stream_id)
            self.open.discard(stream_id)
            self.half_closed.discard(stream_id)


def expect(holds: bool, otherwise: str) -> None:
    """Raises Finding unless ``holds``."""
    if not holds:
        raise Finding(otherwise)


def play(data: bytes) -> Signature:
    """Give ``data`` to a connection in pieces, with time and a socket that stalls now and then.

    The same bytes are always played the same way. Raises Finding, or what the connection raises.
    """
    chance = random.Random(crc32(data))
    now = 0.0
    host = Host(Connection(LIMITS, now))
    connection = host.connection
    at = 0
    sent = _take(host)
    while at < len(data) and not connection.closing:
        size = chance.choice((1, 9, 40, 400, 20_000))
        now += chance.choice((0.0, 0.001, 0.1))
        host.act(connection.receive(data[at : at + size], now))
        at += size
        _check_bounds(connection)
        if chance.random() < 0.05:
            connection.writable = False
        elif not connection.writable and chance.random() < 0.5:
            connection.resume()
        if chance.random() < 0.02:
            now += chance.choice((1.0, 30.0, 100.0))
            host.act(connection.tick(now))
        if chance.random() < 0.005:
            connection.drain(final=chance.random() < 0.5)
        if not connection.unsent_bytes:
            expect(len(connection) == len(host.open), "a stream is open on one side only")
        sent += _take(host)
    failure = connection.failure
    if failure is not None:
        host.did.add(f"{failure.code.name}: {failure.why}")
    host.act(connection.lost())
    sent += _take(host)
    expect(len(connection) == 0 and connection.unsent_bytes == 0, "something is left of a stream")
    expect(connection.held_bytes == 0, "bytes of messages are left")
    expect(not host.open, "a stream ended without a word")
    expect(sent <= 200_000 + 40 * len(data), "far more was sent than was asked for")
    return frozenset(host.did)


def _take(host: Host) -> int:
    """Take what is to be written, and read it as frames: its size."""
    out = host.connection.take()
    at = 0
    while at < len(out):
        expect(len(out) - at >= f.HEAD_BYTES, "half a frame head was sent")
        word, flags, _ = f.HEAD.unpack_from(out, at)
        at += f.HEAD_BYTES + (word >> 8)
        host.did.add(f"sent frame {word & 0xFF} flags {flags}")
    expect(at == len(out), "half a frame was sent")
    return len(out)


def _check_bounds(connection: Connection) -> None:
    expect(len(connection) <= LIMITS.max_streams, "too many streams")
    expect(0 <= connection.held_bytes <= LIMITS.max_pending_bytes, "holds too much")
    expect(connection.unread_bytes <= LIMITS.max_frame_bytes + f.HEAD_BYTES, "keeps too much")
    expect(connection.unsent_bytes >= 0, "less than nothing is unsent")


# --- inputs -------------------------------------------------------------------------------------


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


# --- the search ---------------------------------------------------------------------------------


def read_corpus(folder: Path) -> list[bytes]:
    """The inputs kept in ``folder``, in the order of their names."""
    return [path.read_bytes() for path in sorted(folder.glob("*.bin"))]


def fuzz(seconds: float, corpus: Path | None, seed: int) -> int:
    """Mutate and play for ``seconds``; how many inputs were played.

    Raises Finding with the input in it, as hex.
    """
    clock, chance = SystemClock(), random.Random(seed)
    inputs = conversations() + (read_corpus(corpus) if corpus is not None else [])
    seen: set[str] = set()
    for data in inputs:
        seen |= _played(data)
    kept = sum(map(len, inputs))
    until, played = clock.now() + seconds, 0
    while clock.now() < until:
        data = mutated(chance.choice(inputs), inputs, chance)
        did = _played(data)
        played += 1
        if did <= seen or len(data) > MAX_KEPT_BYTES or kept + len(data) > MAX_CORPUS_BYTES:
            continue
        seen |= did
        kept += len(data)
        inputs.append(data)
        if corpus is not None:
            (corpus / f"{sha256(data).hexdigest()[:16]}.bin").write_bytes(data)
    print(f"{played} inputs, {len(inputs)} kept, {len(seen)} behaviours, no finding")
    return played


def _played(data: bytes) -> Signature:
    try:
        return play(data)
    except Exception as error:
        raise Finding(f"{type(error).__name__}: {error}; input {data.hex()}") from error


def main(argv: Sequence[str] | None = None) -> int:
    """Fuzz; 0 unless something was found."""
    parser = argparse.ArgumentParser("python -m load_tests.fuzz_wire", description=__doc__)
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--corpus", type=Path, help="read inputs from here, keep new ones here")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args(argv)
    if arguments.corpus is not None:
        arguments.corpus.mkdir(parents=True, exist_ok=True)
    try:
        fuzz(arguments.seconds, arguments.corpus, arguments.seed)
    except Finding as finding:
        print(f"FOUND {finding}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
