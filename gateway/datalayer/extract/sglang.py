"""SGLang. Its ranks do not simply add up: see ``reporting_ranks``."""

from __future__ import annotations

from collections.abc import Sequence

from gateway.datalayer.extract.load import EndpointLoad
from gateway.datalayer.extract.series import cache_sizes, share, total
from loadstar.signals.exposition import Sample

_WAITING = b"sglang:num_queue_reqs"
_RUNNING = b"sglang:num_running_reqs"
_KV_USED = b"sglang:token_usage"
_CACHE = b"sglang:cache_config_info"
FAMILIES = (_WAITING, _RUNNING, _KV_USED, _CACHE)


def extract(page: bytes) -> EndpointLoad:
    """Summed over ``dp_rank`` and ``model_name``."""
    kv_blocks, block_tokens = cache_sizes(page, _CACHE, "page_size", "num_pages", reporting_ranks)
    return EndpointLoad(
        waiting=total(page, _WAITING, choose=reporting_ranks),
        running=total(page, _RUNNING, choose=reporting_ranks),
        kv_used=share(page, _KV_USED, choose=reporting_ranks),
        kv_blocks=kv_blocks,
        block_tokens=block_tokens,
    )


def reporting_ranks(series: Sequence[Sample]) -> Sequence[Sample]:
    """Those that count each request once.

    With ``--enable-metrics-for-all-schedulers`` every tensor- and pipeline-parallel rank reports
    the requests of its replica, so one rank of each replica counts; with priority scheduling the
    total stands under ``priority=""`` beside a series for each priority.
    """
    if len(series) < 2:
        return series
    first: dict[tuple[str, ...], tuple[tuple[int, int], Sample]] = {}
    for sample in series:
        labels = sample.labels
        if labels.get("priority"):
            continue
        replica = tuple(labels.get(name, "") for name in ("model_name", "engine_type", "dp_rank"))
        rank = _rank(labels.get("pp_rank", "")), _rank(labels.get("tp_rank", ""))
        if replica not in first or rank < first[replica][0]:
            first[replica] = rank, sample
    return [sample for _, sample in first.values()]


def _rank(text: str) -> int:
    return int(text) if text.isascii() and text.isdigit() and len(text) < 10 else 0
