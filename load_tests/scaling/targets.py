"""The targets T1 to T10 by name: each a function of the runs it asks for. One literal table."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Final

from load_tests.scaling.against_rivals import leads, t1, t2, t3, t8
from load_tests.scaling.manners import covered, t7, t9
from load_tests.scaling.runs import Runs
from load_tests.scaling.under_trouble import t4, t5, t6, t10
from load_tests.scaling.verdict import Scope, Verdict

TARGETS: Final[Mapping[str, Callable[[Runs, Scope], list[Verdict]]]] = MappingProxyType(
    {
        "T1": t1,
        "T2": t2,
        "T3": t3,
        "T4": t4,
        "T5": t5,
        "T6": t6,
        "T7": t7,
        "T8": t8,
        "T9": t9,
        "T10": t10,
        "coverage": covered,
        "leads": leads,
    }
)
