"""Header blocks of one connection: put together from their frames, decoded, bounded.

Most streams of an Envoy connection open with the very same bytes, which leave the decoder's
table as it is: such a block is decoded once and remembered whole, with what it says of a request.
Called by ``connection``.
"""

from __future__ import annotations

from typing import TypeAlias

from hpack import Decoder
from hpack.exceptions import HPACKError, OversizedHeaderListError

from gateway.extproc.wire.frames import Code, ConnectionFailed
from gateway.extproc.wire.headers import RequestHead, request_head
from gateway.extproc.wire.limits import WireLimits

HeaderList: TypeAlias = tuple[tuple[bytes, bytes], ...]

REMEMBERED_BLOCKS = 64
REMEMBERED_BLOCK_BYTES = 512


class HeaderBlocks:
    """The peer's header compression state, and the one block that may be incomplete."""

    __slots__ = (
        "_bytes",
        "_decoder",
        "_fragments",
        "_heads",
        "_limits",
        "_remembered",
        "stream_id",
    )

    def __init__(self, limits: WireLimits) -> None:
        self._limits = limits
        self._decoder = Decoder(max_header_list_size=limits.max_header_list_bytes)
        self._remembered: dict[bytes, HeaderList] = {}
        self._heads: dict[bytes, RequestHead] = {}
        """Of the blocks remembered, those that have been a request's."""
        self._fragments: list[bytes] = []
        self._bytes = 0
        self.stream_id = 0
        """Whose block is incomplete; 0 if none is."""

    def begin(self, stream_id: int, fragment: bytes) -> None:
        """A block whose CONTINUATION frames are still to come."""
        self.stream_id = stream_id
        self._fragments = [fragment]
        self._bytes = len(fragment)

    def add(self, fragment: bytes) -> None:
        """One CONTINUATION frame more. Raises ConnectionFailed if it is too much."""
        self._fragments.append(fragment)
        self._bytes += len(fragment)
        if (
            self._bytes > self._limits.max_header_block_bytes
            or len(self._fragments) > self._limits.max_continuations
        ):
            raise ConnectionFailed(Code.ENHANCE_YOUR_CALM, "header block too large")

    def whole(self) -> bytes:
        """The block, now complete."""
        block = b"".join(self._fragments)
        self._fragments = []
        self.stream_id = 0
        return block

    def decode(self, block: bytes) -> HeaderList:
        """The headers of a complete block.

        Raises:
            ConnectionFailed: too large in either form (ENHANCE_YOUR_CALM), or not HPACK
                (COMPRESSION_ERROR): the table is then lost, and the connection with it.
        """
        if len(block) > self._limits.max_header_block_bytes:
            raise ConnectionFailed(Code.ENHANCE_YOUR_CALM, "header block too large")
        remembered = self._remembered.get(block)
        if remembered is not None:
            return remembered
        before = self._table()
        try:
            headers = tuple(
                (bytes(name), bytes(value)) for name, value in self._decoder.decode(block, raw=True)
            )
        except OversizedHeaderListError as error:
            raise ConnectionFailed(Code.ENHANCE_YOUR_CALM, "header list too large") from error
        except HPACKError as error:
            raise ConnectionFailed(Code.COMPRESSION_ERROR, "bad header block") from error
        newest, *sizes = self._table()
        if newest is not before[0] or sizes != [*before[1:]]:
            self._forget()
        elif len(block) <= REMEMBERED_BLOCK_BYTES:
            if len(self._remembered) >= REMEMBERED_BLOCKS:
                self._forget()
            self._remembered[block] = headers
        return headers

    def head(self, stream_id: int, block: bytes, headers: HeaderList) -> RequestHead:
        """What ``headers``, decoded from ``block`` just now, say of a request.

        Raises:
            StreamFailed: PROTOCOL_ERROR, the request is malformed (RFC 9113 section 8.1.1).
        """
        known = self._heads.get(block)
        if known is None:
            known = request_head(stream_id, headers)
            if block in self._remembered:
                self._heads[block] = known
        return known

    def _forget(self) -> None:
        self._remembered.clear()
        self._heads.clear()

    def _table(self) -> tuple[object, int, int]:
        """What changes with the decoder's table: its newest entry, by identity, and its sizes."""
        entries = self._decoder.header_table.dynamic_entries
        newest = entries[0] if entries else None
        return newest, len(entries), self._decoder.header_table_size
