"""Reading the files that commands are given: policies, plants, demand. Errors for people.

``Unusable`` carries every problem, each with its file and place.
"""

from __future__ import annotations

import csv
import lzma
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TextIO

import numpy as np

from autoscaler.capacity.profiles import unknown_profiles
from autoscaler.policy.model import ModelPolicy, Policy, load_policy
from autoscaler.simulate.demand import BadDemand, DemandSeries
from autoscaler.simulate.plant_file import PlantSpec, load_plant, matched
from autoscaler.simulate.traces import read_any
from loadstar.config.document import read
from loadstar.config.errors import ConfigError, did_you_mean, not_utf8

CONFIG_KEY = "autoscaler.yaml"


class Unusable(Exception):
    """A file that cannot be used; the text names it, the place and the mend."""


@contextmanager
def opened(path: Path) -> Iterator[TextIO]:
    """A text file, unpacked on the way if its name ends in ``.xz``."""
    try:
        if path.suffix == ".xz":
            with lzma.open(path, "rt", encoding="utf-8-sig", newline="") as file:
                yield file
        else:
            with path.open(encoding="utf-8-sig", newline="") as file:
                yield file
    except UnicodeDecodeError as error:
        # Decoded piece by piece: its position is not that in the file.
        raise Unusable(f"{path}: not UTF-8: {error.reason}; save it as UTF-8") from None
    except (OSError, lzma.LZMAError) as error:
        raise Unusable(f"{path}: {_why(error)}") from None


def policy_of(path: Path, *, active: bool = False) -> Policy:
    """The policy, bare or in a ConfigMap.

    ``active``: where it does not say ``mode`` it acts, which is what a simulation is for.
    """
    place = ""
    try:
        value = read(_text(path))
        if isinstance(value, Mapping) and value.get("kind") == "ConfigMap":
            place = f"data[{CONFIG_KEY}]"
            value = read(_wrapped(path, value))
        if active and isinstance(value, Mapping) and value.get("mode") is None:
            value = {**value, "mode": "active"}
        policy = load_policy(value)
    except ConfigError as error:
        problems = [problem.within(place) for problem in error.problems]
        raise Unusable(_named(path, ConfigError(problems))) from None
    unknown = unknown_profiles(policy)
    if unknown:
        raise Unusable(f"{path}: {unknown[0]}")
    return policy


def model_of(path: Path, policy: Policy, name: str) -> ModelPolicy:
    """The model called ``name`` of the policy at ``path``; the first where no name is given."""
    if not name:
        return policy.models[0]
    try:
        return policy.model(name)
    except KeyError:
        hint = did_you_mean(name, [model.name for model in policy.models])
        raise Unusable(f"{path}: no model {name!r}{hint}") from None


def plant_of(path: Path, policy: Policy) -> PlantSpec:
    """The plant file, with every pool of ``policy`` in it."""
    try:
        return matched(load_plant(_text(path)), policy)
    except ConfigError as error:
        raise Unusable(_named(path, error)) from None


def demand_of(
    path: Path, seed: int, *, input_tokens: float | None = None, output_tokens: float | None = None
) -> tuple[DemandSeries, float]:
    """A demand series of any known format, and the ``t_s`` of its first row.

    Reads it once from front to back: it may be a pipe.
    """
    given = {
        name: value
        for name, value in (("input_tokens", input_tokens), ("output_tokens", output_tokens))
        if value is not None
    }
    try:
        head: list[str] = []
        with opened(path) as file:
            lines = _remembered(file, head)
            series = read_any(lines, str(path), np.random.default_rng(seed), **given)
        return series, _first_t_s(head)
    except BadDemand as error:
        raise Unusable(str(error)) from None
    except csv.Error as error:
        raise Unusable(f"{path}: not CSV: {error}") from None


def _remembered(lines: Iterable[str], head: list[str]) -> Iterator[str]:
    """``lines``, the header and the first row of which are put into ``head``."""
    for line in lines:
        if len(head) < 2 and line.strip() and not line.startswith("#"):
            head.append(line)
        yield line


def _first_t_s(head: Sequence[str]) -> float:
    """The time of the first row, where times are numbers of seconds; 0 elsewhere."""
    header, row = [*head, "", ""][:2]
    names = [name.strip().lower() for name in header.split(",")]
    if "t_s" not in names:
        return 0.0
    try:
        return float(row.split(",")[names.index("t_s")])
    except (ValueError, IndexError):
        return 0.0


def _text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise Unusable(f"{path}: {not_utf8(error)}") from None
    except OSError as error:
        raise Unusable(f"{path}: {_why(error)}") from None


def _why(error: Exception) -> str:
    """In the system's words where it has some: the path is told already."""
    return getattr(error, "strerror", None) or str(error)


def _wrapped(path: Path, value: Mapping[str, object]) -> str:
    data = value.get("data")
    text = data.get(CONFIG_KEY) if isinstance(data, Mapping) else None
    if not isinstance(text, str):
        raise Unusable(f"{path}: data: the key {CONFIG_KEY} is missing")
    return text


def _named(path: Path, error: ConfigError) -> str:
    return "\n".join(f"{path}: {problem}" for problem in error.problems)
