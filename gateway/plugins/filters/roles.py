"""``decode-filter``, ``prefill-filter``, ``encode-filter``: endpoints that can play a role.

Roles are the values of one label. An endpoint without it decodes (it does everything), but is
neither a prefill nor an encode worker.
"""

from __future__ import annotations

from gateway.scheduling.label_masks import LabelMask
from gateway.scheduling.plugin_type import NoParameters, Wiring

ROLE_LABEL = "llm-d.ai/role"

DECODE = frozenset({"decode", "prefill-decode", "both", "encode-prefill-decode"})
PREFILL = frozenset(
    {"prefill", "encode-prefill", "prefill-decode", "both", "encode-prefill-decode"}
)
ENCODE = frozenset({"encode", "encode-prefill", "encode-prefill-decode"})


def decode_filter(parameters: NoParameters, wiring: Wiring) -> LabelMask:
    return LabelMask(lambda labels: ROLE_LABEL not in labels or labels[ROLE_LABEL] in DECODE)


def prefill_filter(parameters: NoParameters, wiring: Wiring) -> LabelMask:
    return LabelMask(lambda labels: labels.get(ROLE_LABEL) in PREFILL)


def encode_filter(parameters: NoParameters, wiring: Wiring) -> LabelMask:
    return LabelMask(lambda labels: labels.get(ROLE_LABEL) in ENCODE)
