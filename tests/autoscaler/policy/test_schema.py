"""The published schema says what the loader takes, and the samples load."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from autoscaler.check import check, knows
from autoscaler.policy.model import load_policy
from autoscaler.policy.schema import policy_schema
from loadstar.config.document import Value, read
from loadstar.config.errors import ConfigError, Remark

HERE = Path(__file__).parents[3] / "manifests" / "config" / "autoscaler"
SAMPLES = ("policy.yaml", "mixed-pools.yaml")


def test_the_published_schema_is_that_of_the_classes() -> None:
    """python -m autoscaler.policy.schema writes it anew."""
    assert json.loads((HERE / "policy.schema.json").read_text()) == policy_schema()


@pytest.mark.parametrize("name", SAMPLES)
def test_a_sample_is_right_and_the_schema_knows_its_keys(name: str) -> None:
    document = read((HERE / name).read_bytes())
    assert isinstance(document, dict)
    assert knows(document)
    assert [p for p in check(document, name) if not isinstance(p, Remark)] == []
    assert unknown(document, policy_schema()) == []


def unknown(value: Any, schema: dict[str, Any], path: str = "") -> list[str]:
    """Keys of ``value`` that ``schema`` does not allow."""
    if isinstance(value, dict):
        known = schema.get("properties")
        if known is None:
            return []
        found = [f"{path}.{name}" for name in value if name not in known]
        for name in value.keys() & known.keys():
            found += unknown(value[name], known[name], f"{path}.{name}")
        return found
    if isinstance(value, list):
        return [each for item in value for each in unknown(item, schema["items"], path)]
    return []


def leaves(schema: dict[str, Any], path: tuple[str, ...] = ()) -> list[tuple[tuple[str, ...], Any]]:
    """(path, schema) of every key that holds a plain value."""
    found: list[tuple[tuple[str, ...], Any]] = []
    for name, inner in schema.get("properties", {}).items():
        item = inner.get("items", inner)
        if "properties" in item:
            found += leaves(item, (*path, name))
        else:
            found.append(((*path, name), inner))
    return found


BOUNDED = [
    (path, bound)
    for path, leaf in leaves(policy_schema())
    for bound in [leaf.get("anyOf", [leaf])[0].get("minimum")]
    if bound is not None
]


@pytest.mark.parametrize(("path", "bound"), BOUNDED, ids=[".".join(p) for p, _ in BOUNDED])
def test_the_loader_keeps_the_bounds_of_the_schema(path: tuple[str, ...], bound: float) -> None:
    """A value below the schema's minimum is refused at its place by the loader, too."""
    document: dict[str, Any] = {"models": [{"name": "m"}], "pools": [{"name": "p"}]}
    at: Any = document
    for name in path[:-1]:
        at = at.setdefault(name, {})
        at = at[0] if isinstance(at, list) else at
    if path[1] in ("schedules", "variants"):
        inner: dict[str, Any] = {"pool": "p"} if path[1] == "variants" else {
            "name": "s", "start": "01:00", "end": "02:00"
        }  # fmt: skip
        at = document["models"][0][path[1]] = [inner]
        at = inner
    at[path[-1]] = bound - 1
    with pytest.raises(ConfigError) as caught:
        load_policy(document)
    assert any(problem.path.endswith(path[-1]) for problem in caught.value.problems)


def test_check_tells_what_is_wrong_and_what_is_odd() -> None:
    wrong: dict[str, Value] = {
        "models": [{"name": "m", "profileRef": "llama-3.1-8b/a100"}],
        "pools": [{"name": "p"}],
    }
    found = check(wrong, "policies.yaml")
    assert [problem.path for problem in found] == ["policies.yaml.models[0].profileRef"]
    assert "did you mean llama-3.1-8b/a100-80gbx1?" in found[0].message
    there: dict[str, Value] = {
        "models": [{"name": "m", "variants": [{"pool": "p", "profileRef": "llama-3.1-8b/l4"}]}],
        "pools": [{"name": "p"}],
    }
    paths = [each.path for each in check(there, "") if not isinstance(each, Remark)]
    assert paths == ["models[0].variants[0].profileRef"]
    odd: dict[str, Value] = {
        "mode": "active",
        "models": [{"name": "m", "maxReplicas": 8}],
        "pools": [{"name": "p", "spot": True, "maxUnits": 4}],
    }
    said = check(odd, "")
    assert all(isinstance(problem, Remark) for problem in said)
    text = "\n".join(str(problem) for problem in said)
    assert "runs on the spot pool p alone" in text
    assert "8, but the pools hold 4 at most" in text
    assert "every pool's mode is observe" in text


def test_a_plant_is_not_taken_for_a_policy() -> None:
    assert not knows({"pools": [], "faults": []})
    assert not knows({"kind": "Deployment", "models": [], "pools": []})
