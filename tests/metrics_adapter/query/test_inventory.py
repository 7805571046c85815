"""Which pods a selector chooses, whichever way they are looked for."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from loadstar.kube.selectors import parse
from metrics_adapter.query import Inventory, Pod

labels = st.dictionaries(st.sampled_from("abc"), st.sampled_from("xyz"))
pods = st.lists(labels, max_size=8).map(
    lambda found: [Pod("lab", f"p{n}", f"u{n}", each) for n, each in enumerate(found)]
)
requirements = st.sampled_from(
    ["a=x", "b=y", "c=z", "a in (x,y)", "a!=x", "b notin (y,z)", "c", "!c", "a==z"]
)


@given(pods, st.lists(requirements, max_size=3).map(",".join))
def test_all_that_match_are_chosen_and_no_others(found: list[Pod], text: str) -> None:
    selector = parse(text)
    inventory = Inventory([*found, Pod("other", "p", "u", {"a": "x", "b": "y", "c": "z"})])

    for _ in range(2):  # found, and remembered
        assert list(inventory.select("lab", selector)) == [
            pod for pod in found if selector.matches(pod.labels)
        ]
