"""What Envoy is told, plan by plan: the parts that decide behaviour, and that Envoy accepts all."""

from __future__ import annotations

import base64
import subprocess
from pathlib import Path

import pytest
import yaml
from google.protobuf import struct_pb2

from gateway.extproc.messages import BodyMode
from load_tests.envoy import envoy_path
from load_tests.envoy_config import (
    Address,
    Balancing,
    EnvoyPlan,
    PickerPlan,
    bootstrap,
    render,
    standalone,
    subset_value,
)
from load_tests.envoy_config.plan import STREAMING_BUFFER_BYTES, WHOLE_BODY_BUFFER_BYTES
from load_tests.envoy_config.words import Document

LISTEN, ADMIN = Address("127.0.0.1", 8081), Address("127.0.0.1", 19000)
PICKER = Address("127.0.0.1", 9002)
SERVERS = (Address("127.0.0.1", 8100), Address("::1", 8101))
MANIFEST = Path(__file__).parents[2] / "manifests/envoy/standalone.yaml"


def picked(
    balancing: Balancing = Balancing.ORIGINAL_DST,
    body: BodyMode = BodyMode.FULL_DUPLEX_STREAMED,
    *,
    tls: bool = True,
    fail_open: bool = False,
) -> EnvoyPlan:
    picker = PickerPlan(
        PICKER,
        tls=tls,
        request_body=body,
        response_body=body,
        failure_mode_allow=fail_open,
        subset_test_headers=True,
        health_check=True,
    )
    return EnvoyPlan(LISTEN, ADMIN, balancing, SERVERS, picker)


def manager(plan: EnvoyPlan) -> Document:
    listener = bootstrap(plan)["static_resources"]["listeners"][0]
    found: Document = listener["filter_chains"][0]["filters"][0]["typed_config"]
    return found


def ext_proc(plan: EnvoyPlan) -> Document:
    filters = {f["name"]: f["typed_config"] for f in manager(plan)["http_filters"]}
    found: Document = filters["envoy.filters.http.ext_proc"]
    return found


def cluster(plan: EnvoyPlan, name: str) -> Document:
    by_name = {c["name"]: c for c in bootstrap(plan)["static_resources"]["clusters"]}
    found: Document = by_name[name]
    return found


@pytest.mark.parametrize(
    ("balancing", "endpoints", "picker", "message"),
    [
        pytest.param(Balancing.ORIGINAL_DST, (), None, "needs a picker", id="nobody to choose"),
        pytest.param(
            Balancing.ROUND_ROBIN, SERVERS, PickerPlan(PICKER), "takes no picker", id="two choosers"
        ),
        pytest.param(Balancing.RANDOM, (), None, "needs endpoints", id="nobody to be chosen"),
    ],
)
def test_a_plan_that_cannot_serve_is_refused(
    balancing: Balancing, endpoints: tuple[Address, ...], picker: PickerPlan | None, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        EnvoyPlan(LISTEN, ADMIN, balancing, endpoints, picker)


@pytest.mark.parametrize(
    ("body", "trailers"),
    [
        pytest.param(BodyMode.FULL_DUPLEX_STREAMED, "SEND", id="duplex must send trailers"),
        pytest.param(BodyMode.BUFFERED, "SKIP", id="buffered need not"),
        pytest.param(BodyMode.NONE, "SKIP", id="headers only"),
    ],
)
def test_processing_mode_follows_the_body_mode(body: BodyMode, trailers: str) -> None:
    assert ext_proc(picked(body=body))["processing_mode"] == {
        "request_header_mode": "SEND",
        "request_body_mode": body.name,
        "request_trailer_mode": trailers,
        "response_header_mode": "SEND",
        "response_body_mode": body.name,
        "response_trailer_mode": trailers,
    }


@pytest.mark.parametrize(
    ("body", "limit"),
    [
        pytest.param(BodyMode.FULL_DUPLEX_STREAMED, STREAMING_BUFFER_BYTES, id="streamed"),
        pytest.param(BodyMode.BUFFERED, WHOLE_BODY_BUFFER_BYTES, id="whole body must fit"),
    ],
)
def test_buffers_are_as_large_as_the_body_mode_needs(body: BodyMode, limit: int) -> None:
    plan = picked(body=body)
    listener = bootstrap(plan)["static_resources"]["listeners"][0]
    assert listener["per_connection_buffer_limit_bytes"] == limit
    assert cluster(plan, "model_servers")["per_connection_buffer_limit_bytes"] == limit


def test_original_dst_takes_the_destination_from_the_header_and_needs_no_list() -> None:
    servers = cluster(picked(Balancing.ORIGINAL_DST), "model_servers")
    assert servers["original_dst_lb_config"] == {
        "use_http_header": True,
        "http_header_name": "x-gateway-destination-endpoint",
    }
    assert "load_assignment" not in servers


def test_override_host_takes_it_from_metadata_and_says_who_served() -> None:
    servers = cluster(picked(Balancing.OVERRIDE_HOST), "model_servers")
    policy = servers["load_balancing_policy"]["policies"][0]["typed_extension_config"]
    config = policy["typed_config"]
    assert config["override_host_sources"] == [
        {"metadata": {"key": "envoy.lb", "path": [{"key": "x-gateway-destination-endpoint"}]}}
    ]
    assert config["selected_host_key"] == {
        "key": "envoy.lb",
        "path": [{"key": "x-gateway-destination-endpoint-served"}],
    }


def test_what_a_client_says_of_the_destination_is_dropped_before_any_filter() -> None:
    early = manager(picked())["early_header_mutation_extensions"][0]["typed_config"]
    assert early["mutations"] == [
        {"remove": "x-gateway-destination-endpoint"},
        {"remove": "x-gateway-destination-endpoint-served"},
        {"remove": "x-gateway-destination-endpoint-subset"},
        {"remove": "x-prefiller-host-port"},
        {"remove": "x-encoder-hosts-ports"},
        {"remove": "x-data-parallel-host-port"},
    ]


def test_only_a_picker_that_may_fail_open_is_taken_out_when_it_is_away() -> None:
    assert "outlier_detection" in cluster(picked(fail_open=True), "endpoint_picker")
    assert "outlier_detection" not in cluster(picked(fail_open=False), "endpoint_picker")


def test_streams_have_no_total_timeout() -> None:
    route = manager(picked())["route_config"]["virtual_hosts"][0]["routes"][0]["route"]
    assert route["timeout"] == "0s"


def test_a_subset_value_is_a_protobuf_list_in_base64() -> None:
    value = struct_pb2.Value()
    value.ParseFromString(base64.b64decode(subset_value(["10.0.0.1:80", "[::1]:81"])))
    assert [v.string_value for v in value.list_value.values] == ["10.0.0.1:80", "[::1]:81"]


def test_the_standalone_manifest_is_what_the_code_renders() -> None:
    assert MANIFEST.read_text() == standalone()


def test_rendering_loses_nothing() -> None:
    assert yaml.safe_load(render(picked())) == bootstrap(picked())


@pytest.mark.envoy
@pytest.mark.parametrize(
    "plan",
    [
        *(
            pytest.param(picked(balancing, body), id=f"{balancing.value} {body.name}")
            for balancing in (Balancing.ORIGINAL_DST, Balancing.OVERRIDE_HOST)
            for body in BodyMode
        ),
        pytest.param(picked(tls=False, fail_open=True), id="plaintext, fails open"),
        *(
            pytest.param(EnvoyPlan(LISTEN, ADMIN, balancing, SERVERS), id=balancing.value)
            for balancing in (Balancing.ROUND_ROBIN, Balancing.LEAST_REQUEST, Balancing.RANDOM)
        ),
    ],
)
def test_the_real_envoy_accepts_the_plan(plan: EnvoyPlan, tmp_path: Path) -> None:
    config = tmp_path / "envoy.yaml"
    config.write_text(render(plan))
    command = [str(envoy_path()), "--mode", "validate", "-c", str(config), "--disable-hot-restart"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=15)
    assert (done.returncode, done.stderr if done.returncode else "") == (0, "")
