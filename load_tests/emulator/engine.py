"""A vLLM-v1 engine as a discrete-event machine: requests in, steps out, in virtual seconds.

Pure: ``now`` and ``rng`` are arguments, the caller says when a step is over by asking for the
next. Work per step does not grow with the batch: decoding sequences are kept as sums and buckets,
and looked at only when one starts, needs a block, or ends. Driven by ``virtual`` and ``replica``.
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass, field

from load_tests.emulator.adapters import AdapterSlots
from load_tests.emulator.generation import (
    DoesNotFit,
    EngineRequest,
    Generation,
    Phase,
    Step,
)
from load_tests.emulator.kv_blocks import KvBlocks
from load_tests.emulator.profiles import BLOCK_TOKENS, EngineProfile

__all__ = ["STEP_NOISE", "DoesNotFit", "Engine", "EngineRequest", "Generation", "Phase", "Step"]

STEP_NOISE = 0.07
"""Standard deviation of the logarithm of a step's time: real steps scatter by 5 to 10 %."""


@dataclass(slots=True)
class _Plan:
    """A step in the making."""

    budget: int
    prefill_tokens: int = 0
    attention_pairs: float = 0.0
    loading_s: float = 0.0
    chunked: list[Generation] = field(default_factory=list)
    admitted: list[Generation] = field(default_factory=list)


class Engine:
    """Continuous batching with chunked prefill, prefix cache and preemption by recomputation."""

    def __init__(
        self,
        profile: EngineProfile,
        *,
        rng: random.Random,
        noise: float = STEP_NOISE,
        unit_blocks: int = 1,
        adapters: AdapterSlots | None = None,
    ) -> None:
        self.profile = profile
        self.adapters = adapters
        self.slowness = 1.0  # every step takes this many times as long
        self.preemptions = 0
        self.prefix_queries = 0  # tokens looked up in the prefix cache
        self.prefix_hits = 0  # tokens found there
        self._rng = rng
        self._noise = noise
        self._unit_tokens = unit_blocks * BLOCK_TOKENS
        self.kv = KvBlocks(profile.kv_blocks, unit_blocks)
        self._deferred = 0
        self._waiting: deque[Generation] = deque()
        self._prefilling: deque[Generation] = deque()
        self._decoding: dict[Generation, None] = {}
        self._context = 0  # sum of the decoding sequences' contexts
        self._index = 0  # of the current step
        self._growing: list[dict[Generation, None]] = [{} for _ in range(BLOCK_TOKENS)]
        self._ending: dict[int, list[Generation]] = {}
        self._chunked: list[Generation] = []
        self._finished: Sequence[Generation] = ()

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    @property
    def running(self) -> int:
        return len(self._decoding) + len(self._prefilling)

    @property
    def deferred(self) -> int:
        """Of the waiting, how many were passed over for want of an adapter slot."""
        return min(self._deferred, len(self._waiting))

    @property
    def waiting_adapters(self) -> list[str]:
        """Adapters that waiting requests ask for, each once, in order."""
        return list(dict.fromkeys(g.request.adapter for g in self._waiting if g.request.adapter))

    @property
    def kv_used(self) -> float:
        """Share of the blocks that requests hold, 0..1; idle cached blocks do not count."""
        return self.kv.used / self.kv.total

    def submit(self, request: EngineRequest, now: float) -> Generation:
        """Put ``request`` at the end of the queue. Raises DoesNotFit, ValueError."""
        if request.prompt_tokens < 1 or request.output_tokens < 1:
            raise ValueError("a request has at least one prompt token and one output token")
        if _blocks(request.prompt_tokens + request.output_tokens) > self.kv.total:
            raise DoesNotFit(
                f"{request.prompt_tokens} + {request.output_tokens} tokens are more than the "
                f"{self.kv.total * BLOCK_TOKENS} that the KV cache holds"
            )
        generation = Generation(request, now)
        self._waiting.append(generation)
        return generation

    def abort(self, generation: Generation) -> None:
        """Forget ``generation`` and give back what it holds; nothing if it is over."""
        match generation.phase:
            case Phase.WAITING:
                self._waiting.remove(generation)
            case Phase.PREFILL:
                self._prefilling.remove(generation)
                self._release(generation)
            case Phase.DECODE:
                self._leave_decoding(generation)
                self._release(generation)
            case Phase.DONE | Phase.ABORTED:
                return
        generation.phase = Phase.ABORTED

    def step(self, now: float) -> Step | None:
        """End the step before and plan the next from ``now``; None if there is nothing to do."""
        self._settle()
        if not (self._decoding or self._prefilling or self._waiting):
            return None
        self._index += 1
        preempted = self._grow()
        decodes = len(self._decoding)
        self._context += decodes
        plan = _Plan(self.profile.max_batched_tokens - decodes)
        for generation in self._prefilling:
            if not plan.budget:
                break
            self._chunk(generation, plan)
        # After a preemption nobody new comes in: the blocks that came back are spoken for.
        if self._waiting and not preempted:
            self._admit(plan, now)
        seconds = self.profile.step_seconds(
            plan.prefill_tokens, decodes, self._context, plan.attention_pairs
        )
        if self._noise:
            seconds *= self._rng.lognormvariate(0.0, self._noise)
        ends_at = now + seconds * self.slowness + plan.loading_s
        step = Step(now, ends_at, plan.prefill_tokens, self._decoding.keys())
        step.preempted = preempted
        step.admitted = plan.admitted
        self._emit(step, plan)
        return step

    def _emit(self, step: Step, plan: _Plan) -> None:
        index, ends_at = self._index, step.ends_at
        self._chunked = plan.chunked
        if plan.chunked:
            step.prefilled = prefilled = [g for g in plan.chunked if g.computed == g.target]
            for generation in prefilled:
                generation.tokens_before += 1
                generation.ends_in_step = (
                    index + generation.request.output_tokens - generation.tokens_before
                )
                self._ending.setdefault(generation.ends_in_step, []).append(generation)
                if generation.first_token_at is None:
                    generation.first_token_at = ends_at
        due = self._ending.pop(index, None)
        if due is not None:
            # Those that were preempted or aborted since have another end, or none.
            step.finished = [
                g
                for g in due
                if g.ends_in_step == index and g.phase in (Phase.DECODE, Phase.PREFILL)
            ]
            for generation in step.finished:
                generation.finished_at = ends_at
        self._finished = step.finished

    def _settle(self) -> None:
        """The step that was planned last is over: what it computed is there, who is done leaves."""
        for generation in self._chunked:
            if generation.phase is not Phase.PREFILL:
                continue
            if generation.lease is not None:
                self.kv.commit(
                    generation.lease,
                    generation.request.hashes,
                    generation.computed // self._unit_tokens,
                )
            if generation.computed == generation.target:
                # Prompts complete in the order of admission, so it is the first.
                self._prefilling.popleft()
                self._join_decoding(generation)
        self._chunked = []
        for generation in self._finished:
            if generation.phase is Phase.DECODE:
                self._remember(generation, self._index)
                self._leave_decoding(generation)
                self._release(generation)
                generation.phase = Phase.DONE
        self._finished = ()

    def _grow(self) -> list[Generation]:
        """Give a block to each decoding sequence whose last one is full; who had to make room."""
        preempted: list[Generation] = []
        growing = list(self._growing[self._index % BLOCK_TOKENS])
        for generation in growing:
            self._remember(generation, self._index - 1)
        for generation in growing:
            lease = generation.lease
            if lease is None:
                continue  # preempted by one before it in this very loop
            while not self.kv.extend(lease):
                last = self._last_admitted()
                self._preempt(last)
                preempted.append(last)
                if last is generation:
                    break
        return preempted

    def _remember(self, generation: Generation, index: int) -> None:
        """What it had generated by the end of step ``index`` can be hit, if its hash is known."""
        lease, hashes = generation.lease, generation.request.hashes
        if lease is not None and lease.committed < len(hashes):
            context = self._context_of(generation, index)
            self.kv.commit(lease, hashes, context // self._unit_tokens)

    def _last_admitted(self) -> Generation:
        return self._prefilling[-1] if self._prefilling else next(reversed(self._decoding))

    def _preempt(self, generation: Generation) -> None:
        if generation.phase is Phase.DECODE:
            generation.tokens_before += self._index - 1 - generation.joined_in_step
            self._leave_decoding(generation, self._index - 1)
        else:
            self._prefilling.pop()
        self._release(generation)
        generation.phase = Phase.WAITING
        generation.target = generation.request.prompt_tokens + generation.tokens_before
        generation.computed = 0
        generation.ends_in_step = 0
        generation.preemptions += 1
        self.preemptions += 1
        self._waiting.appendleft(generation)

    def _admit(self, plan: _Plan, now: float) -> None:
        """First come, first served; only a request without an adapter slot is passed over."""
        passed_over: list[Generation] = []
        while self._waiting and plan.budget and self.running < self.profile.max_sequences:
            generation = self._waiting[0]
            adapter = generation.request.adapter
            if adapter and self.adapters is not None and not self.adapters.fits(adapter):
                passed_over.append(self._waiting.popleft())
                continue
            if not self._hold_prompt(generation):
                break
            self._waiting.popleft()
            if adapter and self.adapters is not None:
                plan.loading_s += self.adapters.acquire(adapter)
            generation.phase = Phase.PREFILL
            if generation.admitted_at is None:
                generation.admitted_at = now
            self._prefilling.append(generation)
            plan.admitted.append(generation)
            self._chunk(generation, plan)
        self._deferred = len(passed_over)
        self._waiting.extendleft(reversed(passed_over))

    def _hold_prompt(self, generation: Generation) -> bool:
        """All the prompt's blocks or none."""
        hashes, target = generation.request.hashes, generation.target
        # At least one token is computed, else there is nothing to sample from.
        hits = self.kv.match(hashes, (target - 1) // self._unit_tokens)
        lease = self.kv.admit(hashes, hits, _blocks(target))
        if lease is None:
            return False
        generation.lease = lease
        generation.computed = hits * self._unit_tokens
        if generation.admitted_at is None:
            generation.cached_tokens = generation.computed
            self.prefix_queries += target
            self.prefix_hits += generation.computed
        return True

    def _chunk(self, generation: Generation, plan: _Plan) -> None:
        chunk = min(generation.target - generation.computed, plan.budget)
        plan.attention_pairs += chunk * (generation.computed + chunk / 2)
        plan.prefill_tokens += chunk
        plan.budget -= chunk
        generation.computed += chunk
        plan.chunked.append(generation)

    def _context_of(self, generation: Generation, index: int) -> int:
        return generation.target + index - generation.joined_in_step

    def _growth_bucket(self, generation: Generation) -> dict[Generation, None]:
        # In step ``joined + k`` it writes token ``target + k - 1``: a new block if that is a
        # multiple of the block's size.
        return self._growing[(generation.joined_in_step + 1 - generation.target) % BLOCK_TOKENS]

    def _join_decoding(self, generation: Generation) -> None:
        generation.phase = Phase.DECODE
        generation.joined_in_step = self._index
        self._decoding[generation] = None
        self._context += generation.target
        self._growth_bucket(generation)[generation] = None

    def _leave_decoding(self, generation: Generation, index: int | None = None) -> None:
        """``index`` is the last step that counted it into the context; None is the current."""
        last = self._index if index is None else index
        del self._decoding[generation]
        self._context -= self._context_of(generation, last)
        del self._growth_bucket(generation)[generation]

    def _release(self, generation: Generation) -> None:
        if generation.lease is not None:
            self.kv.release(generation.lease)
            generation.lease = None
            adapter = generation.request.adapter
            if adapter and self.adapters is not None:
                self.adapters.release(adapter)


def _blocks(tokens: int) -> int:
    return -(-tokens // BLOCK_TOKENS)
