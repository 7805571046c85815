"""JetStream (MaxText on TPU). It counts decode slots in per cent of those it has, not requests."""

from __future__ import annotations

from gateway.datalayer.extract.load import EndpointLoad
from gateway.datalayer.extract.series import newest_lora, share, total


def extract(page: bytes) -> EndpointLoad:
    """Averaged over ``idx``, the generate engine. The number running is not on the page.

    Without a KV metric the share of slots in use stands in for it: a slot reserves its part of
    the KV cache for as long as a request holds it.
    """
    return EndpointLoad(
        waiting=total(page, b"jetstream_prefill_backlog_size", b"num_requests_waiting"),
        kv_used=share(page, b"kv_cache_utilization_perc", b"jetstream_slots_used_percentage"),
        lora=newest_lora(page, b"lora_request_info"),
    )
