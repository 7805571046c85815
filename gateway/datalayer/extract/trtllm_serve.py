"""TensorRT-LLM's own server, ``trtllm-serve``."""

from __future__ import annotations

from gateway.datalayer.extract.load import EndpointLoad
from gateway.datalayer.extract.series import first_positive, positive, share, total

_WAITING = b"trtllm_num_requests_waiting"
_RUNNING = b"trtllm_num_requests_running"
_KV_USED = b"trtllm_kv_cache_utilization"
_BLOCKS = b"trtllm_kv_cache_max_blocks"
_BLOCK_TOKENS = b"trtllm_kv_cache_tokens_per_block"
FAMILIES = (_WAITING, _RUNNING, _KV_USED, _BLOCKS, _BLOCK_TOKENS)


def extract(page: bytes) -> EndpointLoad:
    """Summed over ``model_name``."""
    return EndpointLoad(
        waiting=total(page, _WAITING),
        running=total(page, _RUNNING),
        kv_used=share(page, _KV_USED),
        kv_blocks=positive(page, _BLOCKS),
        block_tokens=first_positive(page, _BLOCK_TOKENS),
    )
