"""What the Horizontal Pod Autoscaler proposes from one metric, in the controller's arithmetic.

Values are in thousandths, as the controller reads them. Bounds, windows and rates come afterwards,
in ``hpa_behavior``. Called by the baselines, by the plant's backstop and by the demo.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

DEFAULT_TOLERANCE = 0.1


@dataclass(frozen=True, slots=True)
class Tolerance:
    """How far from 1 the ratio may be without a change; one share for each direction."""

    up: float = DEFAULT_TOLERANCE
    down: float = DEFAULT_TOLERANCE

    def holds(self, ratio: float) -> bool:
        """Whether ``ratio`` is near enough to 1.

        The distance is subtracted before it is compared, for the rounding decides some cases:
        20 replicas and a sum of 22 change, 18 do not.
        """
        return ratio - 1.0 <= self.up if ratio > 1.0 else 1.0 - ratio <= self.down


USUAL = Tolerance()


@dataclass(frozen=True, slots=True)
class NoMetric:
    """The metric could not be read: the proposal of an error."""

    why: str


@dataclass(frozen=True, slots=True)
class Pods:
    """The pods of the scale target as a Pods metric sees them.

    ``sampled_sum_milli`` is over ``sampled`` pods; ``missing`` run and have no sample, ``pending``
    do not run. Pods that are being deleted are in none of them.
    """

    sampled_sum_milli: float
    sampled: int
    missing: int = 0
    pending: int = 0

    @classmethod
    def of(cls, samples_milli: Sequence[float], missing: int = 0, pending: int = 0) -> Pods:
        return cls(sum(samples_milli), len(samples_milli), missing, pending)


def pods_average(
    pods: Pods, target_milli: float, current: int, tolerance: Tolerance = USUAL
) -> int | NoMetric:
    """Proposal for an AverageValue over the pods themselves (queue, KV cache, concurrency)."""
    if pods.sampled == 0:
        return NoMetric("no pod has a sample")
    ratio = pods.sampled_sum_milli / pods.sampled / target_milli
    counts_pending = pods.pending > 0 and ratio > 1.0
    if pods.missing == 0 and not counts_pending:
        return current if tolerance.holds(ratio) else _ceil(ratio * pods.sampled)
    total_milli, count = pods.sampled_sum_milli, pods.sampled + pods.missing
    if ratio < 1.0:
        # What is not measured is taken to be as busy as it should be: it does not shrink the fleet.
        total_milli += pods.missing * target_milli
    elif counts_pending:
        count += pods.pending
    again = total_milli / count / target_milli
    if tolerance.holds(again) or ratio < 1.0 < again or again < 1.0 < ratio:
        return current  # exactly on target is no direction, and may still turn into one
    proposal = _ceil(again * count)
    if (again < 1.0 and proposal > current) or (again > 1.0 and proposal < current):
        return current
    return proposal


def total_value(
    sum_milli: float | None,
    target_milli: float,
    current: int,
    ready: int,
    tolerance: Tolerance = USUAL,
) -> int | NoMetric:
    """Proposal for Object or External with a Value: multiplies the *ready* pods."""
    if sum_milli is None:
        return NoMetric("no metrics returned")
    ratio = sum_milli / target_milli
    if current == 0:
        return _ceil(ratio)
    return current if tolerance.holds(ratio) else _ceil(ratio * ready)


def total_average(
    sum_milli: float | None, target_milli: float, current: int, tolerance: Tolerance = USUAL
) -> int | NoMetric:
    """Proposal for Object or External with an AverageValue: readiness plays no part."""
    if sum_milli is None:
        return NoMetric("no metrics returned")
    if current > 0 and tolerance.holds(sum_milli / (target_milli * current)):
        return current
    return _ceil(sum_milli / target_milli)


def together(proposals: Sequence[int | NoMetric], current: int) -> int | NoMetric:
    """The largest proposal; with an error among them it may raise the size and never lower it.

    Where it would, the whole sync is an error: nothing is proposed that a window could remember.
    """
    sizes = [p for p in proposals if isinstance(p, int)]
    errors = [p for p in proposals if isinstance(p, NoMetric)]
    if not sizes:
        return errors[0] if errors else NoMetric("no metrics are configured")
    largest = max(sizes)
    return errors[0] if errors and largest < current else largest


def _ceil(value: float) -> int:
    return math.ceil(value)
