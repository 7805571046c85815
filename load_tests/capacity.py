"""How much a fleet can serve: the workload's saturation throughput, found in virtual time. Pure.

100 % load is what the fleet completes per second when round robin has more than it can do: a
figure that owes nothing to a clever picker, so that below it every policy is stable. Called by
compare and demo, to choose a rate.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Sequence

import numpy as np

from load_tests.emulator.engine import Engine, EngineRequest
from load_tests.emulator.profiles import BLOCK_TOKENS, EngineProfile
from load_tests.emulator.virtual import FleetView, simulate
from load_tests.workload import Arrival

HASH_MASK = (1 << 62) - 1
ROUNDS = 3
"""Times the fleet must turn over before the middle of the run can be called steady."""
LEAST_REQUESTS = 1000


def requests_needed(profile: EngineProfile, servers: int, prompt_tokens: int) -> int:
    """Requests that ``saturation`` needs: enough to fill every server a few times."""
    fits = min(profile.max_sequences, profile.kv_tokens // max(1, prompt_tokens))
    return max(LEAST_REQUESTS, ROUNDS * servers * fits)


def saturation(arrivals: Sequence[Arrival], profile: EngineProfile, servers: int) -> float:
    """Requests per engine second that ``servers`` complete under round robin, all due at once.

    Counted over the middle 80 % of completions, so neither cold start nor the last stragglers
    weigh in. Deterministic.
    """
    fleet = [Engine(profile, rng=random.Random(index)) for index in range(servers)]
    turns = itertools.cycle(range(servers))

    def round_robin(request: EngineRequest, now: float, view: FleetView) -> int:
        return next(turns)

    served = simulate(((0.0, engine_request(a)) for a in arrivals), fleet, round_robin)
    ends = np.array([s.e2e_s for s in served])
    early, late = np.quantile(ends, [0.1, 0.9])
    return float(0.8 * len(ends) / (late - early)) if late > early else math.inf


def engine_request(arrival: Arrival) -> EngineRequest:
    """The arrival as the engine sees it: lengths, and chained hashes of its full blocks."""
    tokens = [
        (block.id, offset)
        for message in arrival.messages
        for block in message.blocks
        for offset in range(block.tokens)
    ]
    hashes, chain = [], 0
    for end in range(BLOCK_TOKENS, len(tokens) + 1, BLOCK_TOKENS):
        # First and last token name all between: blocks are numbered texts.
        chain = hash((chain, tokens[end - BLOCK_TOKENS], tokens[end - 1])) & HASH_MASK
        hashes.append(chain)
    return EngineRequest(len(tokens), arrival.output_tokens, hashes)
