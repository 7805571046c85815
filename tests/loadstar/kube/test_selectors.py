"""Label selectors: the grammar, what they match, and how they are written again."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadstar.kube.selectors import (
    EVERYTHING,
    Operator,
    Requirement,
    Selector,
    from_labels,
    from_object,
    parse,
)

LABELS = {"app": "vllm", "tier": "a", "gen": "7"}


@pytest.mark.parametrize(
    ("text", "matches"),
    [
        pytest.param("", True, id="nothing asked"),
        pytest.param("  ", True, id="blank"),
        pytest.param("app=vllm", True, id="equal"),
        pytest.param("app == vllm", True, id="equal in Go's way"),
        pytest.param("app=sglang", False, id="another value"),
        pytest.param("app!=sglang", True, id="different"),
        pytest.param("zone!=x", True, id="different, being absent"),
        pytest.param("tier in (a, b)", True, id="one of"),
        pytest.param("tier in (b,c)", False, id="none of"),
        pytest.param("tier notin (a)", False, id="excluded"),
        pytest.param("zone notin (a)", True, id="not excluded, being absent"),
        pytest.param("app", True, id="exists"),
        pytest.param("!app", False, id="must be absent"),
        pytest.param("! zone", True, id="is absent"),
        pytest.param("gen>6", True, id="greater"),
        pytest.param("gen > 7", False, id="not greater"),
        pytest.param("gen<8,gen>1", True, id="between"),
        pytest.param("app<3", False, id="no number"),
        pytest.param("zone=", False, id="absent is not empty"),
        pytest.param("app=vllm,tier in (a),!zone,gen", True, id="all at once"),
        pytest.param("app=vllm,tier=b", False, id="all but one"),
        pytest.param("in in (in)", False, id="words of the grammar can be keys"),
    ],
)
def test_what_a_selector_matches(text: str, matches: bool) -> None:
    assert parse(text).matches(LABELS) is matches


def test_empty_values_can_be_asked_for() -> None:
    assert parse("zone=").matches({"zone": ""})
    assert parse("zone in ()").matches({"zone": ""})
    assert parse("zone in (,a)").matches({"zone": "a"})


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param("a=b,", "expected a label key", id="comma at the end"),
        pytest.param(",a", "expected a label key", id="comma at the start"),
        pytest.param("a in (b", r"expected '\)'", id="not closed"),
        pytest.param("a in b", r"expected '\('", id="no list"),
        pytest.param("a in (b c)", r"expected ',' or '\)'", id="no comma in a list"),
        pytest.param("a b", "not an operator", id="no operator"),
        pytest.param("a=b c", "expected ','", id="two values"),
        pytest.param("a=-b", "not a label value", id="a value that cannot be"),
        pytest.param("-a=b", "not a label key", id="a key that cannot be"),
        pytest.param("A.B/c/d=e", "not a label key", id="two slashes"),
        pytest.param("a>b", "one whole number", id="greater than a word"),
        pytest.param("a" * 20_000, "longer than", id="without end"),
        pytest.param(",".join(["a"] * 300), "more than 256", id="too many"),
        pytest.param("a=" + "v" * 64, "not a label value", id="a value too long"),
    ],
)
def test_what_is_wrong_is_said(text: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        parse(text)


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("b = 1 ,a", "a,b=1"),
        ("x in (b, a ,b)", "x in (a,b)"),
        ("x in (a)", "x=a"),
        ("x notin (b,a)", "x notin (a,b)"),
        ("x != a", "x!=a"),
        ("!x , y > 3", "!x,y>3"),
        ("example.com/app=vllm", "example.com/app=vllm"),
    ],
)
def test_the_canonical_text(text: str, canonical: str) -> None:
    assert str(parse(text)) == canonical


NAMES = st.from_regex(r"[a-z0-9](?:[a-z0-9.-]{0,10}[a-z0-9])?", fullmatch=True)
VALUES = st.one_of(st.just(""), NAMES)


@st.composite
def requirements(draw: st.DrawFn) -> Requirement:
    key = draw(st.one_of(NAMES, st.builds(lambda a, b: f"{a}/{b}", NAMES, NAMES)))
    operator = draw(st.sampled_from(Operator))
    if operator in (Operator.EXISTS, Operator.ABSENT):
        return Requirement(key, operator)
    if operator in (Operator.GREATER, Operator.LESS):
        return Requirement(key, operator, (str(draw(st.integers(0, 99))),))
    return Requirement(key, operator, tuple(draw(st.lists(VALUES, min_size=1, max_size=4))))


@given(st.lists(requirements(), max_size=5))
def test_a_selector_reads_what_it_writes(found: list[Requirement]) -> None:
    selector = Selector(tuple(sorted(found, key=lambda each: each.key)))
    assert parse(str(selector)) == selector


@given(requirements(), st.dictionaries(NAMES, VALUES, max_size=4))
def test_in_and_notin_are_opposites(requirement: Requirement, labels: dict[str, str]) -> None:
    if requirement.operator is Operator.IN:
        opposite = Requirement(requirement.key, Operator.NOT_IN, requirement.values)
        assert requirement.matches(labels) is not opposite.matches(labels)


def test_a_label_selector_object() -> None:
    selector = from_object(
        {
            "matchLabels": {"app": "vllm"},
            "matchExpressions": [
                {"key": "tier", "operator": "In", "values": ["b", "a"]},
                {"key": "zone", "operator": "DoesNotExist"},
            ],
        }
    )
    assert selector is not None
    assert str(selector) == "app=vllm,tier in (a,b),!zone"
    assert selector.matches(LABELS)
    assert from_object({}) == EVERYTHING
    assert from_object(None) is None
    assert from_labels({"b": "2", "a": "1"}) == parse("a=1,b=2")


@pytest.mark.parametrize(
    "wrong",
    [
        {"matchLabel": {}},
        {"matchExpressions": [{"key": "a", "operator": "in", "values": ["b"]}]},
        {"matchExpressions": [{"key": "a", "operator": "Gt", "values": ["1"]}]},
        {"matchExpressions": [{"key": "a", "operator": "In"}]},
        {"matchExpressions": [{"key": "a", "operator": "Exists", "values": ["b"]}]},
        {"matchExpressions": [{"operator": "Exists"}]},
    ],
)
def test_a_wrong_object_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValueError, match=r"."):
        from_object(wrong)
