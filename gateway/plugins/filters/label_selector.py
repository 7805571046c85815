"""``label-selector-filter`` (once ``by-label-selector``): a Kubernetes label selector."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from gateway.scheduling.label_masks import LabelMask
from gateway.scheduling.plugin_type import Wiring
from loadstar.kube.selectors import Operator, Requirement, Selector, from_labels


@dataclass(frozen=True, slots=True)
class LabelSelector:
    """All of ``matchLabels`` and all of ``matchExpressions``; an empty one matches everything."""

    match_labels: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    match_expressions: tuple[Requirement, ...] = ()

    def __post_init__(self) -> None:
        for requirement in self.match_expressions:
            if requirement.operator in (Operator.GREATER, Operator.LESS):
                word = requirement.operator.value
                raise ValueError(f"{word} cannot be said in matchExpressions")
        self.selector()

    def selector(self) -> Selector:
        """Both as one. Raises ValueError for a label that cannot be."""
        labels = from_labels(self.match_labels).requirements
        return Selector((*labels, *self.match_expressions))


def label_selector(parameters: LabelSelector, wiring: Wiring) -> LabelMask:
    return LabelMask(parameters.selector().matches)
