"""How controllers begin: from their histories and what was seen lately. Pure.

The live loop begins each segment of the ledger this way, and so does the replay; that they use the
same function is why a replay gives the same bits. It is a restart, and costs what one costs:
nothing that the last twenty minutes do not tell again.
"""

from __future__ import annotations

import base64
import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from itertools import groupby

from autoscaler.ledger.entries import Start
from autoscaler.observe.history import MINUTE_S, History
from autoscaler.observe.observation import Observation
from autoscaler.policy.model import load_policy
from autoscaler.sizing.fleet import PlannerFleet

WARM_S = 1_200.0
"""Longer than the windows of a controller that look back: 15 minutes of scale-down."""
_ROW_BYTES = 12  # three 4-byte numbers a minute, as History writes them


def start(
    at_s: float, policy: str, histories: Mapping[str, History], lately: Sequence[Observation]
) -> Start:
    """The line from which all models can begin now.

    Histories end where ``lately`` begins: no minute is seen twice.
    """
    warm = tuple(seen for seen in lately if seen.now_s > at_s - WARM_S)
    documents = {name: history.to_document() for name, history in histories.items()}
    if warm:
        minute = math.ceil(warm[0].now_s / MINUTE_S)
        documents = {name: _until(each, minute) for name, each in documents.items()}
        warm = tuple(seen for seen in warm if math.ceil(seen.now_s / MINUTE_S) > minute)
    return Start(at_s=at_s, policy=policy, histories=documents, warm=warm)


def begun(line: Start) -> PlannerFleet:
    """The controllers that ``line`` describes, warm."""
    policy = load_policy(line.policy)
    histories = {name: History.of_document(each) for name, each in line.histories.items()}
    fleet = PlannerFleet.of(policy, histories=histories)
    for seen in together(line.warm):
        known = {name: each for name, each in seen.items() if name in fleet.planners}
        if known:
            fleet.decide(known)
    return fleet


def together(seen: Iterable[Observation]) -> Iterator[dict[str, Observation]]:
    """Observations of one tick, by model, tick after tick."""
    for _, group in groupby(seen, key=lambda each: each.now_s):
        yield {each.model: each for each in group}


def _until(document: dict[str, object], minute: int) -> dict[str, object]:
    """``document`` without the minutes from ``minute`` on."""
    first, minutes = int(str(document["firstMinute"])), int(str(document["minutes"]))
    kept = min(max(minute - first, 0), minutes)
    rows = base64.b64decode(str(document["rows"]))[: kept * _ROW_BYTES]
    packed = base64.b64encode(rows).decode("ascii")
    return {**document, "minutes": kept, "rows": packed}
