"""Cut a body into FULL_DUPLEX_STREAMED answers. Bytes are sliced, never changed."""

from __future__ import annotations

from gateway.extproc.messages import Direction, StreamBody


def chunks(direction: Direction, body: bytes, end_of_stream: bool, limit: int) -> list[StreamBody]:
    """``body`` as answers of at most ``limit`` bytes, ``end_of_stream`` on the last one only.

    An empty body is one empty chunk: something has to carry ``end_of_stream``.
    """
    size = len(body)
    if size <= limit:
        return [StreamBody(direction, body, end_of_stream)]
    return [
        StreamBody(direction, body[start : start + limit], end_of_stream and start + limit >= size)
        for start in range(0, size, limit)
    ]
