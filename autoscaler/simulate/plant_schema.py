"""The plant file's JSON Schema, made from the classes that the loader fills, short forms included.

``python -m autoscaler.simulate.plant_schema`` writes the published file; a test keeps it true.
"""

from __future__ import annotations

from typing import Any

from autoscaler.policy.schema import DRAFT, schema_of
from autoscaler.simulate.plant_file import PlantSpec


def plant_schema() -> dict[str, Any]:
    """The schema of the whole document."""
    made = schema_of(PlantSpec)
    pools = made["properties"]["pools"]
    pool = pools["items"]
    for name in ("nodeLeadTime", "podLeadTime", "warmPodLeadTime"):
        whole = pool["properties"][name]
        pool["properties"][name] = {"anyOf": [*whole["properties"]["median"]["anyOf"], whole]}
    unnamed = {k: v for k, v in pool.items() if k != "required"}
    pools["items"] = {"anyOf": [pool, {"type": "string", "minLength": 1}]}
    by_name = {"type": "object", "additionalProperties": {"anyOf": [unnamed, {"type": "null"}]}}
    made["properties"]["pools"] = {"anyOf": [pools, by_name]}
    return {"$schema": DRAFT, "title": "Plant", **made}


if __name__ == "__main__":
    import json
    import sys

    sys.stdout.write(json.dumps(plant_schema(), indent=2) + "\n")
