"""The history: minute means, gaps that stay gaps, bounded, and the same after a restart."""

from __future__ import annotations

import numpy as np
import pytest

from autoscaler.observe.history import History


def fed(ticks: list[tuple[float, float | None]], kept: int = 100) -> History:
    history = History(kept)
    for now_s, requests in ticks:
        history.add(now_s, requests, 1000.0, 200.0)
    return history


def requests_of(history: History) -> list[float | None]:
    return [None if np.isnan(row[0]) else round(float(row[0]), 9) for row in history.rows]


def test_a_minute_closes_with_its_last_word() -> None:
    history = History(10)
    closed = [history.add(now, rate, 1000, 200) for now, rate in ((15, 1), (30, 2), (45, 3))]
    assert (closed, len(history)) == ([0, 0, 0], 0)
    assert history.add(60, 6, 1000, 200) == 1
    assert history.rows.tolist() == [[3.0, 3000.0, 600.0]]
    assert history.first_minute == 0


def test_what_is_said_late_closes_the_minute_before() -> None:
    """Ticks that do not meet the minute: the first of the next minute closes the last."""
    assert requests_of(fed([(7.0, 2.0), (52.0, 4.0), (67.0, 9.0)])) == [3.0]


def test_a_gap_is_not_a_rate() -> None:
    """One tick unseen is left out of its mean; a whole minute unseen, or skipped, is NaN."""
    history = fed([(30, 4.0), (60, None), (90, None), (120, None), (300, 8.0)])
    assert requests_of(history) == [4.0, None, None, None, 8.0]


def test_the_clock_may_go_back_and_nothing_is_rewritten() -> None:
    history = fed([(60, 1.0), (120, 2.0), (30, 50.0), (180, 3.0)])
    assert requests_of(history) == [1.0, 2.0, 3.0]


def test_the_oldest_go() -> None:
    history = fed([(60.0 * m, float(m)) for m in range(1, 26)], kept=10)
    assert len(history) <= 20
    assert requests_of(history)[-3:] == [23.0, 24.0, 25.0]
    assert history.closed == 25
    assert history.first_minute == 25 - len(history)


def test_what_was_not_seen_is_filled_and_what_was_seen_stays() -> None:
    history = fed([(60.0 * m, None if m == 12 else float(m)) for m in range(11, 15)])
    nan = [np.nan] * 3
    past = np.array([nan, [5.0, 1.0, 1.0], nan, [7.0, 1.0, 1.0], [7.0, 1.0, 1.0], nan])

    made = history.filled(7, past)

    assert (made.first_minute, requests_of(made)) == (8, [5.0, None, 11.0, 7.0, 13.0, 14.0])
    assert history.missing(8, 7).tolist() == [True, True, False, True, False, False, True]
    made.add(60.0 * 15 + 15, 4.0, 1.0, 1.0)
    made.add(60.0 * 16, 4.0, 1.0, 1.0)
    assert requests_of(made)[-3:] == [14.0, None, 4.0]


@pytest.mark.parametrize("kept", [3, 100])
def test_filling_keeps_the_bound_and_an_empty_past_changes_nothing(kept: int) -> None:
    history = fed([(60.0 * m, 1.0) for m in range(11, 13)], kept=kept)
    past = np.full((40, 3), 2.0)
    expected = [2.0] * 28 + [1.0, 1.0] if kept == 100 else [2.0, 1.0, 1.0]
    made = fed([], kept=kept).filled(-18, past[:28]).filled(10, history.rows)
    assert requests_of(made)[-len(expected) :] == expected
    assert len(made) <= kept
    assert history.filled(0, np.full((4, 3), np.nan)) is history


def test_after_an_absence_longer_than_what_is_kept_it_begins_anew() -> None:
    history = fed([(60, 1.0), (60 * 500, 7.0)], kept=10)
    assert requests_of(history) == [7.0]
    assert history.first_minute == 499


def test_a_restart_loses_nothing() -> None:
    before = fed([(60.0 * m, None if m % 7 == 0 else m / 3) for m in range(1, 40)])
    after = History.of_document(before.to_document(), 100)
    assert after.first_minute == before.first_minute
    np.testing.assert_allclose(after.rows, before.rows, rtol=1e-6)
    for history in (before, after):
        history.add(60.0 * 45, 5.0, 1000.0, 200.0)
    assert requests_of(after)[-6:] == [None] * 5 + [5.0]
    assert after.closed == before.closed


@pytest.mark.parametrize(
    ("document", "words"),
    [
        ({"version": 9}, "version 9"),
        ({"version": 1, "firstMinute": 0, "minutes": 1}, "lacks"),
        ({"version": 1, "firstMinute": 0, "minutes": 1, "rows": "!"}, "base64"),
        ({"version": 1, "firstMinute": 0, "minutes": 2, "rows": "AAAAAAAAAAAAAAAA"}, "not 2"),
    ],
)
def test_what_is_no_history_is_refused(document: dict[str, object], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        History.of_document(document)
