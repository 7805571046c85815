"""What goes into an engine and comes out: a request, its life inside, and one step of the batch.

Values and a record, no behaviour. ``engine`` writes them; ``virtual``, ``replica`` and ``ledger``
read them.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import Enum

from load_tests.emulator.kv_blocks import Lease


class DoesNotFit(ValueError):
    """A request that would not fit into an empty cache, so it could never finish."""


@dataclass(frozen=True, slots=True)
class EngineRequest:
    """What the engine needs of one request."""

    prompt_tokens: int
    output_tokens: int
    """Exactly how many it will generate, at least 1."""
    hashes: Sequence[int] = ()
    """Chained, >= 0, distinct: one per full unit of the prompt and, where known, of the output."""
    adapter: str | None = None


class Phase(Enum):
    WAITING = "waiting"
    PREFILL = "prefill"
    DECODE = "decode"
    DONE = "done"
    ABORTED = "aborted"


class Generation:
    """One request's life in the engine. Read it; only the engine writes it."""

    __slots__ = (
        "admitted_at",
        "arrived_at",
        "cached_tokens",
        "computed",
        "ends_in_step",
        "finished_at",
        "first_token_at",
        "joined_in_step",
        "lease",
        "phase",
        "preemptions",
        "request",
        "target",
        "tokens_before",
    )

    def __init__(self, request: EngineRequest, arrived_at: float) -> None:
        self.request = request
        self.arrived_at = arrived_at
        self.phase = Phase.WAITING
        self.admitted_at: float | None = None
        self.first_token_at: float | None = None
        self.finished_at: float | None = None
        self.preemptions = 0
        self.cached_tokens = 0  # prompt tokens found in the cache when first admitted
        self.lease: Lease | None = None
        self.computed = 0  # tokens with KV, while prefilling
        self.target = request.prompt_tokens  # tokens to prefill: after a preemption, output too
        self.tokens_before = 0  # generated before it joined the decodes
        self.joined_in_step = 0
        self.ends_in_step = 0

    @property
    def tpot(self) -> float | None:
        """Seconds per output token after the first; None unless finished with two or more."""
        if self.finished_at is None or self.first_token_at is None:
            return None
        after = self.request.output_tokens - 1
        return (self.finished_at - self.first_token_at) / after if after else None


@dataclass(slots=True)
class Step:
    """What one step does, all of it at ``ends_at``.

    Each of ``decoding`` and ``prefilled`` emits one token. ``finished`` are among them.
    """

    starts_at: float
    ends_at: float
    prefill_tokens: int
    decoding: Collection[Generation]
    """A live view: read it before the next step."""
    prefilled: Sequence[Generation] = ()
    """Prompt complete: the first token, or the next one after a preemption."""
    finished: Sequence[Generation] = ()
    admitted: Sequence[Generation] = ()
    preempted: Sequence[Generation] = ()

    @property
    def tokens(self) -> int:
        return len(self.decoding) + len(self.prefilled)
