"""The sample configurations are configurations."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from loadstar.clock import SystemClock
from metrics_adapter.adapter_config import parse_config
from metrics_adapter.catalog import catalog
from metrics_adapter.sources import build

SAMPLES = sorted(Path("manifests/config/adapter").glob("*.yaml"))


@pytest.mark.parametrize("path", SAMPLES, ids=lambda path: path.stem)
def test_a_sample_can_be_served_with(path: Path) -> None:
    config = parse_config(path.read_bytes())

    assert len(build(config, SystemClock(), random.Random(1))) == len(config.sources) > 0
    assert {entry.name for entry in config.metrics} <= set(catalog(config).metrics)


def test_there_are_samples() -> None:
    assert len(SAMPLES) == 3
