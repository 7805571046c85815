"""TensorRT-LLM's own server, ``trtllm-serve``."""

from __future__ import annotations

from gateway.datalayer.extract.load import EndpointLoad
from gateway.datalayer.extract.series import first_positive, positive, share, total


def extract(page: bytes) -> EndpointLoad:
    """Summed over ``model_name``."""
    return EndpointLoad(
        waiting=total(page, b"trtllm_num_requests_waiting"),
        running=total(page, b"trtllm_num_requests_running"),
        kv_used=share(page, b"trtllm_kv_cache_utilization"),
        kv_blocks=positive(page, b"trtllm_kv_cache_max_blocks"),
        block_tokens=first_positive(page, b"trtllm_kv_cache_tokens_per_block"),
    )
