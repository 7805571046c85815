"""Workloads: who asks what, and how much of it others have asked before. Pure and seeded.

A workload is a list of ``Arrival``; a prompt is a list of numbered blocks, and equal numbers are
equal text, so that what two prompts share is shared byte for byte. Called by compare, demo, drive.
"""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Protocol

import orjson

from load_tests.arrival_times import Times, gamma, poisson, within

BYTES_PER_TOKEN = 4
"""What the emulated servers and the gateway's estimate both count as one token."""


@dataclass(frozen=True, slots=True)
class Block:
    """A piece of text named by number: equal (id, tokens), equal bytes."""

    id: int
    tokens: int


@dataclass(frozen=True, slots=True)
class Message:
    role: str
    """``system``, ``user`` or ``assistant``; empty in a plain completion."""
    blocks: tuple[Block, ...]


@dataclass(frozen=True, slots=True)
class Arrival:
    """One request of a workload; ``body`` makes its bytes."""

    at_s: float
    messages: tuple[Message, ...]
    output_tokens: int
    group: int
    """Whose prefix it shares; -1 shares with nobody."""
    warmup: bool = False
    """Sent, but not counted in results."""

    @property
    def prompt_tokens(self) -> int:
        return sum(block.tokens for message in self.messages for block in message.blocks)

    @property
    def path(self) -> str:
        return "/v1/chat/completions" if self.messages[0].role else "/v1/completions"


def body(arrival: Arrival, model: str) -> bytes:
    """The request as JSON: streamed, usage in the last chunk, exactly the output length asked."""
    fields = {
        "model": model,
        "max_tokens": arrival.output_tokens,
        "ignore_eos": True,
        "temperature": 0,
        "stream": True,
        "stream_options": {"include_usage": True},
    }
    if arrival.path == "/v1/completions":
        return orjson.dumps(fields | {"prompt": _text(arrival.messages[0].blocks)})
    messages = [{"role": m.role, "content": _text(m.blocks)} for m in arrival.messages]
    return orjson.dumps(fields | {"messages": messages})


def _text(blocks: tuple[Block, ...]) -> str:
    return "".join(text(block) for block in blocks)


# Words of three and seven letters and a space: each a whole number of tokens.
VOCABULARY = (
    "the ask cat map sun key log fix row set run box day eye arm sea ice oak red fly "
    "gateway routing tensors kernels caching prefill decodes batched weights serving "
    "latency cluster queuing replica predict balance picking sampled quantum forward"
)
WORDS = tuple(f"{word} " for word in VOCABULARY.split())
CACHED_TEXTS = 2048


@lru_cache(maxsize=CACHED_TEXTS)
def text(block: Block) -> str:
    """``4 * tokens`` characters of words that only this block begins with."""
    length = block.tokens * BYTES_PER_TOKEN
    # The number comes first, so that no two blocks share even a short prefix by chance.
    head = f"{block.id:x}."
    words = random.Random(block.id).choices(WORDS, k=length // 4 + 1)
    return (head + "".join(words))[:length]


class Shape(Protocol):
    """What prompts look like, given when they come."""

    def arrivals(self, times: Sequence[float], rng: random.Random) -> list[Arrival]: ...

    def warmup(self, times: Times, rng: random.Random) -> list[Arrival]:
        """Requests that bring the caches to where a long run would have them, marked as such."""
        ...


def zipf(n: int, exponent: float) -> Callable[[random.Random], int]:
    """Draws 0..n-1, the first most often; exponent 0 draws all alike."""
    cumulative = list(itertools.accumulate((k + 1) ** -exponent for k in range(n)))
    numbers = range(n)
    return lambda rng: rng.choices(numbers, cum_weights=cumulative)[0]


def spread(mean: int, cv: float, rng: random.Random) -> int:
    """A lognormal length with this mean and coefficient of variation, at least 1."""
    if cv == 0:
        return mean
    sigma2 = math.log(1 + cv**2)
    drawn = rng.lognormvariate(math.log(mean) - sigma2 / 2, math.sqrt(sigma2))
    return max(1, round(drawn))


@dataclass(frozen=True, slots=True)
class SharedPrefix:
    """Many questions on few long prefixes: the shape of llm-d's shared-prefix benchmark."""

    groups: int = 80
    prefix_tokens: int = 4000
    question_tokens: int = 200
    output_tokens: int = 40
    popularity: float = 0.0
    """Zipf exponent of the groups; 0 asks all equally often."""
    length_cv: float = 0.3
    """Of questions and outputs; prefixes are all of one length."""

    def arrivals(self, times: Sequence[float], rng: random.Random) -> list[Arrival]:
        draw = zipf(self.groups, self.popularity)
        return [self._one(at, draw(rng), rng) for at in times]

    def warmup(self, times: Times, rng: random.Random) -> list[Arrival]:
        """One request per group in random order: every prefix has been seen once after it."""
        order = rng.sample(range(self.groups), self.groups)
        return [
            replace(self._one(at, group, rng), warmup=True)
            for at, group in zip(times, order, strict=False)
        ]

    def _one(self, at: float, group: int, rng: random.Random) -> Arrival:
        prefix = Block(group, self.prefix_tokens)
        question = Block(_unique(rng), spread(self.question_tokens, self.length_cv, rng))
        output = spread(self.output_tokens, self.length_cv, rng)
        return Arrival(at, (Message("", (prefix, question)),), output, group)


@dataclass(frozen=True, slots=True)
class Conversation:
    """Chats of several turns under shared system prompts; each turn repeats all before it."""

    systems: int = 12
    system_tokens: int = 1200
    popularity: float = 0.8
    mean_turns: float = 5.0
    think_s: float = 6.0
    """At least this long between two turns of one chat."""
    user_tokens: int = 80
    output_tokens: int = 48
    length_cv: float = 0.4

    def arrivals(self, times: Sequence[float], rng: random.Random) -> list[Arrival]:
        """At each time the chat that has waited longest goes on, or a new one begins."""
        draw = zipf(self.systems, self.popularity)
        waiting: list[tuple[float, int, tuple[Message, ...]]] = []
        made: list[Arrival] = []
        for at in times:
            goes_on = rng.random() < 1 - 1 / self.mean_turns
            if goes_on and waiting and waiting[0][0] <= at:
                _, group, before = waiting.pop(0)
            else:
                group = draw(rng)
                before = (Message("system", (Block(group, self.system_tokens),)),)
            messages = (*before, self._said("user", self.user_tokens, rng))
            output = spread(self.output_tokens, self.length_cv, rng)
            made.append(Arrival(at, messages, output, group))
            reply = Message("assistant", (Block(_unique(rng), output),))
            # Times ascend, so the list stays ordered by when the next turn may come.
            waiting.append((at + self.think_s, group, (*messages, reply)))
        return made

    def warmup(self, times: Times, rng: random.Random) -> list[Arrival]:
        """The first turn of one chat per system prompt."""
        order = rng.sample(range(self.systems), self.systems)
        made = []
        for at, group in zip(times, order, strict=False):
            system = Message("system", (Block(group, self.system_tokens),))
            said = self._said("user", self.user_tokens, rng)
            made.append(Arrival(at, (system, said), self.output_tokens, group, warmup=True))
        return made

    def _said(self, role: str, tokens: int, rng: random.Random) -> Message:
        return Message(role, (Block(_unique(rng), spread(tokens, self.length_cv, rng)),))


@dataclass(frozen=True, slots=True)
class PrefixFree:
    """Prompts that share nothing: where cache affinity can only hurt."""

    prompt_tokens: int = 1155
    output_tokens: int = 60
    length_cv: float = 0.8

    def arrivals(self, times: Sequence[float], rng: random.Random) -> list[Arrival]:
        made = []
        for at in times:
            prompt = Block(_unique(rng), spread(self.prompt_tokens, self.length_cv, rng))
            output = spread(self.output_tokens, self.length_cv, rng)
            made.append(Arrival(at, (Message("", (prompt,)),), output, group=-1))
        return made

    def warmup(self, times: Times, rng: random.Random) -> list[Arrival]:
        """Nothing: no request leaves anything for the next."""
        return []


SETTLE_S = 2.0
"""Between warm-up and what is counted."""


def warmed(
    shape: Shape, rate: float, seconds: float, rng: random.Random, *, cv: float = 1.0
) -> list[Arrival]:
    """A warm-up at half the rate, a pause, then ``seconds`` of arrivals at ``rate``.

    ``cv`` is the arrivals' coefficient of variation.
    """
    before = shape.warmup(poisson(rate / 2, rng), rng)
    began = before[-1].at_s + SETTLE_S if before else 0.0
    counted = shape.arrivals(within(gamma(rate, cv, rng), seconds), rng)
    return [*before, *(replace(a, at_s=a.at_s + began) for a in counted)]


def _unique(rng: random.Random) -> int:
    """A block number that no group and no other draw has (63 bits of chance)."""
    return 1 << 63 | rng.getrandbits(63)
