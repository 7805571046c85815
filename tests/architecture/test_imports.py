"""The structure is what ARCHITECTURE.md says it is."""

from __future__ import annotations

import json
import pkgutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("loadstar", "gateway", "autoscaler", "metrics_adapter")


def modules() -> Iterator[str]:
    for package in PACKAGES:
        yield package
        for module in pkgutil.walk_packages([str(ROOT / package)], prefix=f"{package}."):
            if not module.name.endswith("__main__"):
                yield module.name


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_each_module_imports_alone() -> None:
    """A module that only imports after another one hides a cycle."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-m", "tests.architecture.import_alone"],
        input="\n".join(modules()),
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
    failed = [json.loads(line) for line in done.stdout.splitlines()]
    assert failed == []


def test_no_module_is_called_utils_or_helpers_or_misc() -> None:
    names = {name for module in modules() for name in module.split(".")}
    assert names.isdisjoint({"utils", "util", "helpers", "helper", "misc", "common"})


def test_every_module_says_what_it_is() -> None:
    """A module opens with what it is, so that a reader finds it by its first line."""
    silent = [
        str(path.relative_to(ROOT))
        for package in (*PACKAGES, "load_tests")
        for path in sorted((ROOT / package).rglob("*.py"))
        if path.stat().st_size > 0 and not path.read_text().lstrip().startswith(('"""', 'r"""'))
    ]
    assert silent == []
