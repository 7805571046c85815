"""Which discovery is asked for, what is said where none is, and how honest health is about it."""

from __future__ import annotations

import logging
import random

import pytest
from prometheus_client import CollectorRegistry, generate_latest

from gateway.config.command_line import parse
from gateway.config.data_sources import FileDiscovery as FilePlugin
from gateway.datalayer.discovered import Discovered, EndpointSpec
from gateway.datalayer.discovery import Discovery, NoReloadCounts
from gateway.datalayer.file_discovery import FileDiscovery
from gateway.datalayer.kubernetes.discovery import KubernetesDiscovery
from gateway.datalayer.membership import decode, encode
from gateway.datalayer.store import Datastore
from gateway.serving.discovering import WatchGauges, discovering
from gateway.serving.health import Readiness
from loadstar.clock import SystemClock
from loadstar.config.errors import ConfigError

SELECTING = ("--endpoint-selector=app=vllm", "--endpoint-target-ports=8000")


def made(plugin: FilePlugin | None, *argv: str) -> Discovery:
    flags, _notes = parse(argv)
    return discovering(plugin, flags, {}, SystemClock(), random.Random(1), NoReloadCounts())


def test_kubernetes_by_name_or_by_selector() -> None:
    assert isinstance(made(None, "--pool-name=llama"), KubernetesDiscovery)
    assert isinstance(made(None, *SELECTING), KubernetesDiscovery)


def test_a_file_goes_before_the_flags(caplog: pytest.LogCaptureFixture) -> None:
    plugin = FilePlugin("endpoints.yaml")
    assert isinstance(made(plugin, "--pool-name=llama"), FileDiscovery)
    assert not caplog.records
    with caplog.at_level(logging.WARNING):
        assert isinstance(made(plugin, *SELECTING), FileDiscovery)
    assert "--endpoint-selector has no effect" in caplog.text


def test_where_none_is_asked_for_the_mend_is_named() -> None:
    with pytest.raises(ConfigError, match="give --pool-name or --endpoint-selector"):
        made(None)


def test_a_port_that_no_pod_serves_on_is_refused() -> None:
    with pytest.raises(ConfigError, match="0 is not a port"):
        parse(("--endpoint-selector=a", "--endpoint-target-ports=0"))


def test_health_follows_the_pool_through_the_store_and_to_other_processes() -> None:
    store, copy = Datastore(), Datastore()
    mine = Readiness(lambda: store.synced, missing=lambda: store.missing)
    other = Readiness(lambda: copy.synced, missing=lambda: copy.missing)
    mine.started = other.started = True

    def why() -> list[str]:
        copy.adopt(decode(encode(store.membership)))
        return [mine.why_not(), other.why_not()]

    assert [mine.why_not(), other.why_not()] == ["no endpoints loaded yet"] * 2
    store.apply(Discovered(endpoints=(EndpointSpec("a", "10.0.0.1", 8000, uid="u"),)))
    assert why() == ["", ""]
    assert copy.state.endpoints == store.state.endpoints
    assert copy.state.endpoints[0].uid == "u"
    store.apply(Discovered(missing="InferencePool lab/llama does not exist"))
    assert why() == ["InferencePool lab/llama does not exist"] * 2
    assert copy.state.endpoints == ()


def test_an_empty_pool_is_ready_and_answers_503_by_itself() -> None:
    store = Datastore()
    readiness = Readiness(lambda: store.synced, missing=lambda: store.missing)
    readiness.started = True
    store.apply(Discovered())
    assert readiness.why_not() == ""


def test_nothing_is_shown_of_what_is_not_followed_yet() -> None:
    discovery = made(None, "--pool-name=llama")
    assert isinstance(discovery, KubernetesDiscovery)
    registry = CollectorRegistry()
    registry.register(WatchGauges(discovery, SystemClock()))
    lines = generate_latest(registry).decode().splitlines()
    assert [line for line in lines if not line.startswith("#")] == []
