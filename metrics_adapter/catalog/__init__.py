"""What can be asked for: the table of metrics, and the objects they are told of. Pure."""

from __future__ import annotations

from metrics_adapter.catalog.catalog import Catalog, Metric, catalog
from metrics_adapter.catalog.naming import sanitized, with_model
from metrics_adapter.catalog.resources import (
    EXTERNAL,
    KNOWN,
    MADE_OF_PODS,
    resource_called,
    resource_of,
)

__all__ = [
    "EXTERNAL",
    "KNOWN",
    "MADE_OF_PODS",
    "Catalog",
    "Metric",
    "catalog",
    "resource_called",
    "resource_of",
    "sanitized",
    "with_model",
]
