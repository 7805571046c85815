"""Demand in steps of 5 s, and the CSV it is written in. No noise of its own; pure.

Rows hold until the next one. A row without a rate is one that nobody recorded: the load stays as
it was and the controller sees nothing. Called by ``commands``; traces are read by ``traces``.
"""

from __future__ import annotations

import csv
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np

from autoscaler.simulate.fluid import STEP_S
from loadstar.arrays import Bools, Floats
from loadstar.config.errors import did_you_mean

LONGEST_S = 120 * 86400.0
DEFAULT_INPUT_TOKENS = 1100.0
DEFAULT_OUTPUT_TOKENS = 200.0
MOST = 1e9
"""Requests a second, or tokens of one; more is a slip of the pen, and sums of it overflow."""
IN_MILLISECONDS = 1e11
"""Seconds beyond it lie in the 52nd century."""
COLUMNS = ("t_s", "rate_rps", "input_tokens", "output_tokens", "prefix_hit")


class BadDemand(ValueError):
    """A demand file that cannot be used; the message names the line and the mend."""


@dataclass(frozen=True, slots=True)
class DemandSeries:
    """Arrivals of each 5 s and the shape of their requests; all arrays of one length."""

    rate_rps: Floats
    input_tokens: Floats
    output_tokens: Floats
    prefix_hit: Floats
    recorded: Bools
    """False where the controller sees nothing."""

    def __len__(self) -> int:
        return len(self.rate_rps)

    @property
    def seconds(self) -> float:
        return len(self) * STEP_S

    def between(self, start_s: float, end_s: float) -> DemandSeries:
        """The part from ``start_s`` to ``end_s``, which then begins at 0."""
        a, b = round(start_s / STEP_S), round(end_s / STEP_S)
        return DemandSeries(
            self.rate_rps[a:b],
            self.input_tokens[a:b],
            self.output_tokens[a:b],
            self.prefix_hit[a:b],
            self.recorded[a:b],
        )

    def scaled(self, factor: float) -> DemandSeries:
        """The same with ``factor`` times the arrivals."""
        return DemandSeries(
            self.rate_rps * factor,
            self.input_tokens,
            self.output_tokens,
            self.prefix_hit,
            self.recorded,
        )

    def noisy(self, cv: float, rng: np.random.Generator) -> DemandSeries:
        """The same with Gamma noise of variation ``cv`` on each step."""
        if cv <= 0:
            return self
        shape = 1.0 / cv**2
        return DemandSeries(
            self.rate_rps * rng.gamma(shape, 1.0 / shape, len(self)),
            self.input_tokens,
            self.output_tokens,
            self.prefix_hit,
            self.recorded,
        )


def of_rates(
    rate_rps: Floats,
    *,
    input_tokens: float = DEFAULT_INPUT_TOKENS,
    output_tokens: float = DEFAULT_OUTPUT_TOKENS,
    prefix_hit: float = 0.0,
) -> DemandSeries:
    """A series of one request shape, recorded throughout."""
    n = len(rate_rps)
    return DemandSeries(
        rate_rps,
        np.full(n, input_tokens),
        np.full(n, output_tokens),
        np.full(n, prefix_hit),
        np.ones(n, dtype=np.bool_),
    )


def read_csv(lines: Iterable[str], place: str = "demand") -> DemandSeries:
    """``t_s,rate_rps,input_tokens,output_tokens[,prefix_hit]``. Raises BadDemand.

    Columns may be in any order; blank lines and lines that begin with # are left out. The last
    row lasts as long as the one before it.
    """
    numbered = (
        (n, line) for n, line in enumerate(lines, 1) if line.strip() and not line.startswith("#")
    )
    rows = _rows(list(numbered), place)
    times = [row[0] for row in rows]
    last_s = times[-1] - times[-2] if len(rows) > 1 else 60.0
    end_s = times[-1] - times[0] + last_s
    if end_s > LONGEST_S:
        raise BadDemand(f"{place}: {end_s / 86400:.0f} days are more than {LONGEST_S / 86400:.0f}")
    steps = max(1, math.ceil(end_s / STEP_S - 1e-9))
    at = np.array(times) - times[0]
    which = np.searchsorted(at, np.arange(steps) * STEP_S + 1e-9, side="right") - 1
    table = np.array([row[1:] for row in rows])
    recorded = ~np.isnan(table[:, 0])
    if not recorded.any():
        raise BadDemand(f"{place}: no row has a rate")
    table = _held(table)
    # Finer rows than a step are averaged into it, so that no arrival is lost.
    rates = _averaged(at, table[:, 0], steps, last_s)
    return DemandSeries(rates, table[which, 1], table[which, 2], table[which, 3], recorded[which])


def _rows(numbered: Sequence[tuple[int, str]], place: str) -> list[tuple[float, ...]]:
    if not numbered:
        raise BadDemand(f"{place}: empty; the first line must be {','.join(COLUMNS)}")
    first, header = numbered[0]
    names = [name.strip().lower() for name in next(csv.reader([header.lstrip("\ufeff")]))]
    if len(names) == 1 and any(mark in header for mark in ";\t"):
        raise BadDemand(f"{place}:{first}: write commas between the columns")
    for index, name in enumerate(names):
        if name not in COLUMNS:
            hint = did_you_mean(name, COLUMNS)
            raise BadDemand(f"{place}:{first}: unknown column {name!r}{hint}")
        if name in names[:index]:
            raise BadDemand(f"{place}:{first}: the column {name} is there twice")
    for name in COLUMNS[:2]:
        if name not in names:
            raise BadDemand(f"{place}:{first}: the column {name} is missing")
    where = {name: names.index(name) for name in names}
    usual = {
        "input_tokens": DEFAULT_INPUT_TOKENS,
        "output_tokens": DEFAULT_OUTPUT_TOKENS,
        "prefix_hit": 0.0,
    }
    rows: list[tuple[float, ...]] = []
    for number, line in numbered[1:]:
        cells = next(csv.reader([line]))
        if len(cells) != len(names):
            raise BadDemand(f"{place}:{number}: {len(cells)} cells, not {len(names)}")
        row = [
            _cell(cells[where[name]], name, f"{place}:{number}") if name in where else usual[name]
            for name in COLUMNS
        ]
        row[2:] = [
            usual[n] if math.isnan(v) else v for n, v in zip(COLUMNS[2:], row[2:], strict=True)
        ]
        if math.isnan(row[0]) or (rows and row[0] <= rows[-1][0]):
            raise BadDemand(f"{place}:{number}: t_s must be a number that grows from row to row")
        rows.append(tuple(row))
    if not rows:
        raise BadDemand(f"{place}: no rows below the header")
    return rows


def _cell(text: str, name: str, place: str) -> float:
    text = text.strip()
    if not text or text.lower() in ("nan", "null", "none"):
        return math.nan
    try:
        value = float(text)
    except ValueError:
        raise BadDemand(f"{place}: {name} is {text[:40]!r}, not a number") from None
    if name == "t_s" and value > IN_MILLISECONDS:
        raise BadDemand(f"{place}: t_s is {text[:40]}, milliseconds by its size; write seconds")
    highest = {"prefix_hit": 1.0, "t_s": math.inf}.get(name, MOST)
    if not math.isfinite(value) or (name != "t_s" and not 0 <= value <= highest):
        bounds = "" if name == "t_s" else f": it must be between 0 and {highest:g}"
        raise BadDemand(f"{place}: {name} is {text[:40]}, out of range{bounds}")
    return value


def _held(table: Floats) -> Floats:
    """``table`` with each missing rate as the one before it (the first: the one after it)."""
    made = table.copy()
    known = np.flatnonzero(~np.isnan(made[:, 0]))
    before = np.searchsorted(known, np.arange(len(made)), side="right") - 1
    made[:, 0] = made[known[np.maximum(before, 0)], 0]
    return made


def _averaged(at: Floats, rates: Floats, steps: int, last_s: float) -> Floats:
    edges = np.append(at, at[-1] + last_s)
    total = np.concatenate(([0.0], np.cumsum(rates * np.diff(edges))))
    bounds = np.minimum(np.arange(steps + 1) * STEP_S, edges[-1])
    into = np.interp(bounds, edges, total)
    widths = np.maximum(np.diff(bounds), 1e-9)
    return np.asarray(np.diff(into) / widths)
