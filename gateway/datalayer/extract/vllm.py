"""vLLM, V0 and V1 engines."""

from __future__ import annotations

from gateway.datalayer.extract.load import EndpointLoad
from gateway.datalayer.extract.series import cache_sizes, newest_lora, share, total


def extract(page: bytes) -> EndpointLoad:
    """Summed over ``engine`` (data-parallel rank) and ``model_name``."""
    kv_blocks, block_tokens = cache_sizes(
        page, b"vllm:cache_config_info", "block_size", "num_gpu_blocks"
    )
    return EndpointLoad(
        waiting=total(page, b"vllm:num_requests_waiting"),
        running=total(page, b"vllm:num_requests_running"),
        # The second name is that of vLLM before 0.10.
        kv_used=share(page, b"vllm:kv_cache_usage_perc", b"vllm:gpu_cache_usage_perc"),
        kv_blocks=kv_blocks,
        block_tokens=block_tokens,
        lora=newest_lora(page, b"vllm:lora_requests_info"),
    )
