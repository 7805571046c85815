"""Tools from the Go module registry, built once into the user's cache folder.

Go comes from where the control plane's does; where there is none, the tests that need a tool are
skipped and say so.
"""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

from tests.controlplane.cache import cache_root
from tests.controlplane.toolchain import NoGo, go

__all__ = ["H2SPEC", "NoGo", "tool"]

H2SPEC = "github.com/summerwind/h2spec/cmd/h2spec@v2.2.1+incompatible"
BUILD_SECONDS = 600


def tool(module: str) -> Path:
    """The binary of ``module`` (``path@version``), built if it is not in the cache.

    Raises:
        NoGo: it is not cached and there is no Go.
        subprocess.CalledProcessError: it does not build.
    """
    path, version = module.split("@")
    folder = cache_root() / "bin" / version.replace("+", "_")
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
