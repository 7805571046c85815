"""Feature gates: ``flowControl`` or ``flowControl=false``, known by name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import MappingProxyType

from loadstar.config.errors import Problems, did_you_mean

DEFAULTS: Mapping[str, bool] = MappingProxyType(
    {
        "flowControl": False,
        "haPopulateNonLeaderDatastore": True,
        # Of the older reference; there is only one data layer, and it is always on.
        "dataLayer": True,
        "enableLegacyMetrics": False,
    }
)

# What Go's strconv.ParseBool takes.
_WORDS: Mapping[str, bool] = MappingProxyType(
    {"1": True, "t": True, "true": True, "0": False, "f": False, "false": False}
)


def read_gates(written: Sequence[str], problems: Problems) -> Mapping[str, bool]:
    """Every known gate with its value; a later entry goes before an earlier one."""
    gates = dict(DEFAULTS)
    for index, entry in enumerate(written):
        path = f"featureGates[{index}]"
        name, equals, word = entry.partition("=")
        value = _WORDS.get(word.strip().lower()) if equals else True
        if name not in DEFAULTS:
            problems.add(path, f'unknown feature gate "{name}"{did_you_mean(name, DEFAULTS)}')
        elif value is None:
            problems.add(path, f'"{word}" is neither true nor false')
        else:
            gates[name] = value
    return MappingProxyType(gates)
