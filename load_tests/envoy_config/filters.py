"""The filters before the router: the endpoint picker, and in tests the hint of a subset. Pure."""

from __future__ import annotations

import base64
from collections.abc import Sequence

from google.protobuf import struct_pb2

from gateway.extproc.messages import BodyMode
from load_tests.envoy_config.plan import PickerPlan
from load_tests.envoy_config.words import (
    LB_NAMESPACE,
    SUBSET,
    SUBSET_NAMESPACE,
    Document,
    duration,
    typed,
)

SUBSET_TEXT_HEADER = "x-test-subset"
"""With ``subset_test_headers``: its value becomes the subset hint, as one string."""
SUBSET_VALUE_HEADER = "x-test-subset-value"
"""The same, as the protobuf value that ``subset_value`` encodes: how a list gets in."""


def ext_proc(picker: PickerPlan) -> Document:
    """The picker, asked about each request and told of each response."""
    duplex = BodyMode.FULL_DUPLEX_STREAMED

    def trailers(body: BodyMode) -> str:
        wanted = body is duplex if picker.trailers is None else picker.trailers
        return "SEND" if wanted else "SKIP"

    return typed(
        "envoy.filters.http.ext_proc",
        "envoy.extensions.filters.http.ext_proc.v3.ExternalProcessor",
        grpc_service={"envoy_grpc": {"cluster_name": "endpoint_picker"}},
        failure_mode_allow=picker.failure_mode_allow,
        # Without the picker the service is unavailable (503), not broken (500, Envoy's default).
        status_on_error={"code": 503},
        message_timeout=duration(picker.message_timeout_s),
        processing_mode={
            "request_header_mode": "SEND",
            "request_body_mode": picker.request_body.name,
            "request_trailer_mode": trailers(picker.request_body),
            "response_header_mode": "SEND",
            "response_body_mode": picker.response_body.name,
            "response_trailer_mode": trailers(picker.response_body),
        },
        metadata_options={
            "forwarding_namespaces": {"untyped": [LB_NAMESPACE, SUBSET_NAMESPACE]},
            "receiving_namespaces": {"untyped": [LB_NAMESPACE]},
        },
    )


def subset_from_headers() -> Document:
    """The two test headers, moved into the metadata where a proxy puts the hint."""

    def rule(header: str, **value: str) -> Document:
        return {
            "header": header,
            "on_header_present": {
                "metadata_namespace": SUBSET_NAMESPACE,
                "key": SUBSET,
                **value,
            },
            "remove": True,
        }

    return typed(
        "envoy.filters.http.header_to_metadata",
        "envoy.extensions.filters.http.header_to_metadata.v3.Config",
        request_rules=[
            rule(SUBSET_TEXT_HEADER, type="STRING"),
            rule(SUBSET_VALUE_HEADER, type="PROTOBUF_VALUE", encode="BASE64"),
        ],
    )


def subset_value(endpoints: Sequence[str]) -> str:
    """A list of ``ip:port`` as ``SUBSET_VALUE_HEADER`` carries it."""
    value = struct_pb2.Value()
    value.list_value.values.extend(struct_pb2.Value(string_value=e) for e in endpoints)
    return base64.b64encode(value.SerializeToString()).decode("ascii")
