"""``by-label``: endpoints with one of some values of one label. Deprecated, and what roles use."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Annotated

from gateway.scheduling.label_masks import LabelMask
from gateway.scheduling.plugin_type import Wiring
from loadstar.config.load import NOT_EMPTY


@dataclass(frozen=True, slots=True)
class ByLabel:
    label: Annotated[str, NOT_EMPTY]
    valid_values: tuple[str, ...] = ()
    allows_no_label: bool = False
    """Endpoints without the label are kept too."""

    def __post_init__(self) -> None:
        if not self.valid_values and not self.allows_no_label:
            raise ValueError("validValues must not be empty unless allowsNoLabel is true")

    def matches(self, labels: Mapping[str, str]) -> bool:
        value = labels.get(self.label)
        return self.allows_no_label if value is None else value in self.valid_values


def by_label(parameters: ByLabel, wiring: Wiring) -> LabelMask:
    return LabelMask(parameters.matches)
