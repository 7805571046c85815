"""Words of a command line as values: seeds, tokens, knobs. Each says what it must be."""

from __future__ import annotations

import argparse
import math

from autoscaler.simulate.catalog import CONTROLLERS, OURS


def seed(text: str) -> int:
    """A whole number of 0 or more."""
    try:
        value = int(text)
    except ValueError:
        value = -1
    if value < 0:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number of 0 or more")
    return value


def positive(text: str) -> float:
    """A finite number above 0."""
    try:
        value = float(text)
    except ValueError:
        value = math.nan
    if not 0 < value < math.inf:
        raise argparse.ArgumentTypeError(f"{text!r} is not a number above 0")
    return value


def knob_problem(controller: str, knob: float | None) -> str:
    """Why ``controller`` cannot run with ``knob``; empty where it can."""
    if knob is None:
        return ""
    if controller == OURS:
        return f"--knob: {OURS} has none; its knobs are the policy's"
    lowest = CONTROLLERS[controller].above
    if not lowest < knob < math.inf:
        return f"--knob: {controller} needs a number above {lowest:g}, not {knob:g}"
    return ""
