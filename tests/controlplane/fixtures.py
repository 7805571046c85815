"""The pytest side: ``control_plane`` (one per session), ``kube_namespace`` (one per test).

A plugin, named in tests/conftest.py. What is not built yet is built between collection and the
first test, where no test's timeout runs; where it cannot be built, tests are skipped and say so,
except in CI, where they fail.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator

import pytest

from tests.controlplane.build import binaries, required
from tests.controlplane.cluster import ControlPlane
from tests.controlplane.gobuild import BuildFailed
from tests.controlplane.toolchain import NoGo

# The first test of a session waits for the control plane to start, beside whatever else runs.
TIMEOUT_SECONDS = 90

_namespaces = itertools.count(1)
_why_not = pytest.StashKey[str]()


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """More time for tests with a real control plane, unless they say how much themselves."""
    for item in items:
        if item.get_closest_marker("controlplane") and not item.get_closest_marker("timeout"):
            item.add_marker(pytest.mark.timeout(TIMEOUT_SECONDS))


def pytest_collection_finish(session: pytest.Session) -> None:
    """Build before the clock of any test runs."""
    wanted = any(item.get_closest_marker("controlplane") for item in session.items)
    if not wanted or session.config.option.collectonly:
        return
    try:
        binaries()
    except (NoGo, BuildFailed) as error:
        session.config.stash[_why_not] = str(error)


@pytest.fixture(scope="session")
def control_plane(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[ControlPlane]:
    """The control plane that all tests of a session share; see its module for what it can do."""
    reason = request.config.stash.get(_why_not, None)
    if reason is not None:
        if required():
            pytest.fail(f"the control plane must be there, and is not: {reason}", pytrace=False)
        pytest.skip(f"no control plane: {reason}")
    with ControlPlane.started(tmp_path_factory.mktemp("controlplane")) as plane:
        yield plane


@pytest.fixture
def kube_namespace(control_plane: ControlPlane) -> Iterator[str]:
    """A namespace of this test's own, deleted with all that is in it when the test is over."""
    control_plane.check()
    name = f"test-{os.getpid()}-{next(_namespaces)}"
    namespace = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name}}
    control_plane.objects.apply(namespace)
    yield name
    control_plane.objects.delete(namespace)
