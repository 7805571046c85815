"""Workers hear what the others sent where, once, in order, or not at all."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from gateway.prefix.exchange import Exchange, Inbox

WORDS = 64


class Rings:
    """A ring per worker, as in shared memory."""

    def __init__(self, workers: int = 2) -> None:
        self.heads = np.zeros(workers, np.int64)
        self.rings = np.zeros((workers, WORDS), np.uint64)

    def exchange(self, worker: int) -> Exchange:
        made = Exchange(self.heads, self.rings, worker)
        made.living = frozenset(range(8))
        return made


def heard(inbox: Inbox) -> list[tuple[int, list[int], int | None]]:
    return [(sent.slot, sent.hashes.tolist(), sent.limit) for sent in inbox.news()]


def test_news_reaches_namesakes_of_other_workers_once() -> None:
    rings = Rings(3)
    one, two, three = (rings.exchange(worker) for worker in range(3))
    mine, yours, theirs = one.inbox("p"), two.inbox("p"), three.inbox("other")
    mine.tell(4, [2**64 - 1, 7], 100)
    yours.tell(5, [], None)
    assert heard(yours) == [(4, [2**64 - 1, 7], 100)]
    assert heard(mine) == [(5, [], None)]
    assert heard(theirs) == []
    assert heard(mine) == heard(yours) == []


def test_an_inbox_begins_with_what_comes_after_it() -> None:
    rings = Rings()
    teller, hearer = rings.exchange(0), rings.exchange(1)
    teller.inbox("p").tell(1, [1], None)
    late = hearer.inbox("p")
    teller.inbox("p").tell(2, [2], None)
    assert heard(late) == [(2, [2], None)]


def test_news_of_a_slot_that_nobody_has_any_more_is_dropped() -> None:
    rings = Rings()
    teller, hearer = rings.exchange(0), rings.exchange(1)
    inbox = hearer.inbox("p")
    teller.inbox("p").tell(1, [1], None)
    hearer.living = frozenset({2})
    assert heard(inbox) == []


def test_who_was_overtaken_goes_on_from_the_newest() -> None:
    rings = Rings()
    teller, hearer = rings.exchange(0).inbox("p"), rings.exchange(1).inbox("p")
    for number in range(20):
        teller.tell(1, [number], None)
    assert heard(hearer) == []
    teller.tell(1, [99], None)
    assert heard(hearer) == [(1, [99], None)]


def test_what_would_fill_half_a_ring_is_not_told() -> None:
    rings = Rings()
    teller, hearer = rings.exchange(0).inbox("p"), rings.exchange(1).inbox("p")
    teller.tell(1, list(range(WORDS // 2)), None)
    assert (heard(hearer), rings.heads.tolist()) == ([], [0, 0])


@given(
    st.lists(st.lists(st.integers(0, 2**64 - 1), max_size=WORDS // 2 - 4), min_size=1, max_size=40)
)
def test_who_keeps_up_hears_everything(prompts: list[list[int]]) -> None:
    rings = Rings()
    teller, hearer = rings.exchange(0).inbox("p"), rings.exchange(1).inbox("p")
    told = []
    for prompt in prompts:
        teller.tell(3, prompt, 9)
        told += heard(hearer)
    assert told == [(3, prompt, 9) for prompt in prompts]
