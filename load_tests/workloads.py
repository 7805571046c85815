"""Workloads by name, for command lines: the shapes, the look-alikes, and traces by path."""

from __future__ import annotations

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from load_tests.arrival_times import Times
from load_tests.traces import BadTrace, Row, azure, azure_like, mooncake, mooncake_like, replay
from load_tests.workload import Arrival, Conversation, PrefixFree, Shape, SharedPrefix

TRACE_SEED = 1
LOOK_ALIKE_SECONDS = 600.0


@dataclass(frozen=True, slots=True)
class Replayed:
    """The prompts of a trace, in its order, at times of one's own; begins again at its end."""

    prompts: tuple[Arrival, ...]

    def arrivals(self, times: Sequence[float], rng: random.Random) -> list[Arrival]:
        endless = itertools.cycle(self.prompts)
        return [replace(prompt, at_s=at) for at, prompt in zip(times, endless, strict=False)]

    def warmup(self, times: Times, rng: random.Random) -> list[Arrival]:
        """Nothing: a trace brings its own beginning."""
        return []


NAMES = ("shared-prefix", "conversation", "prefix-free", "azure-like", "mooncake-like")


def named(text: str) -> Shape:
    """A shape by its name, or a trace as ``mooncake:PATH`` or ``azure:PATH``.

    Raises KeyError for a name that is none, OSError and BadTrace for a trace that is none.
    """
    kind, _, path = text.partition(":")
    if path:
        rows = _rows(kind, Path(path))
        if not rows:
            raise BadTrace(f"{path}: no requests in it")
        return _replayed(rows)
    match kind:
        case "shared-prefix":
            return SharedPrefix()
        case "conversation":
            return Conversation()
        case "prefix-free":
            return PrefixFree()
        case "azure-like":
            return _replayed(azure_like(random.Random(TRACE_SEED), LOOK_ALIKE_SECONDS))
        case "mooncake-like":
            return _replayed(mooncake_like(random.Random(TRACE_SEED), LOOK_ALIKE_SECONDS))
        case _:
            raise KeyError(f"{text!r} is none of {', '.join(NAMES)}, mooncake:PATH, azure:PATH")


def _rows(kind: str, path: Path) -> list[Row]:
    match kind:
        case "mooncake":
            return mooncake(path, random.Random(TRACE_SEED))
        case "azure":
            return azure(path)
        case _:
            raise KeyError(f"{kind!r} is no trace format: mooncake or azure")


def _replayed(rows: Sequence[Row]) -> Replayed:
    return Replayed(tuple(replay(rows)))
