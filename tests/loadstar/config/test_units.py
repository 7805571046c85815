"""Units become plain numbers, or words for whoever wrote them."""

from __future__ import annotations

import contextlib
import re
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from loadstar.config.units import duration, fraction, quantity, whole


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        pytest.param("250ms", 0.25, id="milliseconds"),
        pytest.param("1m30s", 90.0, id="terms add up"),
        pytest.param("1h15m30.918s", 4530.918, id="a fraction in the last term"),
        pytest.param("1.5h", 5400.0, id="a fraction alone"),
        pytest.param("-2s", -2.0, id="negative"),
        pytest.param("+.5s", 0.5, id="no digit before the point"),
        pytest.param("0", 0.0, id="zero needs no unit"),
        pytest.param("10us", 1e-5, id="microseconds"),
        pytest.param("10\u00b5s", 1e-5, id="micro sign"),
        pytest.param("10\u03bcs", 1e-5, id="Greek mu"),
        pytest.param("1.3ns", 1.3e-9, id="nanoseconds"),
    ],
)
def test_duration(text: str, seconds: float) -> None:
    assert duration(text) == pytest.approx(seconds, rel=1e-12)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "s",
        "5",
        "5.5",
        "1d",
        "1 s",
        "5S",
        "ms5",
        "1s1",
        "-",
        ".s",
        "1e3s",
        "9" * 100 + "h",
        "٣s",
    ],
)
def test_what_is_no_duration_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="duration"):
        duration(text)


def test_a_number_without_a_unit_is_told_that_the_unit_is_missing() -> None:
    with pytest.raises(ValueError, match="the unit is missing"):
        duration("250")


def test_a_duration_no_clock_can_hold_is_refused() -> None:
    with pytest.raises(ValueError, match="292 years"):
        duration("99999999h")


@pytest.mark.parametrize(
    ("text", "value"),
    [
        pytest.param("16Gi", 16 * 2**30, id="binary"),
        pytest.param("500M", 500_000_000, id="decimal"),
        pytest.param("1k", 1000, id="thousand"),
        pytest.param("250m", Decimal("0.25"), id="milli"),
        pytest.param("1e3", 1000, id="exponent"),
        pytest.param("1E", 10**18, id="exa is not an exponent"),
        pytest.param("1.5Ki", 1536, id="fraction"),
        pytest.param("-3", -3, id="negative"),
        pytest.param(".5", Decimal("0.5"), id="no digit before the point"),
    ],
)
def test_quantity(text: str, value: int | Decimal) -> None:
    assert quantity(text) == value


@pytest.mark.parametrize("text", ["", "Gi", "1K", "1 Gi", "1e", "1e3k", "0x10", "1e9999", "1gi"])
def test_what_is_no_quantity_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape("is not a quantity")):
        quantity(text)


@pytest.mark.parametrize("text", ["1e400", "10Ei", "-10Ei", "9" * 60])
def test_a_quantity_beyond_63_bits_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=re.escape("larger than 2^63 - 1")):
        quantity(text)


def test_whole_rounds_up_as_kubernetes_does() -> None:
    assert [whole(text) for text in ("1", "1m", "1500m", "1Ki")] == [1, 1, 2, 1024]


def test_fraction() -> None:
    assert [fraction(text) for text in ("30%", "0%", "12.5%", "150%")] == [0.3, 0.0, 0.125, 1.5]


@pytest.mark.parametrize("text", ["0.3", "%", "30 %", "30%%", "thirty%"])
def test_what_is_no_percentage_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="percentage"):
        fraction(text)


@given(st.text(max_size=80))
def test_no_text_does_worse_than_a_value_error(text: str) -> None:
    for parse in (duration, quantity, whole, fraction):
        with contextlib.suppress(ValueError):
            parse(text)


@given(st.integers(0, 10**9), st.integers(0, 59), st.integers(0, 999))
def test_terms_of_a_duration_add_up(hours: int, minutes: int, milliseconds: int) -> None:
    hours %= 1000
    text = f"{hours}h{minutes}m{milliseconds}ms"
    assert duration(text) == pytest.approx(hours * 3600 + minutes * 60 + milliseconds / 1000)
