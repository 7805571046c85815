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
@pytest.mark.parametrize("moving", [False, True], ids=["idle", "busy"])
async def test_eight_endpoints_cost_little(tmp_path: Path, moving: bool) -> None:
    figure = await measure(8, moving=moving, seconds=4, gateway=False, folder=tmp_path)
    assert figure.percent_of_core < 5.0
    assert figure.scrapes_per_second > (100 if moving else 12)
