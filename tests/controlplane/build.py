"""``python -m tests.controlplane.build [kubernetes] [istio]``: build a control plane, once.

Also what the fixtures ask: is it there, and may a test be skipped where it cannot be.
"""

from __future__ import annotations

import os
import sys
from pathlib import Path

from tests.controlplane.gobuild import BuildFailed, built, cached
from tests.controlplane.recipes import ISTIO, KUBERNETES, Recipe
from tests.controlplane.toolchain import NoGo

RECIPES = {"kubernetes": KUBERNETES, "istio": ISTIO}


def say(text: str) -> None:
    """Progress, past pytest's capture: somebody waits minutes for it."""
    print(text, file=sys.__stderr__, flush=True)


def required() -> bool:
    """Where a missing control plane is a failure: in CI, and for whoever asks for it."""
    return os.environ.get("CI") == "true" or os.environ.get("LOADSTAR_REQUIRE_CONTROLPLANE") == "1"


def binaries(recipe: Recipe = KUBERNETES) -> Path:
    """The folder of binaries, built now if need be. Raises NoGo or BuildFailed."""
    return cached(recipe) or built(recipe, say)


def main(names: list[str]) -> int:
    unknown = [name for name in names if name not in RECIPES]
    if unknown:
        say(f"no such thing to build: {', '.join(unknown)}; there are {', '.join(RECIPES)}")
        return 2
    try:
        for name in names or ["kubernetes"]:
            say(f"{name}: {binaries(RECIPES[name])}")
    except (NoGo, BuildFailed) as error:
        say(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
