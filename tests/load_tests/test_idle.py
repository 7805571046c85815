"""What scraping costs is measured, and the page it is measured on is like the real one."""

from __future__ import annotations

from pathlib import Path

import pytest

from load_tests.idle import measure
from load_tests.idle_page import page


def test_the_page_is_as_large_as_vllms_under_load() -> None:
    assert 51_000 < len(page()) < 54_000
    assert 500 < page().count(b"\n") < 700


@pytest.mark.slow
@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    ("moving", "least", "most"),
    [pytest.param(False, 8, 15, id="idle"), pytest.param(True, 80, 180, id="busy")],
)
async def test_endpoints_are_asked_as_often_as_their_numbers_move(
    tmp_path: Path, moving: bool, least: float, most: float
) -> None:
    """8 endpoints: every 50 ms while they move, every .8 s while they do not."""
    figure = await measure(8, moving=moving, seconds=4, gateway=False, folder=tmp_path)
    assert least < figure.scrapes_per_second < most
    assert figure.oldest_signal_s is not None
    assert 0 < figure.oldest_signal_s < 2.0
