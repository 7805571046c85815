"""NVIDIA Triton: with the TensorRT-LLM backend, and plain."""

from __future__ import annotations

from gateway.datalayer.extract.load import EndpointLoad
from gateway.datalayer.extract.series import first_positive, labelled, positive, share, total

_PENDING = b"nv_inference_pending_request_count"
PLAIN_FAMILIES = (_PENDING,)
_REQUESTS = b"nv_trt_llm_request_metrics"
_BLOCKS = b"nv_trt_llm_kv_cache_block_metrics"
FAMILIES = (_REQUESTS, _BLOCKS)
_WAITING = labelled("request_type", "waiting")
_SCHEDULED = labelled("request_type", "scheduled")
_FRACTION = labelled("kv_cache_block_type", "fraction")
_MAX = labelled("kv_cache_block_type", "max")
_TOKENS_PER = labelled("kv_cache_block_type", "tokens_per")


def extract_tensorrt_llm(page: bytes) -> EndpointLoad:
    """One family holds several signals, told apart by a label; summed over ``model``."""
    return EndpointLoad(
        waiting=total(page, _REQUESTS, choose=_WAITING),
        running=total(page, _REQUESTS, choose=_SCHEDULED),
        kv_used=share(page, _BLOCKS, choose=_FRACTION),
        kv_blocks=positive(page, _BLOCKS, _MAX),
        block_tokens=first_positive(page, _BLOCKS, _TOKENS_PER),
    )


def extract_plain(page: bytes) -> EndpointLoad:
    """Models that are not language models: only the queue is known.

    ``nv_inference_exec_count`` counts executions since the start; it is not the number running.
    """
    return EndpointLoad(waiting=total(page, _PENDING))
