"""The project's own promises about itself: files, targets and what must not be in them."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def tracked(*patterns: str) -> list[Path]:
    done = subprocess.run(
        ["git", "ls-files", *patterns], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if done.returncode != 0:
        pytest.skip("not a git checkout")
    return [ROOT / line for line in done.stdout.splitlines()]


@pytest.mark.parametrize("target", ["setup", "demo", "test", "lint", "type", "bench", "presubmit"])
def test_makefile_has_the_target(target: str) -> None:
    assert re.search(rf"^{target}:", (ROOT / "Makefile").read_text(), re.MULTILINE)


def test_ci_runs_exactly_presubmit() -> None:
    assert (ROOT / ".ci/run").read_text().rstrip().endswith("exec make presubmit")


def test_nothing_is_left_to_do_later() -> None:
    """A marker in the tree is a defect that nobody owns."""
    left = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in tracked("*.py", ":!tests")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(r"\b(TODO|FIXME|XXX|NotImplementedError)\b", line)
    ]
    assert left == []


def test_every_silenced_check_gives_its_reason() -> None:
    bare = [
        f"{path.relative_to(ROOT)}:{number}"
        for path in tracked("*.py")
        for number, line in enumerate(path.read_text().splitlines(), 1)
        if re.search(r"#\s*(noqa(?!: ?[A-Z]+\d+)|type: ignore(?!\[))", line)
    ]
    assert bare == []
