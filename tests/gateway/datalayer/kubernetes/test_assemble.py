"""Which pods are endpoints, on which ports, under which names."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gateway.datalayer.discovered import EndpointSpec
from gateway.datalayer.kubernetes.assemble import (
    ACTIVE_PORTS,
    OLD_ACTIVE_PORTS,
    Assembled,
    active_ports,
    assemble,
)
from loadstar.kube.objects import Pod


def pod(name: str = "a", **fields: object) -> Pod:
    made = Pod(
        name=name,
        namespace="lab",
        uid=f"uid-{name}",
        address=f"10.0.0.{ord(name[0])}",
        ready=True,
        terminating=False,
        labels={"app": "vllm"},
        created="2026-01-01T00:00:00Z",
    )
    return replace(made, **fields)  # type: ignore[arg-type]  # a builder takes any field


def names(assembled: Assembled) -> list[str]:
    return [spec.name for spec in assembled.endpoints]


def test_each_port_of_a_pod_is_an_endpoint() -> None:
    assert assemble([pod("b"), pod("a", address="2001:db8::7")], (8000, 8001)) == Assembled(
        (
            EndpointSpec("a-rank-0", "2001:db8::7", 8000, "lab", {"app": "vllm"}, uid="uid-a"),
            EndpointSpec("a-rank-1", "2001:db8::7", 8001, "lab", {"app": "vllm"}, uid="uid-a"),
            EndpointSpec("b-rank-0", "10.0.0.98", 8000, "lab", {"app": "vllm"}, uid="uid-b"),
            EndpointSpec("b-rank-1", "10.0.0.98", 8001, "lab", {"app": "vllm"}, uid="uid-b"),
        )
    )


@pytest.mark.parametrize(
    "fields",
    [
        pytest.param({"ready": False}, id="not ready"),
        pytest.param({"terminating": True}, id="going"),
        pytest.param({"address": ""}, id="without an address"),
    ],
)
def test_a_pod_that_should_not_be_asked_is_no_endpoint(fields: dict[str, object]) -> None:
    assert assemble([pod("a", **fields)], (8000,)) == Assembled(())


@pytest.mark.parametrize(
    ("annotations", "active"),
    [
        pytest.param({}, {8000, 8001}, id="no word"),
        pytest.param({ACTIVE_PORTS: "8001"}, {8001}, id="one"),
        pytest.param({ACTIVE_PORTS: " 8001 , 8000"}, {8000, 8001}, id="spaces"),
        pytest.param({OLD_ACTIVE_PORTS: "8000"}, {8000}, id="the old name"),
        pytest.param({ACTIVE_PORTS: "8001", OLD_ACTIVE_PORTS: "8000"}, {8001}, id="both"),
        pytest.param({ACTIVE_PORTS: ""}, set(), id="none"),
        pytest.param({ACTIVE_PORTS: "9999,eight,-1,8000x,8000"}, {8000}, id="nonsense"),
    ],
)
def test_a_pod_can_say_which_ports_are_active(
    annotations: dict[str, str], active: set[int]
) -> None:
    assert set(active_ports(pod("a", annotations=annotations), (8000, 8001))) == active


def test_an_inactive_port_keeps_the_names_of_the_others() -> None:
    assert names(assemble([pod("a", annotations={ACTIVE_PORTS: "8001"})], (8000, 8001))) == [
        "a-rank-1"
    ]


def test_a_metrics_port_is_meant_where_there_is_one_target_port() -> None:
    assert [e.metrics_port for e in assemble([pod("a")], (8000,), 9100).endpoints] == [9100]
    assert [e.metrics_port for e in assemble([pod("a")], (8000, 8001), 9100).endpoints] == [
        None,
        None,
    ]


def test_of_two_pods_with_one_address_the_newer_has_it() -> None:
    old = pod("a", address="10.0.0.1", created="2026-01-01T00:00:00Z")
    new = pod("b", address="10.0.0.1", created="2026-01-02T00:00:00Z")
    for pods in ([old, new], [new, old]):
        assembled = assemble(pods, (8000,))
        assert names(assembled) == ["b-rank-0"]
        assert assembled.doubled == ("a",)


PODS = st.lists(
    st.builds(
        pod,
        st.sampled_from("abcdefgh"),
        ready=st.booleans(),
        terminating=st.booleans(),
        address=st.sampled_from(["", "10.0.0.1", "10.0.0.2", "10.0.0.3", "::1"]),
        created=st.sampled_from(["2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z"]),
    ),
    unique_by=lambda each: each.name,
)


@given(PODS, st.lists(st.sampled_from([1, 2, 3]), unique=True, min_size=1), st.randoms())
def test_no_destination_comes_twice_and_the_order_of_pods_does_not_matter(
    pods: list[Pod], ports: list[int], rng: object
) -> None:
    assembled = assemble(pods, ports)
    destinations = [(spec.address, spec.port) for spec in assembled.endpoints]
    assert len(set(destinations)) == len(destinations)
    asked = {p.address for p in pods if p.ready and not p.terminating and p.address}
    assert {address for address, _ in destinations} == asked
    assert assemble(reversed(pods), ports) == assembled
