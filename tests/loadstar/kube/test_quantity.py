"""Quantities as the API server spells them."""

from __future__ import annotations

import math
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadstar.kube.quantity import Form, Quantity, milli, parse


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("0", "0"),
        ("0.5", "500m"),
        ("1.5", "1500m"),
        ("5", "5"),
        ("2000", "2k"),
        ("12000", "12k"),
        ("1500", "1500"),
        ("1000000", "1M"),
        ("100n", "100n"),
        ("0.0000000001", "1n"),
        ("-0.0000000001", "-1n"),
        ("1e3", "1e3"),
        ("12345e1", "123450"),
        ("1e-3", "1e-3"),
        ("5Ki", "5Ki"),
        ("1024Mi", "1Gi"),
        ("1000Ki", "1000Ki"),
        ("0.5Ki", "512"),
        ("1.5Gi", "1536Mi"),
        ("0.1Gi", "107374182400m"),
        ("-1500", "-1500"),
        ("+1", "1"),
        ("9223372036854775807", "9223372036854775807"),
        ("1E", "1E"),
        ("1000P", "1E"),
    ],
)
def test_the_canonical_spelling(text: str, canonical: str) -> None:
    assert str(parse(text)) == canonical


@pytest.mark.parametrize("text", ["", "NaN", "5 ", "1kk", "1 k", "Inf", "--1", "1K", "9E9E"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"quantity|larger"):
        parse(text)


@given(
    st.integers(-(10**18), 10**18),
    st.integers(0, 9),
    st.sampled_from([Form.DECIMAL, Form.BINARY, Form.EXPONENT]),
)
def test_reading_what_was_written_loses_nothing(number: int, places: int, form: Form) -> None:
    value = Decimal(number).scaleb(-places)
    written = str(Quantity(value, form))
    assert parse(written).value == value
    assert str(parse(written)) == written


@pytest.mark.parametrize(
    ("value", "text"),
    [
        pytest.param(0.0, "0", id="zero"),
        pytest.param(0.5, "500m", id="half"),
        pytest.param(2000.0, "2k", id="thousands"),
        pytest.param(0.0005, "1m", id="half a thousandth, up"),
        pytest.param(0.00049, "0", id="less"),
        pytest.param(1.2345, "1235m", id="rounded half up"),
        pytest.param(-1.5, "-1500m", id="negative"),
        pytest.param(5120.0, "5120", id="no binary suffix"),
    ],
)
def test_measured_numbers_are_in_thousandths(value: float, text: str) -> None:
    assert milli(value) == text


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, 1e16])
def test_what_an_hpa_cannot_read_is_never_written(value: float) -> None:
    with pytest.raises(ValueError, match="quantity"):
        milli(value)
