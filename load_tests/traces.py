"""Public traces as workloads: readers by path, and seeded look-alikes with the same statistics.

Traces are not part of the project; a path names one (plain or ``.xz``). Every reader yields rows
in time order; ``replay`` makes a workload of them. Time is scaled, never the tokens.
"""

from __future__ import annotations

import csv
import itertools
import json
import lzma
import math
import random
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TextIO

from load_tests.arrival_times import gamma, poisson
from load_tests.workload import Arrival, Block, Message

MOONCAKE_BLOCK_TOKENS = 512
MOONCAKE_STAMP_MS = 3000
"""Its conversation trace is stamped in steps of 3 s: arrivals in between are lost."""


class BadTrace(ValueError):
    """A trace file is not in the format it should have; the message names the line."""


@dataclass(frozen=True, slots=True)
class Row:
    """One request of a trace."""

    at_s: float
    input_tokens: int
    output_tokens: int
    blocks: tuple[int, ...] = ()
    """Ids of its leading blocks of 512 tokens; () shares nothing."""


@dataclass(frozen=True, slots=True)
class Rate:
    """Arrivals during one interval of a rate trace."""

    at_s: float
    rate: float
    """Per second; 0 where nothing was recorded, which is missing and not silence."""
    cv: float


def replay(rows: Iterable[Row], *, speed: float = 1.0, limit: int | None = None) -> list[Arrival]:
    """The rows as plain completions, ``speed`` times as fast; block ids become equal text."""
    made = []
    for number, row in enumerate(itertools.islice(rows, limit)):
        prompt = Message("", tuple(_blocks(row, number)))
        group = row.blocks[1] if len(row.blocks) > 1 else -1
        made.append(Arrival(row.at_s / speed, (prompt,), max(1, row.output_tokens), group))
    return made


def _blocks(row: Row, number: int) -> Iterator[Block]:
    left = row.input_tokens
    for block in row.blocks:
        yield Block(block, min(left, MOONCAKE_BLOCK_TOKENS))
        left -= MOONCAKE_BLOCK_TOKENS
    if left > 0:
        # Ids of traces are small; this range is nobody's.
        yield Block(1 << 62 | number, left)


# --- readers ------------------------------------------------------------------------------------


def mooncake(path: Path, rng: random.Random) -> list[Row]:
    """Mooncake's JSONL. Rows stamped in 3 s steps are spread inside their step.

    Without that, every queue in a replay is an artefact of the stamps. Raises BadTrace.
    """
    rows = []
    with opened(path) as lines:
        for number, line in enumerate(lines, 1):
            try:
                row = json.loads(line)
                ids = tuple(row["hash_ids"])
                rows.append((row["timestamp"], row["input_length"], row["output_length"], ids))
            except (ValueError, KeyError, TypeError) as error:
                raise BadTrace(f"{path}:{number}: {error!r}") from error
    stepped = len(rows) > 1 and all(row[0] % MOONCAKE_STAMP_MS == 0 for row in rows)
    jitter = MOONCAKE_STAMP_MS if stepped else 0
    spread = sorted((row[0] + jitter * rng.random(), *row[1:]) for row in rows)
    return [Row(at / 1000, tokens, output, ids) for at, tokens, output, ids in spread]


def azure(path: Path) -> list[Row]:
    """Azure's LLM inference CSV: ``TIMESTAMP,ContextTokens,GeneratedTokens``. Raises BadTrace.

    Its stamps have seven fractional digits, one more than Python reads; its lines end in CRLF and
    the last in nothing.
    """
    rows: list[Row] = []
    began: datetime | None = None
    with opened(path) as lines:
        for number, row in enumerate(csv.DictReader(lines), 2):
            try:
                at = datetime.fromisoformat(row["TIMESTAMP"][:26])
                tokens, output = int(row["ContextTokens"]), int(row["GeneratedTokens"])
            except (ValueError, KeyError, TypeError) as error:
                raise BadTrace(f"{path}:{number}: {error!r}") from error
            began = began or at
            rows.append(Row((at - began).total_seconds(), tokens, output))
    return rows


def servegen(path: Path) -> list[Rate]:
    """A ServeGen rate series: ``t_s,rate_rps,active_clients,rate_weighted_cv``. Raises BadTrace."""
    with opened(path) as lines:
        rates = []
        for number, row in enumerate(csv.DictReader(lines), 2):
            try:
                cv = float(row["rate_weighted_cv"])
                rates.append(Rate(float(row["t_s"]), float(row["rate_rps"]), cv))
            except (ValueError, KeyError, TypeError) as error:
                raise BadTrace(f"{path}:{number}: {error!r}") from error
    return rates


@contextmanager
def opened(path: Path) -> Iterator[TextIO]:
    """A text file, unpacked on the way if its name ends in ``.xz``."""
    if path.suffix == ".xz":
        with lzma.open(path, "rt", encoding="utf-8", newline="") as file:
            yield file
    else:
        with path.open(encoding="utf-8", newline="") as file:
            yield file


def times(rates: Sequence[Rate], rng: random.Random, *, scale: float, speed: float) -> list[float]:
    """Arrival times of a rate series: Gamma gaps with each interval's rate and variation.

    Rates are multiplied by ``scale``, then time runs ``speed`` times as fast. An interval that was
    not recorded takes the rate before it: missing is not zero.
    """
    made: list[float] = []
    known = [r for r in rates if r.rate > 0]
    if not known:
        return made
    last = known[0]
    for this, after in itertools.pairwise((*rates, Rate(math.inf, 0, 0))):
        last = this if this.rate > 0 else last
        length = after.at_s - this.at_s if after.at_s < math.inf else _step(rates)
        for at in gamma(last.rate * scale, max(last.cv, 0.1), rng):
            if at >= length:
                break
            made.append((this.at_s + at) / speed)
    return made


def _step(rates: Sequence[Rate]) -> float:
    return rates[1].at_s - rates[0].at_s if len(rates) > 1 else 600.0


# --- look-alikes --------------------------------------------------------------------------------

# (share of requests, tokens) of the published traces; between two points it is geometric.
AZURE_INPUT = ((0.0, 3), (0.05, 120), (0.5, 1020), (0.9, 2734), (0.99, 4142), (1.0, 14050))
AZURE_OUTPUT = ((0.0, 7), (0.1, 30), (0.5, 129), (0.9, 424), (0.99, 601), (1.0, 1000))
AZURE_RATE = 5.53
MOONCAKE_OUTPUT = ((0.0, 1), (0.1, 60), (0.5, 350), (0.9, 597), (0.99, 1119), (1.0, 2000))
MOONCAKE_INPUT = ((0.0, 890), (0.1, 1500), (0.5, 6909), (0.9, 27367), (0.99, 85400), (1.0, 126195))
MOONCAKE_RATE = 3.40
MOONCAKE_REUSE = 0.387
"""Requests that repeat more than the block all of them share."""
MOONCAKE_REUSE_GAP_S = 114.0
"""Median time between two uses of a prefix."""
TURNS_LOOKED_AT = 10


def by_quantiles(points: Sequence[tuple[float, float]]) -> Callable[[float], int]:
    """The quantile function through ``points``, geometric in between: share -> tokens."""
    shares = [share for share, _ in points]

    def tokens(share: float) -> int:
        i = min(bisect_right(shares, share), len(points) - 1)
        (low, a), (high, b) = points[i - 1], points[i]
        return round(a * math.pow(b / a, (share - low) / (high - low)))

    return tokens


def azure_like(rng: random.Random, seconds: float, *, rate: float = AZURE_RATE) -> list[Row]:
    """Rows with the lengths of Azure's conversation trace of 2023; no shared prefixes."""
    inputs, outputs = by_quantiles(AZURE_INPUT), by_quantiles(AZURE_OUTPUT)
    return [
        Row(at, inputs(rng.random()), outputs(rng.random()))
        for at in itertools.takewhile(lambda at: at < seconds, poisson(rate, rng))
    ]


def mooncake_like(rng: random.Random, seconds: float, *, rate: float = MOONCAKE_RATE) -> list[Row]:
    """Rows with the lengths and the reuse of Mooncake's conversation trace.

    All share block 0. Some go on where an earlier one ended, the longer ones more likely, as the
    later turns of a conversation are the longer ones.
    """
    inputs, outputs = by_quantiles(MOONCAKE_INPUT), by_quantiles(MOONCAKE_OUTPUT)
    numbers = itertools.count(1)
    rows: list[Row] = []
    for at in itertools.takewhile(lambda at: at < seconds, poisson(rate, rng)):
        share = rng.random()
        tokens = inputs(share)
        count = math.ceil(tokens / MOONCAKE_BLOCK_TOKENS)
        before: tuple[int, ...] = (0,)
        if rng.random() < 2 * share * MOONCAKE_REUSE:
            back = rng.expovariate(math.log(2) / MOONCAKE_REUSE_GAP_S)
            before = _turn_before(rows, len(rows) - 1 - int(back * rate), tokens)
        fresh = itertools.islice(numbers, count - len(before))
        rows.append(Row(at, tokens, outputs(rng.random()), (*before, *fresh)))
    return rows


def _turn_before(rows: Sequence[Row], newest: int, tokens: int) -> tuple[int, ...]:
    """The full blocks of the longest of some rows up to ``newest`` that ``tokens`` can go on from.

    A last block that was not full is not repeated as a block.
    """
    recent = rows[max(0, newest + 1 - TURNS_LOOKED_AT) : max(0, newest + 1)]
    fitting = [row for row in recent if row.input_tokens < tokens]
    if not fitting:
        return (0,)
    longest = max(fitting, key=lambda row: row.input_tokens)
    return longest.blocks[: max(1, longest.input_tokens // MOONCAKE_BLOCK_TOKENS)]
