"""What is asked of the adapter and what it answers, as values. ``api.parse`` makes questions."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import NamedTuple

from loadstar.kube.selectors import EVERYTHING, Selector

NO_LABELS: Mapping[str, str] = MappingProxyType({})
ALL = "*"
"""The name that stands for every object of a resource."""


@dataclass(frozen=True, slots=True)
class CustomQuery:
    """A question to custom.metrics.k8s.io: one metric of one object, or of all selected."""

    version: str
    """``v1beta1`` or ``v1beta2``: the document the answer is to be."""
    resource: str
    """Plural and group: ``pods``, ``deployments.apps``; as it was written in the path."""
    namespace: str | None
    """None for objects that live in no namespace."""
    name: str
    """The object's name, or ``*``."""
    metric: str
    object_selector: Selector = EVERYTHING
    metric_selector: Selector = EVERYTHING


@dataclass(frozen=True, slots=True)
class ExternalQuery:
    """A question to external.metrics.k8s.io: every series of a metric that is selected."""

    namespace: str
    metric: str
    selector: Selector = EVERYTHING


class Described(NamedTuple):
    """The object a custom metric is about."""

    kind: str
    api_version: str
    namespace: str
    """Empty for objects that live in no namespace."""
    name: str


class Value(NamedTuple):
    """One number of an answer. A tuple, for there may be thousands in one."""

    metric: str
    value: float
    at: float
    """Unix seconds: when it was sampled, not when it is said."""
    window_seconds: int | None = None
    """Over which time it was taken; None for what is true at one moment."""
    described: Described | None = None
    """None for external metrics."""
    labels: Mapping[str, str] = NO_LABELS
    """External metrics only."""
