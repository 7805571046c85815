"""What the configuration and the flags together say of scraping; what cannot work is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from gateway.config.command_line import parse
from gateway.config.data_sources import (
    CoreMetrics,
    DataLayer,
    EngineConfig,
    FileDiscovery,
    MetricsSource,
)
from gateway.datalayer.scrape_plan import pace
from gateway.serving.scraping import scraping
from loadstar.config.errors import ConfigError


def test_flags_fill_in_what_the_configuration_leaves_open() -> None:
    flags, _ = parse(["--model-server-metrics-port=9400", "--refresh-metrics-interval=100ms"])
    said = MetricsSource(path="/m", interval=0.25)
    found = scraping(DataLayer(discovery=FileDiscovery("e.yaml"), metrics=said), flags)
    assert found is not None
    assert found.source == MetricsSource(path="/m", interval=0.25, port=9400)
    assert (found.pace, found.tls) == (pace(0.1, 2.0, 0.25), None)


def test_pods_bring_the_port_of_the_flag_themselves() -> None:
    """It is meant for pools with one target port, which only their discovery knows."""
    flags, _ = parse(["--model-server-metrics-port=9400"])
    found = scraping(DataLayer(metrics=MetricsSource()), flags)
    assert found is not None
    assert found.source == MetricsSource()


def test_nothing_is_scraped_where_no_source_is_wanted() -> None:
    assert scraping(DataLayer(), parse([])[0]) is None


@pytest.mark.parametrize(
    ("layer", "problem"),
    [
        pytest.param(
            DataLayer(metrics=MetricsSource(scheme="https", ca_cert_path="/none/ca.crt")),
            "caCertPath: /none/ca.crt",
            id="an authority that is not there",
        ),
        pytest.param(
            DataLayer(
                metrics=MetricsSource(),
                extractor=CoreMetrics(
                    engine_configs=(EngineConfig("mine", queued_requests_spec="a{"),)
                ),
            ),
            "queuedRequestsSpec",
            id="a metric that cannot be read",
        ),
    ],
)
def test_scraping_that_cannot_work_is_refused_with_the_whole(
    layer: DataLayer, problem: str
) -> None:
    with pytest.raises(ConfigError, match=problem):
        scraping(layer, parse([])[0])


def test_files_are_not_read_for_plain_http(tmp_path: Path) -> None:
    layer = DataLayer(metrics=MetricsSource(ca_cert_path=str(tmp_path / "none")))
    assert scraping(layer, parse([])[0]) is not None
