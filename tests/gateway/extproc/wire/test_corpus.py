"""What fuzzing has found worth keeping is played again, and the fuzzer can find something."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from gateway.extproc.wire.connection import Connection
from load_tests.fuzz_wire.__main__ import MAX_CORPUS_BYTES, fuzz, read_corpus
from load_tests.fuzz_wire.inputs import MAX_INPUT_BYTES, conversations, cut, mutated
from load_tests.fuzz_wire.play import Finding, play

CORPUS = Path(__file__).with_name("corpus")


def test_every_input_that_was_kept_goes_by_the_rules() -> None:
    kept = read_corpus(CORPUS)
    assert len(kept) > 30
    assert sum(map(len, kept)) <= MAX_CORPUS_BYTES
    for data in kept:
        play(data)


def test_the_corpus_reaches_what_honest_peers_do_not() -> None:
    def reached(inputs: list[bytes]) -> set[str]:
        return {did for data in inputs for did in play(data)}

    beyond = reached(read_corpus(CORPUS)) - reached(conversations())
    assert {did.partition(":")[0] for did in beyond} >= {
        "PROTOCOL_ERROR",
        "FRAME_SIZE_ERROR",
        "FLOW_CONTROL_ERROR",
        "COMPRESSION_ERROR",
        "ENHANCE_YOUR_CALM",
        "STREAM_CLOSED",
    }


def test_an_input_is_always_played_the_same_way() -> None:
    for data in conversations():
        assert play(data) == play(data)


def test_mutants_are_bounded_and_their_pieces_make_them_whole() -> None:
    chance = random.Random(4)
    inputs = conversations()
    for _ in range(300):
        mutant = mutated(chance.choice(inputs), inputs, chance)
        assert len(mutant) <= MAX_INPUT_BYTES
        assert b"".join(cut(mutant)) == mutant


@pytest.mark.parametrize(
    "breaks",
    [
        pytest.param({"_ping": lambda *_: 1 / 0}, id="raises"),
        pytest.param({"_local_end": lambda *_: None}, id="leaks streams"),
        pytest.param({"take": lambda _: b"half a frame"}, id="sends no frames"),
    ],
)
def test_a_broken_connection_is_found(
    breaks: dict[str, object], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, broken in breaks.items():
        monkeypatch.setattr(Connection, name, broken)
    with pytest.raises(Finding, match=r"input [0-9a-f]+"):
        fuzz(5.0, None, seed=1)
