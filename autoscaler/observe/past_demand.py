"""What to ask a Prometheus for a model's past demand, and the minutes its answers make. Pure.

The gateways' own counters are asked for, as the feed tells them: requests that were routed, those
refused for want of room or of endpoints, and the growth of queues where a gateway has them. Rates
are Prometheus', so that a restarted gateway's counters are no fall. Called by ``recall``.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from autoscaler.observe.history import Series
from autoscaler.observe.range_answers import Span

PROBE_STEP_S: Final = 3600
MINUTE_S: Final = 60
CHUNK_MINUTES: Final = 2 * 24 * 60
"""A series' points in one answer: Prometheus gives no more than 11,000."""
_SAMPLES_A_WINDOW: Final = 4
"""Scrapes that a rate should rest on: one that is missed leaves it standing."""
_LONGEST_WINDOW_MINUTES: Final = 10
_JITTER: Final = 0.1

ARRIVALS, REFUSED, QUEUE = "arrivals", "refused", "queue growth"
INPUT, OUTPUT, HIT = "input tokens", "output tokens", "prefix hit"


def probe(model: str, selector: str) -> str:
    """Samples of the most often scraped series in the hour before each instant."""
    return f"max(count_over_time({_series('llm_d_epp_request_total', model, selector)}[1h]))"


def window_minutes(samples_an_hour: NDArray[np.float64]) -> int | None:
    """Minutes to take rates over, by how often the series are scraped; None: too seldom."""
    known = samples_an_hour[~np.isnan(samples_an_hour)]
    most = float(known.max()) if len(known) else 0.0
    if most < 2:
        return None
    minutes = _SAMPLES_A_WINDOW * (3600.0 / most) / MINUTE_S
    if minutes > 2 * _LONGEST_WINDOW_MINUTES:
        return None  # two scrapes would not fall into the longest window
    return min(max(1, math.ceil(minutes - _JITTER)), _LONGEST_WINDOW_MINUTES)


def questions(model: str, selector: str, window: int) -> dict[str, str]:
    """Expressions by name: rates a second and means over ``window`` minutes."""

    def grown(name: str, *more: str, how: str = "rate") -> str:
        return f"sum({how}({_series(name, model, selector, *more)}[{window}m]))"

    def mean(name: str) -> str:
        return f"{grown(f'{name}_sum')} / {grown(f'{name}_count')}"

    ours = 'error_code!~"[0-9]+|BadRequest|PayloadTooLarge"'
    asked = grown("llm_d_epp_request_input_tokens_sum")
    queue = grown("llm_d_epp_flow_control_queue_size", how="delta")
    return {
        ARRIVALS: grown("llm_d_epp_request_total"),
        REFUSED: grown("llm_d_epp_request_error_total", ours),
        QUEUE: f"{queue} / {window * MINUTE_S}",
        INPUT: mean("llm_d_epp_request_input_tokens"),
        OUTPUT: mean("llm_d_epp_request_output_tokens"),
        HIT: f"{grown('llm_d_epp_request_cached_tokens_sum')} / {asked}",
    }


def _series(name: str, model: str, selector: str, *more: str) -> str:
    quoted = model.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
    matchers = [f'target_model_name="{quoted}"', *more, *([selector] if selector else [])]
    return f"{name}{{{','.join(matchers)}}}"


@dataclass(frozen=True, slots=True)
class Chunk:
    """Minutes from ``first`` (a Unix minute) on, as many as ``minutes``."""

    first: int
    minutes: int

    def span(self, window: int) -> Span:
        """The instants to ask at: a window's rate stands for the minute in its middle."""
        after_s = (window - 1) * MINUTE_S // 2
        return Span((self.first + 1) * MINUTE_S + after_s, self.minutes, MINUTE_S)


def chunks(
    first: int, missing: NDArray[np.bool_], samples: NDArray[np.float64], probed: Span
) -> Iterator[Chunk]:
    """What to ask for, the newest first: where minutes are ``missing`` and the probe saw samples.

    ``missing`` begins at the Unix minute ``first``; ``samples`` is what came of ``probed``.
    """
    minutes = first + np.arange(len(missing))
    hour = np.ceil(((minutes + 1) * MINUTE_S - probed.first_s) / probed.step_s).astype(int)
    within = (hour >= 0) & (hour < len(samples))
    seen = np.zeros(len(missing), dtype=np.bool_)
    seen[within] = ~np.isnan(samples[hour[within]])
    wanted = missing & seen
    for end in range(len(missing), 0, -CHUNK_MINUTES):
        begin = max(0, end - CHUNK_MINUTES)
        (places,) = np.nonzero(wanted[begin:end])
        if len(places):
            low, high = begin + int(places[0]), begin + int(places[-1])
            yield Chunk(first + low, high - low + 1)


def rows(
    found: Mapping[str, NDArray[np.float64]], input_tokens: float, output_tokens: float
) -> Series:
    """Minutes as ``History`` keeps them; one in which no gateway counted anything is NaN.

    Requests' sizes are those of the minutes around where a minute tells none, else
    ``input_tokens`` and ``output_tokens``.
    """
    arrivals, refused = found[ARRIVALS], found[REFUSED]
    known = ~(np.isnan(arrivals) & np.isnan(refused))
    requests = np.nan_to_num(arrivals) + np.nan_to_num(refused) + np.nan_to_num(found[QUEUE])
    requests = np.where(known, np.maximum(requests, 0.0), np.nan)
    hit = np.clip(_carried(found[HIT], 0.0), 0.0, 1.0)
    into = requests * np.maximum(_carried(found[INPUT], input_tokens), 0.0) * (1.0 - hit)
    out = requests * np.maximum(_carried(found[OUTPUT], output_tokens), 0.0)
    return np.stack((requests, into, out), axis=1)


def _carried(means: NDArray[np.float64], otherwise: float) -> NDArray[np.float64]:
    """``means`` with the one before, else the one after, where there is none."""
    known = ~np.isnan(means)
    if not known.any():
        return np.full(len(means), otherwise)
    latest = np.maximum.accumulate(np.where(known, np.arange(len(means)), -1))
    first = int(np.argmax(known))
    return np.asarray(means[np.where(latest < 0, first, latest)], dtype=np.float64)
