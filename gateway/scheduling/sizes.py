"""How large a request is, in estimated tokens: what producers found and the prompt's bytes say."""

from __future__ import annotations

import numpy as np

from gateway.request.model import Dialect, InferenceRequest
from gateway.scheduling.types import Candidates, PrefixMatch
from loadstar.arrays import Floats

BYTES_PER_TOKEN = 4
"""The reference's estimate where no tokenizer runs."""


def prompt_tokens(request: InferenceRequest) -> int:
    """Estimated tokens of the prompt, rounded up; a body that is not understood counts whole."""
    body = request.body
    if body is None or body.dialect is Dialect.OPAQUE:
        return -(-request.body_bytes // BYTES_PER_TOKEN)
    return -(-body.prompt_bytes // BYTES_PER_TOKEN)


def cached_tokens(match: PrefixMatch | None, candidates: Candidates) -> Floats:
    """Tokens of the prompt each candidate is believed to hold; 0 where nobody looked."""
    if match is None or match.total_blocks == 0:
        return np.zeros(len(candidates))
    held = match.matched_blocks[candidates.slots] * match.block_tokens
    return held.astype(np.float64)


def uncached_tokens(
    request: InferenceRequest, match: PrefixMatch | None, candidates: Candidates
) -> Floats:
    """Tokens of the prompt each candidate would have to compute."""
    total = float(prompt_tokens(request))
    uncached: Floats = np.maximum(total - cached_tokens(match, candidates), 0.0)
    return uncached
