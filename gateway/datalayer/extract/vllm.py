"""vLLM, V0 and V1 engines."""

from __future__ import annotations

from gateway.datalayer.extract.load import EndpointLoad
from gateway.datalayer.extract.series import cache_sizes, newest_lora, share, total

_WAITING = b"vllm:num_requests_waiting"
_RUNNING = b"vllm:num_requests_running"
_KV_USED = b"vllm:kv_cache_usage_perc", b"vllm:gpu_cache_usage_perc"
"""The second is the name of vLLM before 0.10."""
_CACHE = b"vllm:cache_config_info"
_LORA = b"vllm:lora_requests_info"
FAMILIES = (_WAITING, _RUNNING, *_KV_USED, _CACHE, _LORA)


def extract(page: bytes) -> EndpointLoad:
    """Summed over ``engine`` (data-parallel rank) and ``model_name``."""
    kv_blocks, block_tokens = cache_sizes(page, _CACHE, "block_size", "num_gpu_blocks")
    return EndpointLoad(
        waiting=total(page, _WAITING),
        running=total(page, _RUNNING),
        kv_used=share(page, *_KV_USED),
        kv_blocks=kv_blocks,
        block_tokens=block_tokens,
        lora=newest_lora(page, _LORA),
    )
