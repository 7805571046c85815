"""Hugging Face Text Generation Inference. It does not tell how full its KV cache is."""

from __future__ import annotations

from gateway.datalayer.extract.load import EndpointLoad
from gateway.datalayer.extract.series import total

_WAITING = b"tgi_queue_size"
_RUNNING = b"tgi_batch_current_size"
FAMILIES = (_WAITING, _RUNNING)


def extract(page: bytes) -> EndpointLoad:
    return EndpointLoad(
        waiting=total(page, _WAITING),
        running=total(page, _RUNNING),
    )
