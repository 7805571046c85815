"""What a configuration says that this version reads and does not act on, for the log at start-up.

Silence would let an operator believe that a bound is enforced.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields

from gateway.config.picker import (
    OLD_API_VERSION,
    EndpointPickerConfig,
    FlowControlSpec,
    ResponseMode,
)
from loadstar.config.errors import Remark
from loadstar.config.load import key_of


@dataclass(frozen=True, slots=True)
class Notice(Remark):
    """One thing worth a warning; ``path`` is where it stands in the document."""


ONLY_WHERE_SAFE = (
    "takes effect where the proxy's response_body_mode is STREAMED, BUFFERED, BUFFERED_PARTIAL or "
    "NONE; in FULL_DUPLEX_STREAMED every response is followed, or parts of it could be lost"
)
NOT_QUEUED = "is read but has no effect: this version does not queue requests"


def notices(config: EndpointPickerConfig, gates: Mapping[str, bool]) -> tuple[Notice, ...]:
    """What to tell of ``config`` beyond its plugins."""
    found: list[Notice] = []
    if config.api_version == OLD_API_VERSION:
        found.append(Notice("apiVersion", f'"{OLD_API_VERSION}" is the old name of llm-d.ai'))
    if gates.get("flowControl"):
        found.append(
            Notice(
                "featureGates",
                "flowControl is on, but this version does not queue requests: sheddable ones are "
                "refused while the pool is saturated, all others pass",
            )
        )
    if gates.get("enableLegacyMetrics"):
        found.append(Notice("featureGates", "enableLegacyMetrics has no effect"))
    if config.saturation_detector is not None:
        new = "flowControl.saturationDetector"
        found.append(Notice("saturationDetector", f"is deprecated, use {new}"))
    if config.parser is not None:
        found.append(Notice("parser", "is deprecated, use requestHandler.parsers"))
    flow = config.flow_control
    if flow is not None:
        found += [
            Notice(f"flowControl.{key_of(part)}", NOT_QUEUED)
            for part in fields(FlowControlSpec)
            if part.name != "saturation_detector" and getattr(flow, part.name) != part.default
        ]
    if config.response_processing.mode is not ResponseMode.FULL:
        found.append(Notice("responseProcessing.mode", ONLY_WHERE_SAFE))
    layer = config.data_layer
    if layer is not None and layer.cross_replica_sync_interval is not None:
        found.append(
            Notice("dataLayer.crossReplicaSyncInterval", "is read but nothing is synchronised")
        )
    return tuple(found)
