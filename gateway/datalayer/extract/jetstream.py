"""JetStream (MaxText on TPU). It counts decode slots in per cent of those it has, not requests."""

from __future__ import annotations

from gateway.datalayer.extract.load import EndpointLoad
from gateway.datalayer.extract.series import newest_lora, share, total

_WAITING = b"jetstream_prefill_backlog_size", b"num_requests_waiting"
_KV_USED = b"kv_cache_utilization_perc", b"jetstream_slots_used_percentage"
_LORA = b"lora_request_info"
FAMILIES = (*_WAITING, *_KV_USED, _LORA)


def extract(page: bytes) -> EndpointLoad:
    """Averaged over ``idx``, the generate engine. The number running is not on the page.

    Without a KV metric the share of slots in use stands in for it: a slot reserves its part of
    the KV cache for as long as a request holds it.
    """
    return EndpointLoad(
        waiting=total(page, *_WAITING),
        kv_used=share(page, *_KV_USED),
        lora=newest_lora(page, _LORA),
    )
