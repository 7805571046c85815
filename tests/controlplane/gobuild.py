"""Build a recipe's commands once, into the cache.

A small main module is written whose go.mod is that of the module to build, so that every version
is the one its authors tested; local replaces become published versions. One process builds while
others wait for it, and a half-built folder is never seen: it is renamed into place when whole.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import tempfile
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from tests.controlplane.cache import cache_root, locked
from tests.controlplane.recipes import Recipe
from tests.controlplane.toolchain import go

Progress = Callable[[str], None]
MAIN_MODULE = "loadstar.test/built"
BUILD_SECONDS = 3600
LOG_TAIL_CHARACTERS = 3000


class BuildFailed(RuntimeError):
    """Go did not build it; the message has the end of what it said."""


def cached(recipe: Recipe) -> Path | None:
    """The folder of binaries, if it was built before."""
    folder = _folder(recipe)
    return folder if folder.is_dir() else None


def built(recipe: Recipe, progress: Progress) -> Path:
    """The folder of binaries, built now if it was not.

    Raises:
        NoGo: it is not cached and there is no Go.
        BuildFailed: it does not build.
    """
    folder = _folder(recipe)
    if folder.is_dir():
        return folder
    with locked(folder.with_name(f"{folder.name}.lock")):
        if not folder.is_dir():
            command = go()
            progress(
                f"building {', '.join(recipe.commands)} of {recipe.module} {recipe.version} with "
                f"{command}: about {recipe.about_minutes} minutes, once"
            )
            _build(recipe, command, folder, progress)
            progress(f"built into {folder}")
    return folder


def _folder(recipe: Recipe) -> Path:
    return cache_root() / "built" / recipe.key()


def _build(recipe: Recipe, command: Path, folder: Path, progress: Progress) -> None:
    with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f"{folder.name}.part.") as scratch:
        source, target = Path(scratch, "source"), Path(scratch, "whole")
        source.mkdir()
        target.mkdir()
        module = json.loads(
            _go(command, source, "mod", "download", "-json", f"{recipe.module}@{recipe.version}")
        )
        _main_module(recipe, command, source, module)
        for name, package in recipe.commands.items():
            progress(f"  {name}")
            flags = ("-mod=mod", "-trimpath", "-ldflags", " ".join(("-s", "-w", *recipe.ldflags)))
            _go(command, source, "build", *flags, "-o", str(target / name), package)
        for owner, path in recipe.keep:
            where = _go(command, source, "list", "-mod=mod", "-m", "-f", "{{.Dir}}", owner)
            shutil.copyfile(Path(where.strip(), path), target / Path(path).name)
        target.rename(folder)


def _main_module(recipe: Recipe, command: Path, source: Path, module: dict[str, Any]) -> None:
    # Copied without their modes: Go keeps its module cache read-only.
    shutil.copyfile(module["GoMod"], source / "go.mod")
    shutil.copyfile(Path(module["Dir"], "go.sum"), source / "go.sum")
    original = json.loads(_go(command, source, "mod", "edit", "-json"))
    edits = [f"-module={MAIN_MODULE}", f"-require={recipe.module}@{recipe.version}"]
    for replace in original.get("Replace") or []:
        path = replace["Old"]["Path"]
        if replace["New"]["Path"].startswith("."):
            edits.append(f"-replace={path}={path}@{recipe.local_replace_version}")
    _go(command, source, "mod", "edit", *edits)


def _go(command: Path, folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        [command, *arguments],
        cwd=folder,
        env={**os.environ, **_environment()},
        capture_output=True,
        text=True,
        check=False,
        timeout=BUILD_SECONDS,
    )
    if done.returncode != 0:
        said = f"{done.stdout}\n{done.stderr}".strip()[-LOG_TAIL_CHARACTERS:]
        raise BuildFailed(f"go {' '.join(_first(arguments))} failed:\n{said}")
    return done.stdout


def _environment() -> dict[str, str]:
    # GOFLAGS and a workspace of the machine's owner must not change what is built. GOTOOLCHAIN:
    # the Go that was chosen, not one that it would download.
    return {"CGO_ENABLED": "0", "GOFLAGS": "", "GOWORK": "off", "GOTOOLCHAIN": "local"}


def _first(arguments: Sequence[str]) -> Sequence[str]:
    """The words of a go command that name it, for a message."""
    return arguments[:3]
