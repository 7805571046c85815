"""The published schema of a simulation's answer is that of what is written."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import orjson
import pytest

from autoscaler.simulate.record import encoded
from autoscaler.simulate.scenario import Scenario
from tests.autoscaler.simulate.builders import RPS_OF_REPLICA, constant, plant_spec, policy

SCHEMA = (
    Path(__file__).parents[3] / "manifests" / "config" / "autoscaler" / "simulation.schema.json"
)
TYPES: Mapping[str, tuple[type, ...]] = {
    "object": (dict,),
    "array": (list,),
    "string": (str,),
    "integer": (int,),
    "number": (int, float),
    "null": (type(None),),
}


def faults_of(value: Any, schema: Mapping[str, Any], place: str = "") -> Iterator[str]:
    """Where ``value`` is not as ``schema`` says, of the few words that ours are written in."""
    if "anyOf" in schema:
        if all(list(faults_of(value, each)) for each in schema["anyOf"]):
            yield f"{place}: {value!r} is none of the choices"
        return
    if isinstance(value, bool) or not isinstance(value, TYPES[schema["type"]]):
        yield f"{place}: {value!r} is no {schema['type']}"
        return
    low, high = schema.get("minimum", -math.inf), schema.get("maximum", math.inf)
    if isinstance(value, int | float) and not low <= value <= high:
        yield f"{place}: {value!r} is out of bounds"
    if isinstance(value, list):
        for index, each in enumerate(value):
            yield from faults_of(each, schema["items"], f"{place}[{index}]")
    if isinstance(value, dict):
        known = schema.get("properties", {})
        others = schema.get("additionalProperties", True)
        yield from (
            f"{place}.{name}: missing" for name in schema.get("required", ()) if name not in value
        )
        for name, each in value.items():
            if name in known:
                yield from faults_of(each, known[name], f"{place}.{name}")
            elif others is False:
                yield f"{place}.{name}: unknown"
            elif isinstance(others, dict):
                yield from faults_of(each, others, f"{place}.{name}")


@pytest.mark.parametrize("controller", ["predictive", "hpa-queue", "oracle"])
def test_what_is_written_is_as_the_schema_says(controller: str) -> None:
    world = Scenario(
        plant=plant_spec(
            {"quota": 3, "quotaHidden": True},
            initialReplicas=2,
            faults=[{"kind": "preempt", "at": 600, "units": 1}],
        ),
        policy=policy(),
        demand=constant(5 * RPS_OF_REPLICA, 1830),
    )
    written = orjson.loads(encoded(world.outcome(controller).document()))
    assert list(faults_of(written, orjson.loads(SCHEMA.read_bytes()))) == []
    assert written["calls"]
    assert written["decisions"]
