"""Renders the trees that are shipped: kustomize overlays, and the chart with sets of values."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path
from typing import Any, TypeAlias

import yaml

from tests.manifests.tools import HELM, KUSTOMIZE, command

Object: TypeAlias = dict[str, Any]

ROOT = Path(__file__).parents[2]
MANIFESTS = ROOT / "manifests"
CHART = MANIFESTS / "chart"
RENDER_SECONDS = 60

OVERLAYS = ("kind", "gke-standard", "gke-autopilot")
CHART_VALUES: dict[str, dict[str, Any]] = {
    "chart-standalone": {},
    "chart-gateway-api": {
        "mode": "gateway-api",
        "adapter": {"enabled": False},
        "autoscaler": {"enabled": False},
    },
    "chart-gke": {
        "mode": "gateway-api",
        "provider": "gke",
        "tls": {"secretName": "gateway-tls"},
        "metrics": {"tokenSecret": "gateway-metrics"},
        "signals": {"tokenSecret": "gateway-signals"},
        "autoscaling": {"enabled": False},
        "pool": {"targetPorts": [8000, 8001]},
        "adapter": {"externalMetrics": False},
        "autoscaler": {"rooms": True, "sizes": True, "deletionCosts": True},
    },
}
TREES = (*OVERLAYS, *CHART_VALUES)
WHOLE = tuple(name for name in TREES if name != "chart-gateway-api")
"""Those that install all three services."""


class Refused(Exception):
    """The tool did not render it; the text is what it said."""


def kustomized(folder: str) -> str:
    """``kustomize build manifests/FOLDER``."""
    return _run(command(KUSTOMIZE), "build", str(MANIFESTS / folder))


def kustomized_with(components: list[str], scratch: Path, *, bases: tuple[str, ...]) -> str:
    """``bases`` with ``components``, written as an overlay would be."""
    at = MANIFESTS / "overlays/kind"
    overlay = {
        "resources": [os.path.relpath(at / "../../base" / each, scratch) for each in bases],
        "components": [os.path.relpath(at / each, scratch) for each in components],
        "namespace": "inference",
    }
    (scratch / "kustomization.yaml").write_text(yaml.safe_dump(overlay))
    return _run(command(KUSTOMIZE), "build", str(scratch))


def kustomized_in(folder: str, namespace: str, scratch: Path) -> str:
    """An overlay, with another namespace in place of its own."""
    at = scratch / f"in-{namespace}"
    at.mkdir()
    own = {
        "resources": [os.path.relpath(MANIFESTS / folder, at)],
        "namespace": namespace,
        "transformers": [os.path.relpath(MANIFESTS / "components/one-namespace/kube-system", at)],
    }
    (at / "kustomization.yaml").write_text(yaml.safe_dump(own))
    return _run(command(KUSTOMIZE), "build", str(at))


def charted(values: dict[str, Any], scratch: Path) -> str:
    """``helm template`` with ``values``, as release ``gw`` in ``inference``. Raises Refused."""
    file = scratch / "values.yaml"
    file.write_text(yaml.safe_dump(values))
    arguments = ("template", "gw", str(CHART), "--namespace", "inference", "--values", str(file))
    return _run(command(HELM), *arguments, home=scratch)


def tree(name: str, scratch: Path) -> str:
    """One of ``TREES``, rendered."""
    if name in CHART_VALUES:
        return charted(CHART_VALUES[name], scratch)
    return kustomized(f"overlays/{name}")


def objects(text: str) -> list[Object]:
    """The objects of a rendered tree."""
    return [each for each in yaml.safe_load_all(text) if each is not None]


def one(found: list[Object], kind: str, name: str | None = None) -> Object:
    """The one object of its kind (and name)."""
    (only,) = [
        each for each in found if each["kind"] == kind and name in (None, each["metadata"]["name"])
    ]
    return only


def part(found: list[Object], component: str) -> list[Object]:
    """The objects of one service of a tree, by their label."""
    key = "app.kubernetes.io/component"
    return [each for each in found if each["metadata"].get("labels", {}).get(key) == component]


def containers(pod: Object) -> dict[str, Object]:
    """The containers of a pod's spec by name, sidecars included."""
    return {each["name"]: each for each in (*pod.get("initContainers", ()), *pod["containers"])}


def _run(program: Path, *arguments: str, home: Path | None = None) -> str:
    environment = {"PATH": "/usr/bin:/bin", "HOME": str(home or "/nonexistent")}
    done = subprocess.run(
        [program, *arguments],
        capture_output=True,
        text=True,
        timeout=RENDER_SECONDS,
        env=environment,
        check=False,
    )
    if done.returncode:
        raise Refused(done.stderr)
    return done.stdout
