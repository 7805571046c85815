"""A fuzzer of the wire transport's connection: ``python -m load_tests.fuzz_wire --seconds 600``.

Mutates recorded conversations, plays them to a ``Connection`` as a host would, and checks after
every read what must always hold. An input that makes the connection behave in a new way joins the
corpus (``--corpus``), which a fast test replays. One process; stops by itself, or at a finding.
"""

from __future__ import annotations

import argparse
import random
import sys
from collections.abc import Sequence
from hashlib import sha256
from pathlib import Path

from load_tests import words
from load_tests.fuzz_wire.inputs import conversations, mutated
from load_tests.fuzz_wire.play import Finding, Signature, play
from loadstar.clock import SystemClock

MAX_CORPUS_BYTES = 190_000
MAX_KEPT_BYTES = 3_000  # of one input: the corpus shall hold many ways, not long ones


def read_corpus(folder: Path) -> list[bytes]:
    """The inputs kept in ``folder``, in the order of their names."""
    return [path.read_bytes() for path in sorted(folder.glob("*.bin"))]


def fuzz(seconds: float, corpus: Path | None, seed: int) -> int:
    """Mutate and play for ``seconds``; how many inputs were played.

    Raises Finding with the input in it, as hex.
    """
    clock, chance = SystemClock(), random.Random(seed)
    inputs = conversations() + (read_corpus(corpus) if corpus is not None else [])
    seen: set[str] = set()
    for data in inputs:
        seen |= _played(data)
    kept = sum(map(len, inputs))
    until, played = clock.now() + seconds, 0
    while clock.now() < until:
        data = mutated(chance.choice(inputs), inputs, chance)
        did = _played(data)
        played += 1
        if did <= seen or len(data) > MAX_KEPT_BYTES or kept + len(data) > MAX_CORPUS_BYTES:
            continue
        seen |= did
        kept += len(data)
        inputs.append(data)
        if corpus is not None:
            (corpus / f"{sha256(data).hexdigest()[:16]}.bin").write_bytes(data)
    print(f"{played} inputs, {len(inputs)} kept, {len(seen)} behaviours, no finding")
    return played


def _played(data: bytes) -> Signature:
    try:
        return play(data)
    except Exception as error:
        raise Finding(f"{type(error).__name__}: {error}; input {data.hex()}") from error


def main(argv: Sequence[str] | None = None) -> int:
    """Fuzz; 0 unless something was found."""
    parser = argparse.ArgumentParser("python -m load_tests.fuzz_wire", description=__doc__)
    parser.add_argument("--seconds", type=words.positive, default=60.0)
    parser.add_argument("--corpus", type=Path, help="read inputs from here, keep new ones here")
    parser.add_argument("--seed", type=words.seed, default=1)
    arguments = parser.parse_args(argv)
    if arguments.corpus is not None:
        arguments.corpus.mkdir(parents=True, exist_ok=True)
    try:
        fuzz(arguments.seconds, arguments.corpus, arguments.seed)
    except Finding as finding:
        print(f"FOUND {finding}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
