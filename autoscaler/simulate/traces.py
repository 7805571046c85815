"""Public demand traces as series of 5 s: ServeGen rates, Azure and Mooncake requests, plain CSV.

The format is told by the first line. Ten-minute rates are not joined by straight lines, which would
tell a forecaster the future: inside a window a bridge wanders as the series does from window to
window, jumps stay abrupt, and arrivals vary as their clients' gaps do. Pure: lines in, series out.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime
from itertools import chain
from typing import Final

import numpy as np

from autoscaler.simulate.demand import (
    DEFAULT_INPUT_TOKENS,
    DEFAULT_OUTPUT_TOKENS,
    LONGEST_S,
    BadDemand,
    DemandSeries,
    of_rates,
    read_csv,
)
from autoscaler.simulate.fluid import STEP_S
from loadstar.arrays import Floats

WINDOW_S: Final = 600.0
JUMP_SIGMAS: Final = 3.0
MEAN_STEP: Final = 1.5
"""Variance of a Brownian path over a window, over that between means of neighbouring windows."""
MOST_CV: Final = 1.5
LEAST_CV: Final = 0.1


def read_any(
    lines: Iterable[str],
    place: str,
    rng: np.random.Generator,
    *,
    input_tokens: float = DEFAULT_INPUT_TOKENS,
    output_tokens: float = DEFAULT_OUTPUT_TOKENS,
) -> DemandSeries:
    """The series of any known format. Rate traces have no tokens: the arguments give them."""
    rest = iter(lines)
    before: list[str] = []  # comments; they count where a problem names its line
    first = ""
    for line in rest:
        if line.strip() and not line.startswith("#"):
            first = line
            break
        before.append(line)
    whole = chain([first], rest)
    header = first.strip().lstrip("\ufeff")
    if header.startswith("{"):
        return _requests(_mooncake(whole, place), place)
    names = [name.strip().lower() for name in header.split(",")]
    if "contexttokens" in names:
        return _requests(_azure(whole, place), place)
    if "rate_weighted_cv" in names or ("client" in names and "cv" in names):
        rates, cvs = servegen(whole, place)
        series = expanded(rates, cvs, rng)
        return of_rates(series, input_tokens=input_tokens, output_tokens=output_tokens)
    return read_csv(chain(before, whole), place)


# --- rates --------------------------------------------------------------------------------------


def servegen(lines: Iterable[str], place: str) -> tuple[Floats, Floats]:
    """Rate of each ten-minute window, and the variation of gaps in it; clients are summed.

    Clients come independently: of ``n`` of them the variances of their counts add up.
    """
    windows: dict[int, tuple[float, float]] = {}
    for number, row in enumerate(csv.DictReader(lines), 2):
        cv_column = "rate_weighted_cv" if "rate_weighted_cv" in row else "cv"
        t_s, rate, cv = (
            _number(row.get(name), name, f"{place}:{number}")
            for name in ("t_s", "rate_rps", cv_column)
        )
        window = round(t_s / WINDOW_S)
        total, weighted = windows.get(window, (0.0, 0.0))
        windows[window] = (total + rate, weighted + rate * min(cv, 20.0) ** 2)
    if not windows:
        raise BadDemand(f"{place}: no rows below the header")
    first = min(windows)
    count = max(windows) - first + 1
    _bounded(count * WINDOW_S, place)
    rates, cvs = np.zeros(count), np.ones(count)
    for window, (total, weighted) in windows.items():
        rates[window - first] = total
        if total > 0:
            cvs[window - first] = np.sqrt(weighted / total)
    if not (rates > 0).any():
        raise BadDemand(f"{place}: every rate is zero")
    return rates, cvs


def _number(text: object, name: str, place: str) -> float:
    """A number of 0 or more in a column of a trace."""
    try:
        value = float(text) if isinstance(text, str | int | float) else math.nan
    except ValueError:
        value = math.nan
    if not 0 <= value < math.inf:
        given = "missing" if text is None else repr(text)[:40]
        raise BadDemand(f"{place}: {name} is {given}; it must be a number of 0 or more")
    return value


def _bounded(seconds: float, place: str) -> None:
    if seconds > LONGEST_S:
        raise BadDemand(
            f"{place}: {seconds / 86400:.0f} days are more than {LONGEST_S / 86400:.0f}"
        )


def expanded(rates: Floats, cvs: Floats, rng: np.random.Generator) -> Floats:
    """Arrivals a second in steps of 5 s. A window of rate zero was not recorded: it is bridged."""
    known = np.flatnonzero(rates > 0)
    level = np.interp(np.arange(len(rates)), known, np.log(rates[known]))
    change = np.diff(level)
    typical = 1.4826 * float(np.median(np.abs(change))) if len(change) else 0.0
    steps = round(WINDOW_S / STEP_S)
    path = np.empty(len(rates) * steps)
    half = steps // 2
    path[:half] = level[0]
    path[-half:] = level[-1]
    each = typical * np.sqrt(MEAN_STEP / steps)
    for k, step in enumerate(change):
        low = half + k * steps
        if abs(step) > JUMP_SIGMAS * typical:
            path[low : low + steps - half] = level[k]
            path[low + steps - half : low + steps] = level[k + 1]
            continue
        walk = np.cumsum(rng.normal(0.0, each, steps))
        along = np.arange(1, steps + 1) / steps
        path[low : low + steps] = level[k] + along * step + walk - along * walk[-1]
    made = np.exp(path)
    # Rescaled so that each window keeps its own rate.
    means = made.reshape(-1, steps).mean(axis=1)
    wanted = np.exp(level)
    made *= np.repeat(np.clip(wanted / means, 0.5, 2.0), steps)
    counts = np.repeat(wanted, steps) * STEP_S
    cv = np.clip(np.repeat(cvs, steps), LEAST_CV, None) / np.sqrt(np.maximum(counts, 1.0))
    shape = 1.0 / np.clip(cv, 1e-3, MOST_CV) ** 2
    return np.asarray(made * rng.gamma(shape, 1.0 / shape))


# --- requests -----------------------------------------------------------------------------------

Row = tuple[float, float, float]


def _mooncake(lines: Iterable[str], place: str) -> Iterator[Row]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        where = f"{place}:{number}"
        try:
            row = json.loads(line)
        except ValueError as error:
            raise BadDemand(f"{where}: not JSON: {error}") from None
        if not isinstance(row, dict):
            raise BadDemand(f"{where}: not a JSON object with timestamp and lengths")
        at_ms, given, made = (
            _number(row.get(name), name, where)
            for name in ("timestamp", "input_length", "output_length")
        )
        yield at_ms / 1000.0, given, made


def _azure(lines: Iterable[str], place: str) -> Iterator[Row]:
    began: datetime | None = None
    for number, row in enumerate(csv.DictReader(lines), 2):
        where = f"{place}:{number}"
        try:
            at = datetime.fromisoformat((row.get("TIMESTAMP") or "")[:26]).replace(tzinfo=None)
        except ValueError:
            raise BadDemand(f"{where}: TIMESTAMP is {row.get('TIMESTAMP')!r}, no time") from None
        given, made = (
            _number(row.get(name), name, where) for name in ("ContextTokens", "GeneratedTokens")
        )
        began = began or at
        yield (at - began).total_seconds(), given, made


def _requests(rows: Iterable[Row], place: str) -> DemandSeries:
    """Requests counted into steps; their mean sizes held where a step has none."""
    known: Sequence[Row] = sorted(rows)
    if not known:
        raise BadDemand(f"{place}: no requests below the header")
    _bounded(known[-1][0] - known[0][0], place)
    steps = int((known[-1][0] - known[0][0]) // STEP_S) + 1
    at = ((np.array([r[0] for r in known]) - known[0][0]) // STEP_S).astype(np.int64)
    count = np.bincount(at, minlength=steps).astype(np.float64)
    sizes = []
    for column in (1, 2):
        tokens = np.array([row[column] for row in known])
        total = np.asarray(np.bincount(at, weights=tokens, minlength=steps), dtype=np.float64)
        sizes.append(_held_means(total, count))
    return DemandSeries(
        count / STEP_S, sizes[0], sizes[1], np.zeros(steps), np.ones(steps, dtype=np.bool_)
    )


def _held_means(total: Floats, count: Floats) -> Floats:
    mean = float(total.sum() / count.sum())
    made = np.empty(len(total))
    for index, (amount, n) in enumerate(zip(total, count, strict=True)):
        # The plant's work of a step is exact; where nothing arrives the size does not matter.
        made[index] = amount / n if n > 0 else mean
    return made
