"""A ledger holds what was decided and from what, bounded, and gives the same decisions again."""

from __future__ import annotations

import math
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from autoscaler.commands import explain as explain_command
from autoscaler.commands import replay as replay_command
from autoscaler.commands.explain import explained
from autoscaler.commands.moments import moment_s, shown
from autoscaler.ledger.entries import Decided, Start, Wrote, line, parse
from autoscaler.ledger.files import LedgerFiles, read, segments
from autoscaler.ledger.starts import start
from autoscaler.observe.history import History
from autoscaler.observe.observation import Demand, Observation, PoolSupply
from autoscaler.replay import replay
from autoscaler.sizing.decision import Decision, Reason
from tests.autoscaler.ledger.recorded import POLICY, START_S, observations, record

numbers = st.floats(allow_nan=False, allow_infinity=False)
demands = st.builds(
    Demand,
    window_s=numbers,
    arrivals_rps=st.none() | numbers,
    input_tokens=st.none() | numbers,
    violating=st.none() | numbers,
)
supplies = st.builds(
    PoolSupply,
    replicas_ready=st.integers(0, 1000),
    kv_cache_used=st.none() | numbers,
    quota_units=st.none() | st.integers(0, 1000),
    stockout=st.booleans(),
)
seen_ones = st.builds(
    Observation,
    now_s=numbers,
    model=st.text(max_size=8),
    demand=demands,
    supply=st.dictionaries(st.text(max_size=8), supplies, max_size=3),
)
decisions = st.builds(
    Decision,
    replicas=st.dictionaries(st.text(max_size=8), st.integers(0, 1000), max_size=3),
    reason=st.sampled_from(Reason),
    inputs=st.dictionaries(st.text(max_size=8), numbers, max_size=3),
    text=st.text(max_size=20),
)


@given(st.builds(Decided, at_s=numbers, seen=seen_ones, decision=decisions))
def test_a_line_says_exactly_what_was_decided(decided: Decided) -> None:
    assert parse(line(decided)) == decided


@given(
    st.builds(
        Wrote,
        at_s=numbers,
        **dict.fromkeys(
            ("model", "pool", "api", "method", "target", "outcome"), st.text(max_size=8)
        ),
    )
)
def test_a_line_says_exactly_what_was_written(wrote: Wrote) -> None:
    assert parse(line(wrote)) == wrote


@pytest.mark.parametrize(
    "text",
    [b"{}\n", b'{"type":"other"}\n', b"[]\n", b"nonsense\n", b'{"type":"decision"}\n'],
)
def test_what_is_no_line_is_refused(text: bytes) -> None:
    with pytest.raises(ValueError, match=r".+"):
        parse(text)


def test_what_was_decided_is_decided_again_bit_for_bit(tmp_path: Path) -> None:
    record(tmp_path, 300)
    again = list(replay(read(tmp_path)))
    assert len(again) == 300
    assert [one for one in again if not one.same] == []
    assert len({one.again.total() for one in again}) > 1  # it was no night without events


def test_each_segment_can_be_replayed_alone(tmp_path: Path) -> None:
    paths = record(tmp_path, 200, segment_bytes=40_000)
    assert len(paths) > 2
    for path in paths:
        assert all(one.same for one in replay(read(path)))


def test_a_changed_figure_is_found(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (path,) = record(tmp_path, 50)
    assert replay_command.main([str(tmp_path)]) == 0
    assert capsys.readouterr().out == "50 decisions, 50 the same, 0 different\n"
    text = path.read_text().replace('"arrivalsRps":', '"arrivalsRps":9', 20)
    path.write_text(text)
    assert replay_command.main([str(path)]) == 1
    assert "different" in capsys.readouterr().out


def test_a_ledger_cut_off_in_a_line_is_read_up_to_it(tmp_path: Path) -> None:
    (path,) = record(tmp_path, 20)
    path.write_bytes(path.read_bytes()[:-7])
    assert len(list(read(path))) == 21  # the beginning and the decisions; the write is torn


def test_a_line_broken_in_the_middle_is_named(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (path,) = record(tmp_path, 20)
    lines = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([*lines[:5], b"broken\n", *lines[5:]]))
    assert replay_command.main([str(path)]) == 2
    assert f"{path.name} line 6" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("old", "new", "says"),
    [
        ('"queuedRequests":', '"queuedRequests":"', "not JSON"),
        ('"queuedRequests":', '"queuedRequests":"3","x":', "Demand.queued_requests is '3'"),
        ('"replicasReady":', '"replicasReady":2.5,"x":', "PoolSupply.replicas_ready is 2.5"),
        ('"model":"llama","demand"', '"demand"', "model is missing"),
        ('"model":"llama","demand"', '"model":"m","demand"', "'m', of which its policy says"),
        ('"policy":"', '"policy":"x', "the beginning at 1700000000 s cannot be used"),
        ('"histories":{"llama":', '"histories":{"llama":3,"x":', "histories.llama is 3, no object"),
    ],
)
def test_a_mangled_line_is_named_and_not_stumbled_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], old: str, new: str, says: str
) -> None:
    (path,) = record(tmp_path, 5)
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, 1))
    assert replay_command.main([str(path)]) == 2
    assert says in capsys.readouterr().err


def test_a_broken_ledger_explains_nothing_and_says_where(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "ledger.jsonl"
    path.write_text("[]\n")
    assert explain_command.main(["llama", "--ledger", str(path)]) == 2
    assert "ledger.jsonl line 1: the line is [], no object" in capsys.readouterr().err


def test_the_oldest_segments_go_beyond_the_bound(tmp_path: Path) -> None:
    entry = Wrote(at_s=0.0, model="m", pool="p", api="a", method="m", target="t")
    with LedgerFiles(tmp_path, segment_bytes=10, most_bytes=400) as ledger:
        for second in range(20):
            assert ledger.is_full
            ledger.begin(START_S + second, [entry])
    found = segments(tmp_path)
    assert sum(path.stat().st_size for path in found) <= 400
    assert found[-1].name == f"ledger-{int(START_S) + 19}-000.jsonl"


def test_two_starts_in_one_second_do_not_write_over_each_other(tmp_path: Path) -> None:
    entry = Wrote(at_s=0.0, model="m", pool="p", api="a", method="m", target="t")
    for _ in range(3):
        with LedgerFiles(tmp_path) as ledger:
            ledger.begin(START_S, [entry])
    assert len(segments(tmp_path)) == 3


def test_no_minute_is_seen_twice_after_a_restart(tmp_path: Path) -> None:
    history = History()
    seen = list(observations(400))
    for one in seen:
        history.add(one.now_s, one.demand.arrivals_rps, 800.0, 200.0)
    begun = start(seen[-1].now_s, POLICY, {"llama": history}, seen)
    kept = History.of_document(begun.histories["llama"])
    assert math.ceil(begun.warm[0].now_s / 60.0) - 1 == kept.closed
    assert 1_100.0 < seen[-1].now_s - begun.warm[0].now_s <= 1_200.0
    assert isinstance(parse(line(begun)), Start)


def test_an_explanation_says_what_was_wanted_and_why(tmp_path: Path) -> None:
    record(tmp_path, 200)
    entries = list(read(tmp_path))
    decided = [entry for entry in entries if isinstance(entry, Decided)]
    found = explained(entries, "llama", START_S + 100 * 15.0)
    decision = decided[100].decision
    assert found.is_known
    assert found.lines[0] == (
        f"llama at {shown(START_S + 1500.0)}: {decision.total()} replicas, {decision.reason.value}"
    )
    now = explained(entries, "llama", math.inf).lines
    assert now[-1].endswith("setSize gpu {'nodeCount': 5}: accepted")


def test_a_model_that_the_ledger_does_not_know(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record(tmp_path, 5)
    assert explain_command.main(["lama", "--ledger", str(tmp_path)]) == 1
    said = capsys.readouterr().out
    assert "did you mean llama?" in said
    assert "the ledger knows llama" in said


@pytest.mark.parametrize(
    ("run", "says"),
    [
        (lambda p: explain_command.main(["m", "--ledger", str(p / "none")]), "no ledger here"),
        (lambda p: explain_command.main(["m", "--at", "noon", "--ledger", str(p)]), "a moment"),
        (lambda p: explain_command.main(["m", "--at=--", "--ledger", str(p)]), "a moment"),
        (lambda p: replay_command.main([str(p / "none")]), "no ledger here"),
    ],
)
def test_a_line_to_mend(
    run: Callable[[Path], int], says: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(tmp_path) == 2
    assert says in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "at_s"),
    [
        ("1970-01-01T00:01:00Z", 60.0),
        ("1970-01-01T01:01:00+01:00", 60.0),
        ("1970-01-01T00:01:00", 60.0),
        ("-15m", 100.0),
        ("12.5", 12.5),
    ],
)
def test_moments(text: str, at_s: float) -> None:
    assert moment_s(text, 1_000.0) == at_s


@pytest.mark.parametrize("text", ["nan", "inf", "1e18", "noon"])
def test_what_no_calendar_has_is_no_moment(text: str) -> None:
    with pytest.raises(ValueError, match=r"no moment|not a moment"):
        moment_s(text, 1_000.0)


def test_before_its_first_decision_a_model_is_known_all_the_same(tmp_path: Path) -> None:
    record(tmp_path, 5)
    found = explained(read(tmp_path), "llama", START_S - 60.0)
    assert not found.is_known
    assert found.lines == [
        f"no decision for llama until {shown(START_S - 60.0)}; "
        f"the ledger's first for it is of {shown(START_S)}"
    ]
    (line_,) = explained(read(tmp_path), "lama", START_S - 60.0).lines
    assert "did you mean llama?; the ledger knows llama" in line_


def test_a_model_that_was_never_decided_for_is_not_replayed(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    record(tmp_path, 5)
    assert replay_command.main([str(tmp_path), "--model", "lama"]) == 2
    assert "no decision for lama, did you mean llama?" in capsys.readouterr().err


@pytest.mark.parametrize("run", [explain_command.main, replay_command.main])
def test_segments_of_an_older_release_are_left_out_of_a_folder(
    run: Callable[[list[str]], int], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """After an upgrade they lie there for weeks; what came since can be read."""
    old, *_, new = record(tmp_path, 200, segment_bytes=40_000)
    old.write_text(old.read_text().replace('"version":2', '"version":1', 1))
    words = ["llama", "--ledger"] if run is explain_command.main else []
    assert run([*words, str(tmp_path)]) == 0
    assert f"{old.name} line 1: ledger version 1, not 2; left out" in capsys.readouterr().err
    assert run([*words, str(new)]) == 0
    assert run([*words, str(old)]) == 2
    assert "left out" not in capsys.readouterr().err
