"""The API server crashes, goes away, freezes, and comes back as it was."""

from __future__ import annotations

import socket
from concurrent.futures import ThreadPoolExecutor

import pytest
import urllib3

from tests.controlplane import commands
from tests.controlplane.api import Object
from tests.controlplane.cluster import ControlPlane

pytestmark = pytest.mark.controlplane


def config_map(namespace: str) -> Object:
    return {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {"name": "policy", "namespace": namespace},
        "data": {"a": "1"},
    }


def test_what_was_stored_survives_a_crash_of_the_server(
    control_plane: ControlPlane, kube_namespace: str
) -> None:
    objects = control_plane.objects
    objects.apply(config_map(kube_namespace))
    before = control_plane.apiserver.pid
    control_plane.restart_apiserver()
    assert control_plane.apiserver.pid != before
    stored = objects.get("v1", "ConfigMap", "policy", kube_namespace)
    assert stored is not None
    assert stored["data"] == {"a": "1"}


def test_while_the_server_is_away_connections_are_refused_and_its_port_is_kept(
    control_plane: ControlPlane,
) -> None:
    with control_plane.apiserver_away(), pytest.raises(urllib3.exceptions.NewConnectionError):
        control_plane.objects.api.request("GET", "/version")
    assert control_plane.objects.api.answers()


def test_a_frozen_server_takes_connections_and_answers_nobody(control_plane: ControlPlane) -> None:
    with (
        control_plane.apiserver_frozen(),
        socket.create_connection((commands.HOST, control_plane.places.apiserver_port)) as client,
    ):
        client.settimeout(0.5)
        client.sendall(b"hello?")
        with pytest.raises(TimeoutError):
            client.recv(1)
    assert control_plane.objects.api.answers()


def test_the_server_outlives_the_thread_that_restarted_it(control_plane: ControlPlane) -> None:
    """The kernel ends a child with the thread that forked it, and asyncio's threads come and go."""
    with ThreadPoolExecutor(1) as threads:
        threads.submit(control_plane.restart_apiserver).result()
    control_plane.check()
    assert control_plane.objects.api.answers()
