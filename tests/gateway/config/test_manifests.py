"""Every sample configuration that we ship loads, and says nothing that start-up must warn of."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config.data_sources import DataLayer, FileDiscovery, MetricsSource
from gateway.config.defaults import DEFAULT, REFERENCE_DEFAULT
from gateway.config.picker import EndpointPickerConfig, parse
from gateway.plugins.catalog import CATALOG
from gateway.scheduling.build import Built, build
from gateway.scheduling.plugin_type import Settings
from loadstar.arrays import Floats

SAMPLES = sorted((Path(__file__).parents[3] / "manifests/config").glob("*.yaml"))


def believe(observed_at: Floats, now: float) -> Floats:
    return (now - observed_at <= 2.0).astype(float)


def built(config: EndpointPickerConfig) -> Built:
    return build(config, CATALOG, Settings(believe), DEFAULT)


def sample(name: str) -> EndpointPickerConfig:
    (path,) = [path for path in SAMPLES if path.name == name]
    return parse(path.read_bytes())


@pytest.mark.parametrize("path", SAMPLES, ids=[path.stem for path in SAMPLES])
def test_a_sample_loads(path: Path) -> None:
    made = built(parse(path.read_bytes()))
    assert list(made.scheduler.profiles) == ["default"]


@pytest.mark.parametrize(
    ("name", "told"),
    [
        pytest.param("standalone.yaml", ["schedulingProfiles"], id="uses the default profile"),
        pytest.param("conformance.yaml", ["plugins[0]"], id="not for production"),
        pytest.param("bounded.yaml", [], id="nothing to say"),
    ],
)
def test_what_a_sample_makes_start_up_say(name: str, told: list[str]) -> None:
    assert [notice.path for notice in built(sample(name)).notices] == told


def test_the_samples_of_defaults_are_the_defaults() -> None:
    assert sample("default.yaml") == DEFAULT
    assert sample("reference-default.yaml") == REFERENCE_DEFAULT


def test_the_standalone_sample_reads_a_watched_file() -> None:
    assert built(sample("standalone.yaml")).data_layer == DataLayer(
        discovery=FileDiscovery("/etc/loadstar/endpoints.yaml", watch_file=True),
        metrics=MetricsSource(),
    )


def test_only_the_conformance_sample_tells_who_served() -> None:
    telling = [path.name for path in SAMPLES if built(parse(path.read_bytes())).report_served]
    assert telling == ["conformance.yaml"]
