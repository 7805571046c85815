"""``label-selector-filter`` (once ``by-label-selector``): a Kubernetes label selector."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from types import MappingProxyType

from gateway.scheduling.label_masks import LabelMask
from gateway.scheduling.plugin_type import Wiring

_NAME = re.compile(r"[A-Za-z0-9](?:[A-Za-z0-9._-]{0,61}[A-Za-z0-9])?", re.ASCII)
_PREFIX = re.compile(r"[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?", re.ASCII)


class Operator(Enum):
    IN = "In"
    NOT_IN = "NotIn"
    EXISTS = "Exists"
    DOES_NOT_EXIST = "DoesNotExist"


@dataclass(frozen=True, slots=True)
class Requirement:
    """One expression; ``NotIn`` holds for an endpoint without the label, as in Kubernetes."""

    key: str
    operator: Operator
    values: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        _check_key(self.key)
        listed = self.operator in (Operator.IN, Operator.NOT_IN)
        if listed and not self.values:
            raise ValueError(f"{self.operator.value} needs values")
        if not listed and self.values:
            raise ValueError(f"{self.operator.value} takes no values")
        for value in self.values:
            _check_value(value)

    def holds(self, labels: Mapping[str, str]) -> bool:
        match self.operator:
            case Operator.IN:
                return labels.get(self.key) in self.values
            case Operator.NOT_IN:
                return labels.get(self.key) not in self.values
            case Operator.EXISTS:
                return self.key in labels
            case Operator.DOES_NOT_EXIST:
                return self.key not in labels


@dataclass(frozen=True, slots=True)
class LabelSelector:
    """All of ``matchLabels`` and all of ``matchExpressions``; an empty one matches everything."""

    match_labels: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    match_expressions: tuple[Requirement, ...] = ()

    def __post_init__(self) -> None:
        for name, value in self.match_labels.items():
            _check_key(name)
            _check_value(value)

    def matches(self, labels: Mapping[str, str]) -> bool:
        return all(labels.get(k) == v for k, v in self.match_labels.items()) and all(
            requirement.holds(labels) for requirement in self.match_expressions
        )


def label_selector(parameters: LabelSelector, wiring: Wiring) -> LabelMask:
    return LabelMask(parameters.matches)


def _check_key(key: str) -> None:
    prefix, slash, name = key.rpartition("/")
    if not _NAME.fullmatch(name) or (slash and not _PREFIX.fullmatch(prefix)):
        raise ValueError(f'"{key[:80]}" is not a label key')


def _check_value(value: str) -> None:
    if value and not _NAME.fullmatch(value):
        raise ValueError(f'"{value[:80]}" is not a label value')
