"""Builds kustomize and helm after collection, where it may take its time."""

from __future__ import annotations

import pytest

from tests.manifests.tools import build_all


def pytest_collection_finish(session: pytest.Session) -> None:
    """Only for tests of this folder that need them."""
    wanted = any(
        item.path.is_relative_to(__file__.rpartition("/")[0])
        and item.get_closest_marker("controlplane")
        for item in session.items
    )
    if wanted and not session.config.option.collectonly:
        build_all()
