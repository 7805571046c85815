"""kustomize, helm and the Gateway API's CRDs, from the Go module registry, built once.

Where they are neither cached nor can be built, tests that need them are skipped and say so; CI
may not skip them.
"""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.controlplane.build import required
from tests.controlplane.gobuild import built, cached
from tests.controlplane.recipes import Recipe
from tests.controlplane.toolchain import NoGo

KUSTOMIZE = Recipe(
    name="kustomize",
    module="sigs.k8s.io/kustomize/kustomize/v5",
    version="v5.8.2",
    commands={"kustomize": "sigs.k8s.io/kustomize/kustomize/v5"},
    about_minutes=1,
)
HELM = Recipe(
    name="helm",
    module="helm.sh/helm/v4",
    version="v4.3.1",
    commands={"helm": "helm.sh/helm/v4/cmd/helm"},
    about_minutes=3,
)
_CRDS = "config/crd/standard/gateway.networking.k8s.io"
GATEWAY_API = Recipe(
    name="gateway-api",
    module="sigs.k8s.io/gateway-api",
    version="v1.6.3",
    commands={},
    about_minutes=1,
    keep=tuple(
        ("sigs.k8s.io/gateway-api", f"{_CRDS}_{plural}.yaml")
        for plural in ("gatewayclasses", "gateways", "httproutes")
    ),
)


RECIPES = (KUSTOMIZE, HELM, GATEWAY_API)


def build_all() -> None:
    """Build what is not there yet, before any test's clock runs."""
    try:
        for recipe in RECIPES:
            built(recipe, print)
    except NoGo:
        if required():
            raise


def folder(recipe: Recipe) -> Path:
    """Where the recipe's results lie. Skips the test where they could not be built."""
    found = cached(recipe)
    if found is None:
        pytest.skip(f"{recipe.name} is not built here: there is no Go")
    return found


def command(recipe: Recipe) -> Path:
    """The recipe's one command."""
    (name,) = recipe.commands
    return folder(recipe) / name
