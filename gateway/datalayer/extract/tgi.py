"""Hugging Face Text Generation Inference. It does not tell how full its KV cache is."""

from __future__ import annotations

from gateway.datalayer.extract.load import EndpointLoad
from gateway.datalayer.extract.series import total


def extract(page: bytes) -> EndpointLoad:
    return EndpointLoad(
        waiting=total(page, b"tgi_queue_size"),
        running=total(page, b"tgi_batch_current_size"),
    )
