"""Trace readers survive the traps of the published files; look-alikes have their statistics."""

from __future__ import annotations

import lzma
import random
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import TypeAlias

import numpy as np
import pytest

from load_tests.traces import (
    BadTrace,
    Rate,
    Row,
    azure,
    azure_like,
    by_quantiles,
    mooncake,
    mooncake_like,
    replay,
    servegen,
    times,
)
from load_tests.workload import Block

Write: TypeAlias = Callable[[str], Path]

AZURE = (
    "TIMESTAMP,ContextTokens,GeneratedTokens\r\n"
    "2023-11-16 18:15:46.6805900,374,44\r\n"
    "2023-11-16 18:15:50.9951690,396,109"  # seven digits, and no newline at the end
)
MOONCAKE = (
    '{"timestamp": 0, "input_length": 1030, "output_length": 5, "hash_ids": [0, 1, 2]}\n'
    '{"timestamp": 3000, "input_length": 512, "output_length": 7, "hash_ids": [0]}\n'
    '{"timestamp": 3000, "input_length": 1500, "output_length": 8, "hash_ids": [0, 1, 9]}\n'
)
SERVEGEN = "t_s,rate_rps,active_clients,rate_weighted_cv\n0,2.0,4,1.0\n600,0,0,0\n1200,8.0,4,2.5\n"


@pytest.fixture(params=["plain", "xz"])
def write(request: pytest.FixtureRequest, tmp_path: Path) -> Write:
    def to_file(content: str) -> Path:
        if request.param == "plain":
            path = tmp_path / "trace"
            path.write_bytes(content.encode())
        else:
            path = tmp_path / "trace.xz"
            path.write_bytes(lzma.compress(content.encode()))
        return path

    return to_file


def test_azure_has_seven_digits_crlf_and_no_last_newline(write: Write) -> None:
    assert azure(write(AZURE)) == [Row(0.0, 374, 44), Row(4.314579, 396, 109)]


def test_mooncake_stamped_in_steps_is_spread_inside_them(write: Write) -> None:
    rows = mooncake(write(MOONCAKE), random.Random(1))
    assert [(int(r.at_s // 3), r.blocks) for r in rows if r.blocks != (0,)] == [
        (0, (0, 1, 2)),
        (1, (0, 1, 9)),
    ]
    assert len({r.at_s for r in rows}) == 3
    assert [r.at_s for r in rows] == sorted(r.at_s for r in rows)


def test_mooncake_with_real_stamps_is_left_as_it_is(write: Write) -> None:
    rows = mooncake(write(MOONCAKE.replace("3000", "2345")), random.Random(1))
    assert [r.at_s for r in rows] == [0.0, 2.345, 2.345]


def test_servegen_is_a_series_of_rates(write: Write) -> None:
    assert servegen(write(SERVEGEN)) == [Rate(0, 2, 1), Rate(600, 0, 0), Rate(1200, 8, 2.5)]


@pytest.mark.parametrize("reader", [azure, servegen, lambda p: mooncake(p, random.Random(1))])
def test_a_broken_line_is_named(reader: Callable[[Path], object], tmp_path: Path) -> None:
    path = tmp_path / "broken"
    path.write_text("TIMESTAMP,t_s\nnonsense\n")
    with pytest.raises(BadTrace, match=r"broken:[12]: "):
        reader(path)


def test_a_missing_interval_is_not_silence() -> None:
    """ServeGen has empty intervals: arrivals go on at the rate before."""
    rates = [Rate(0, 2, 1), Rate(600, 0, 0), Rate(1200, 8, 1)]
    arrived = np.array(times(rates, random.Random(1), scale=1, speed=1))
    counts = np.histogram(arrived, bins=[0, 600, 1200, 1800])[0]
    assert counts == pytest.approx([1200, 1200, 4800], rel=0.1)


def test_a_rate_series_is_scaled_in_rate_and_in_time() -> None:
    arrived = times([Rate(0, 100, 1), Rate(600, 100, 1)], random.Random(1), scale=0.1, speed=60)
    assert len(arrived) == pytest.approx(12_000, rel=0.05)
    assert max(arrived) == pytest.approx(20, rel=0.01)
    assert all(a <= b for a, b in pairwise(arrived))


def test_a_replay_repeats_blocks_as_text_and_cuts_the_last() -> None:
    rows = [Row(10.0, 1030, 5, (0, 1, 2)), Row(20.0, 100, 0)]
    first, second = replay(rows, speed=10)
    assert first.at_s == 1.0
    assert first.messages[0].blocks == (Block(0, 512), Block(1, 512), Block(2, 6))
    assert (second.prompt_tokens, second.output_tokens, second.group) == (100, 1, -1)


def test_prompts_without_block_ids_share_nothing() -> None:
    a, b = replay([Row(0, 600, 5), Row(0, 600, 5)])
    assert a.messages != b.messages


def test_lengths_between_quantiles_are_geometric() -> None:
    draw = by_quantiles([(0.0, 1), (0.5, 100), (1.0, 10_000)])
    assert [draw(share) for share in (0, 0.25, 0.5, 0.75, 1)] == [1, 10, 100, 1000, 10_000]


def test_the_azure_look_alike_has_its_statistics() -> None:
    rows = azure_like(random.Random(1), 1800)
    inputs = np.array([r.input_tokens for r in rows])
    outputs = np.array([r.output_tokens for r in rows])
    assert len(rows) / 1800 == pytest.approx(5.53, rel=0.05)
    assert np.percentile(inputs, [50, 90, 99]) == pytest.approx([1020, 2734, 4142], rel=0.05)
    assert np.percentile(outputs, [50, 90, 99]) == pytest.approx([129, 424, 601], rel=0.05)


def test_the_mooncake_look_alike_has_its_lengths_and_its_reuse() -> None:
    rows = mooncake_like(random.Random(1), 3500)
    inputs = np.array([r.input_tokens for r in rows])
    assert inputs.mean() == pytest.approx(12_035, rel=0.15)
    assert np.percentile(inputs, [50, 90]) == pytest.approx([6909, 27_367], rel=0.1)
    assert all(len(r.blocks) == -(-r.input_tokens // 512) for r in rows)
    seen: set[int] = set()
    hits = blocks = 0
    for row in rows:
        known = [block in seen for block in row.blocks]
        hits += known.index(False) if False in known else len(known)
        blocks += len(known)
        seen.update(row.blocks)
    assert hits / blocks == pytest.approx(0.366, abs=0.04)
