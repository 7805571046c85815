"""The engine's rules written the slow and obvious way, to hold the fast engine against.

Every block is an object in a queue, every token of every sequence is counted one by one. Nothing
is shared with the engine under test but the step-time formula.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from load_tests.emulator.engine import EngineRequest
from load_tests.emulator.profiles import BLOCK_TOKENS, EngineProfile


@dataclass(eq=False)
class Block:
    hash: int | None = None
    users: int = 0


@dataclass(eq=False)
class Sequence:
    name: int
    request: EngineRequest
    blocks: list[Block] = field(default_factory=list)
    computed: int = 0
    committed: int = 0
    generated: int = 0
    generated_at_admission: int = 0
    cached: int | None = None
    prefilling: bool = True

    @property
    def target(self) -> int:
        """Tokens to compute before the next one can be sampled."""
        return self.request.prompt_tokens + self.generated_at_admission


@dataclass
class NaiveStep:
    starts_at: float
    ends_at: float
    prefill_tokens: int
    decoding: set[int]
    prefilled: list[int]
    finished: list[int]
    admitted: list[int]
    preempted: list[int]


class NaiveEngine:
    def __init__(self, profile: EngineProfile) -> None:
        self.profile = profile
        self.queue = [Block() for _ in range(profile.kv_blocks)]  # taken from the head
        self.by_hash: dict[int, Block] = {}
        self.waiting: list[Sequence] = []
        self.running: list[Sequence] = []
        self.hits = 0
        self._done: list[Sequence] = []
        self._to_commit: list[Sequence] = []

    @property
    def used(self) -> int:
        return self.profile.kv_blocks - len(self.queue)

    def submit(self, name: int, request: EngineRequest) -> None:
        self.waiting.append(Sequence(name, request))

    def abort(self, name: int) -> None:
        self.waiting = [s for s in self.waiting if s.name != name]
        for sequence in [s for s in self.running if s.name == name]:
            self._give_back(sequence)
            self.running.remove(sequence)
        self._done = [s for s in self._done if s.name != name]
        self._to_commit = [s for s in self._to_commit if s.name != name]

    def step(self, now: float) -> NaiveStep | None:
        self._settle()
        if not self.running and not self.waiting:
            return None
        preempted: list[Sequence] = []
        decoding: list[Sequence] = []
        for sequence in list(self.running):
            if sequence.prefilling or sequence not in self.running:
                continue
            full = sequence.computed == len(sequence.blocks) * BLOCK_TOKENS
            while full and not self.queue:
                victim = self.running.pop()
                self._preempt(victim)
                preempted.append(victim)
                if victim is sequence:
                    break
            if sequence not in self.running:
                continue
            if full:
                sequence.blocks.append(self._take())
            decoding.append(sequence)
        decoding = [s for s in decoding if s in self.running]
        for sequence in decoding:
            sequence.computed += 1
            sequence.generated += 1
        budget = self.profile.max_batched_tokens - len(decoding)
        tokens, pairs = 0, 0.0
        admitted: list[Sequence] = []
        prefilled: list[Sequence] = []
        candidates = [s for s in self.running if s.prefilling]
        while budget:
            if candidates:
                sequence = candidates.pop(0)
            elif self.waiting and not preempted and self._admit():
                sequence = self.running[-1]
                admitted.append(sequence)
            else:
                break
            chunk = min(budget, sequence.target - sequence.computed)
            pairs += chunk * (sequence.computed + chunk / 2)
            sequence.computed += chunk
            tokens += chunk
            budget -= chunk
            self._to_commit.append(sequence)
            if sequence.computed == sequence.target:
                prefilled.append(sequence)
                sequence.generated += 1
        ends_at = now + self.profile.step_seconds(
            tokens, len(decoding), sum(s.computed for s in decoding), pairs
        )
        self._to_commit += decoding
        self._done = [s for s in decoding + prefilled if s.generated == s.request.output_tokens]
        return NaiveStep(
            now,
            ends_at,
            tokens,
            {s.name for s in decoding},
            [s.name for s in prefilled],
            sorted(s.name for s in self._done),
            [s.name for s in admitted],
            [s.name for s in preempted],
        )

    def _settle(self) -> None:
        for sequence in self._to_commit:
            self._commit(sequence)
            if sequence.computed >= sequence.target:
                sequence.prefilling = False
        self._to_commit = []
        for sequence in self._done:
            self._give_back(sequence)
            self.running.remove(sequence)
        self._done = []

    def _commit(self, sequence: Sequence) -> None:
        """A full block with a known hash can be hit from now on, unless there is one like it."""
        full = sequence.computed // BLOCK_TOKENS
        for index in range(sequence.committed, min(full, len(sequence.request.hashes))):
            wanted = sequence.request.hashes[index]
            if wanted not in self.by_hash:
                sequence.blocks[index].hash = wanted
                self.by_hash[wanted] = sequence.blocks[index]
            sequence.committed = index + 1

    def _admit(self) -> bool:
        if len(self.running) == self.profile.max_sequences:
            return False
        sequence = self.waiting[0]
        sequence.generated_at_admission = sequence.generated
        hit: list[Block] = []
        for wanted in sequence.request.hashes:
            enough = (len(hit) + 1) * BLOCK_TOKENS < sequence.target
            if not enough or wanted not in self.by_hash:
                break
            hit.append(self.by_hash[wanted])
        missing = -(-sequence.target // BLOCK_TOKENS) - len(hit)
        if missing > len([b for b in self.queue if b not in hit]):
            return False
        for block in hit:
            if block in self.queue:
                self.queue.remove(block)
            block.users += 1
        sequence.blocks = hit + [self._take() for _ in range(missing)]
        sequence.computed = len(hit) * BLOCK_TOKENS
        sequence.committed = len(hit)
        sequence.prefilling = True
        if sequence.cached is None:
            sequence.cached = sequence.computed
            self.hits += sequence.computed
        self.running.append(self.waiting.pop(0))
        return True

    def _take(self) -> Block:
        block = self.queue.pop(0)
        if block.hash is not None:
            del self.by_hash[block.hash]
            block.hash = None
        block.users = 1
        return block

    def _preempt(self, sequence: Sequence) -> None:
        self._give_back(sequence)
        self.waiting.insert(0, sequence)

    def _give_back(self, sequence: Sequence) -> None:
        unknown = [b for b in sequence.blocks if b.hash is None]
        known = [b for b in sequence.blocks if b.hash is not None]
        for block in unknown + known[::-1]:
            block.users -= 1
            if not block.users:
                self.queue.append(block)
        sequence.blocks = []
