"""Refusals in the words of each API."""

from __future__ import annotations

import json

import pytest

from gateway.errors import (
    STATUS,
    BadRequest,
    Broken,
    Denied,
    NoEndpoint,
    NoRoom,
    NothingFits,
    PayloadTooLarge,
    Refusal,
    Shed,
    ShuttingDown,
)
from gateway.request.error_body import error_body, error_headers
from gateway.request.model import Dialect


@pytest.mark.parametrize(
    ("refusal", "openai", "anthropic"),
    [
        pytest.param(BadRequest("m"), "invalid_request_error", "invalid_request_error", id="400"),
        pytest.param(PayloadTooLarge("m"), "invalid_request_error", "request_too_large", id="413"),
        pytest.param(Shed("m"), "rate_limit_error", "rate_limit_error", id="shed"),
        pytest.param(Denied("m"), "rate_limit_error", "rate_limit_error", id="denied"),
        pytest.param(NothingFits("m"), "rate_limit_error", "rate_limit_error", id="nothing fits"),
        pytest.param(NoEndpoint("m"), "service_unavailable", "overloaded_error", id="no endpoint"),
        pytest.param(NoRoom("m"), "service_unavailable", "overloaded_error", id="no room"),
        pytest.param(ShuttingDown("m"), "service_unavailable", "overloaded_error", id="draining"),
        pytest.param(Broken("m"), "server_error", "api_error", id="our fault"),
    ],
)
def test_each_api_has_its_word_for_it(refusal: Refusal, openai: str, anthropic: str) -> None:
    assert json.loads(error_body(Dialect.CHAT, refusal)) == {
        "error": {"message": "m", "type": openai, "param": None, "code": refusal.code}
    }
    assert json.loads(error_body(Dialect.ANTHROPIC, refusal)) == {
        "type": "error",
        "error": {"type": anthropic, "message": "m"},
    }


def test_every_kind_of_refusal_is_covered_above() -> None:
    covered = {BadRequest, PayloadTooLarge, Shed, Denied, NothingFits, NoEndpoint, NoRoom}
    assert covered | {ShuttingDown, Broken} == set(STATUS)


def test_a_bad_request_names_its_parameter() -> None:
    body = error_body(Dialect.OPAQUE, BadRequest("model: missing", param="model"))
    assert json.loads(body)["error"]["param"] == "model"


def test_a_message_of_any_bytes_is_still_json() -> None:
    body = error_body(Dialect.CHAT, BadRequest('no "\udcff\n'))
    assert json.loads(body)["error"]["message"] == 'no "?\n'


def test_headers_say_why_and_when_to_come_back() -> None:
    assert error_headers(Shed("m")) == (
        ("content-type", "application/json"),
        ("x-llm-d-request-dropped-reason", "rejected-saturated"),
        ("retry-after", "1"),
    )
    assert error_headers(BadRequest("m")) == (("content-type", "application/json"),)
