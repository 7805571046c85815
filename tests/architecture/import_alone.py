"""``python -W error -m tests.architecture.import_alone < NAMES``: each in a process of its own.

Prints a line of JSON for each module that cannot be imported: its name and the error. A process is
a fork of one that has imported the libraries but nothing of ours, so that hundreds of modules take
seconds.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import sys

LIBRARIES = (
    *("aiohttp", "google.protobuf", "grpc.aio", "hypothesis", "kubernetes.aio.client", "numba"),
    *("numpy", "opentelemetry.sdk.trace", "orjson", "prometheus_client", "scipy.optimize", "yaml"),
)


def failure(name: str) -> str | None:
    """Why ``name`` cannot be imported alone; None if it can."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        os.close(reading)
        try:
            importlib.import_module(name)
        except BaseException as error:
            os.write(writing, f"{type(error).__name__}: {error}".encode()[:4000])
        os._exit(0)
    os.close(writing)
    with os.fdopen(reading, "rb") as told:
        text = told.read().decode(errors="replace")
    _, status = os.waitpid(child, 0)
    return text or (f"exit status {status}" if status else None)


def main() -> None:
    for library in LIBRARIES:
        with contextlib.suppress(ImportError):  # a module that needs it will say so
            importlib.import_module(library)
    ours = [name for name in sys.modules if name.partition(".")[0] in ("loadstar", "gateway")]
    if ours:
        sys.exit(f"imported before its turn: {ours}")
    for line in sys.stdin:
        name = line.strip()
        why = failure(name)
        if why is not None:
            sys.stdout.write(json.dumps([name, why]) + "\n")


if __name__ == "__main__":
    main()
