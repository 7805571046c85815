"""How a model's controller begins: from its history and what was seen lately. Pure.

The live loop begins each segment of the ledger this way, and so does the replay; that they use the
same function is why a replay gives the same bits. It is a restart, and costs what one costs:
nothing that the last twenty minutes do not tell again.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Sequence

from autoscaler.ledger.entries import Start
from autoscaler.observe.history import MINUTE_S, History
from autoscaler.observe.observation import Observation
from autoscaler.policy.model import load_policy
from autoscaler.sizing.decision import Controller
from autoscaler.sizing.planner import Planner

WARM_S = 1_200.0
"""Longer than the windows of a controller that look back: 15 minutes of scale-down."""
_ROW_BYTES = 12  # three 4-byte numbers a minute, as History writes them


def start(
    at_s: float, model: str, policy: str, history: History, lately: Sequence[Observation]
) -> Start:
    """The line from which ``model`` can begin now.

    The history ends where ``lately`` begins: no minute is seen twice.
    """
    warm = tuple(seen for seen in lately if seen.now_s > at_s - WARM_S)
    document = history.to_document()
    if warm:
        document = _until(document, math.ceil(warm[0].now_s / MINUTE_S))
        first = int(str(document["firstMinute"])) + int(str(document["minutes"]))
        warm = tuple(seen for seen in warm if math.ceil(seen.now_s / MINUTE_S) - 1 >= first)
    return Start(at_s=at_s, model=model, policy=policy, history=document, warm=warm)


def begun(line: Start) -> Controller:
    """The controller that ``line`` describes, warm."""
    history = History.of_document(line.history)
    planner = Planner.of(load_policy(line.policy), line.model, history=history)
    for seen in line.warm:
        planner.decide(seen)
    return planner


def _until(document: dict[str, object], minute: int) -> dict[str, object]:
    """``document`` without the minutes from ``minute`` on."""
    first, minutes = int(str(document["firstMinute"])), int(str(document["minutes"]))
    kept = min(max(minute - first, 0), minutes)
    rows = base64.b64decode(str(document["rows"]))[: kept * _ROW_BYTES]
    packed = base64.b64encode(rows).decode("ascii")
    return {**document, "minutes": kept, "rows": packed}
