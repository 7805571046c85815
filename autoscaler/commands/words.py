"""Words of a command line as values: seeds, tokens, knobs. Each says what it must be."""

from __future__ import annotations

import argparse
import math
from pathlib import Path

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


def new_file(text: str) -> Path:
    """Where a file can be written: told before the work is done, and not after it."""
    path = Path(text)
    if path.is_dir():
        raise argparse.ArgumentTypeError(f"{text} is a folder; name a file in it")
    if not path.parent.is_dir():
        raise argparse.ArgumentTypeError(f"{path.parent} is no folder; make it first")
    return path


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
