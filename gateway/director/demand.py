"""How many tokens a request is expected to cost an endpoint, from what is known at pick time.

The prompt's tokens are estimated from its bytes (``scheduling.sizes``), less what the endpoint is
believed to hold, as in the reference's ``inflight-load-producer``. Output tokens are what the same
model has lately answered with, where the reference takes 1.5 times the prompt. Called by the
director; pure but for memory.
"""

from __future__ import annotations

from collections import OrderedDict
from typing import NamedTuple

from gateway.request.model import Dialect, InferenceRequest
from gateway.scheduling.sizes import prompt_tokens
from gateway.scheduling.types import PrefixMatch

OUTPUT_PRIOR = 200.0
"""Tokens; means of the public conversation traces lie between 150 (Mooncake synthetic) and 340
(Mooncake conversation), Azure 2023's at 211."""

OUTPUT_MEMORY = 32
"""Answers an average remembers: enough to smooth a heavy tail, few enough to follow a shift."""

MAX_MODELS = 1024
"""Models (adapters included) with an average of their own; the least recently seen is dropped."""


class Demand(NamedTuple):
    """Estimated tokens one request costs one endpoint."""

    tokens: int
    """Uncached prompt plus expected output: what it adds to an endpoint until it ends.

    Cached tokens are left out because requests share them: with the whole prompt counted, the home
    of a hot prefix looks full. In virtual time (8 L4, 20 prefixes of 6,000 tokens, 90 % load, the
    default policy) that cost a fifth of the cache hits and ten times the p99 TTFT.
    """
    prefill_tokens: int
    """Uncached prompt: what must be computed before the first token."""


def cached_tokens(prefix: PrefixMatch | None, slot: int) -> int:
    """Prompt tokens the endpoint in ``slot`` is believed to hold; 0 where nobody looked."""
    if prefix is None or slot >= len(prefix.matched_blocks):
        return 0
    return int(prefix.matched_blocks[slot]) * prefix.block_tokens


def demand(
    request: InferenceRequest, prefix: PrefixMatch | None, slot: int, expected_output: int
) -> Demand:
    """What ``request`` costs the endpoint in ``slot``.

    ``expected_output`` is capped by the request's own limit. Embeddings and requests without a
    prompt (a GET) produce no tokens.
    """
    prompt = prompt_tokens(request)
    uncached = max(prompt - cached_tokens(prefix, slot), 0)
    output = expected_output if prompt else 0
    if request.body is not None:
        if request.body.dialect is Dialect.EMBEDDINGS:
            output = 0
        elif request.body.max_output_tokens is not None:
            output = min(output, max(request.body.max_output_tokens, 0))
    return Demand(uncached + output, uncached)


class OutputLengths:
    """Mean length of each model's recent answers, in tokens.

    An average over the first ``OUTPUT_MEMORY`` answers (the prior counts as one), exponentially
    weighted after them. Bounded to ``max_models``.
    """

    def __init__(self, max_models: int = MAX_MODELS) -> None:
        self._max_models = max_models
        self._means: OrderedDict[str, tuple[float, int]] = OrderedDict()

    def __len__(self) -> int:
        return len(self._means)

    def expected(self, model: str) -> int:
        """Output tokens to expect of ``model``; the prior for one never heard of."""
        return round(self._means.get(model, (OUTPUT_PRIOR, 1))[0])

    def observe(self, model: str, output_tokens: int) -> None:
        """``model`` has completed an answer of ``output_tokens``."""
        mean, seen = self._means.get(model, (OUTPUT_PRIOR, 1))
        seen = min(seen + 1, OUTPUT_MEMORY)
        self._means[model] = (mean + (max(output_tokens, 0) - mean) / seen, seen)
        self._means.move_to_end(model)
        if len(self._means) > self._max_models:
            self._means.popitem(last=False)
