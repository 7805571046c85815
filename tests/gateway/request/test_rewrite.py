"""Only the model's bytes change."""

from __future__ import annotations

import pytest

from gateway.request.parse import read_body
from gateway.request.rewrite import with_model

BODY = b'{ "n" : 12345678901234567890, "model" : "a\\/b","prompt":"\\u003c model", "z":1.0e5 }\n'


@pytest.mark.parametrize(
    ("model", "written"),
    [
        pytest.param("m", b'"m"', id="plain"),
        pytest.param('x"y\\\n', b'"x\\"y\\\\\\n"', id="escaped"),
        pytest.param("é", '"é"'.encode(), id="not ASCII"),
        pytest.param("\udcff", b'"?"', id="not Unicode"),
    ],
)
def test_no_other_byte_changes(model: str, written: bytes) -> None:
    span = read_body("/v1/completions", "application/json", "", BODY).model_span
    assert span is not None
    assert with_model(BODY, span, model) == BODY.replace(b'"a\\/b"', written)
