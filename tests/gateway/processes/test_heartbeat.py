"""When a child that still lives is taken for hung, and when not."""

from __future__ import annotations

from gateway.processes.heartbeat import HUNG_LOOKS, LATE_LOOK_SECONDS, Pulse


def test_a_child_that_beats_is_never_hung() -> None:
    pulse = Pulse()
    assert not any(pulse.look(beats=t, now=float(t)) for t in range(10 * HUNG_LOOKS))


def test_a_child_that_stands_still_is_hung_after_so_many_looks() -> None:
    pulse = Pulse()
    seen = [pulse.look(beats=7, now=float(t)) for t in range(HUNG_LOOKS + 1)]
    assert seen == [False] * HUNG_LOOKS + [True]


def test_one_beat_in_between_begins_anew() -> None:
    pulse = Pulse()
    for t in range(HUNG_LOOKS):
        pulse.look(beats=7, now=float(t))
    assert not pulse.look(beats=8, now=float(HUNG_LOOKS))
    assert not pulse.look(beats=8, now=float(HUNG_LOOKS + 1))


def test_when_all_stood_still_nobody_is_to_blame() -> None:
    """The machine was suspended, or stopped by a debugger: the looks themselves came late."""
    pulse = Pulse()
    apart = LATE_LOOK_SECONDS + 1
    assert not any(pulse.look(beats=7, now=apart * t) for t in range(3 * HUNG_LOOKS))


def test_a_successor_is_not_judged_by_its_predecessor() -> None:
    pulse = Pulse()
    for t in range(HUNG_LOOKS):
        pulse.look(beats=7, now=float(t))
    pulse.reset()
    assert not pulse.look(beats=7, now=float(HUNG_LOOKS))
