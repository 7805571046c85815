"""A local fleet's nodes come before its replicas, and what is busy is never taken."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from load_tests.local.state import FleetState, Phase, PoolPlan, Start, Stop


def fleet(places: int = 1) -> FleetState:
    pool = PoolPlan(name="gpu", node_s=4.0, places=places, most=8)
    return FleetState({"gpu": pool}, pod_s=2.0, drain_s=1.0)


def test_a_replica_waits_for_a_node_and_then_for_itself() -> None:
    state = fleet()
    state.set_nodes("gpu", 1)
    state.set_replicas("llama", 1)
    begun = [(t, due) for t in range(10) for due in state.step(float(t))]
    assert begun == [(4, Start("llama-2"))]
    phases = []
    state = fleet()
    state.set_nodes("gpu", 1)
    state.set_replicas("llama", 1)
    for t in range(8):
        state.step(float(t))
        phases.append(state.replicas[0].phase)
    assert phases == [Phase.WAITING] * 4 + [Phase.LOADING] * 2 + [Phase.READY] * 2


def test_a_smaller_pool_gives_back_what_is_empty_and_waits_for_the_rest() -> None:
    state = fleet()
    state.set_nodes("gpu", 3)
    state.set_replicas("llama", 2)
    for t in range(10):
        state.step(float(t))
    state.set_nodes("gpu", 0)
    state.step(10.0)
    assert len(state.nodes) == 2
    state.set_replicas("llama", 0)
    stopped = [due for t in range(11, 15) for due in state.step(float(t))]
    assert len([due for due in stopped if isinstance(due, Stop)]) == 2
    assert state.nodes == []


def test_the_document_says_what_a_provider_must_know() -> None:
    state = fleet(places=2)
    state.set_nodes("gpu", 2)
    state.set_replicas("llama", 1)
    for t in range(10):
        state.step(float(t))
    found = state.document(9.0)
    assert found["pools"]["gpu"] == {"target": 2, "ready": 2, "creating": 0, "empty": ["gpu-2"]}
    assert found["workloads"]["llama"] == {
        "replicas": 1,
        "pools": {"gpu": {"ready": 1, "starting": 0, "draining": 0}},
    }
    assert found["nodeSeconds"] == 18.0


@given(
    st.lists(st.tuples(st.integers(0, 8), st.integers(0, 8)), min_size=1, max_size=40),
    st.integers(1, 3),
)
def test_no_replica_is_without_a_place(wanted: list[tuple[int, int]], places: int) -> None:
    """Every replica that runs stands on a node that is there, and no node holds too many."""
    state = fleet(places)
    running: set[str] = set()
    for t, (nodes, replicas) in enumerate(wanted * 3):
        state.set_nodes("gpu", nodes)
        state.set_replicas("llama", replicas)
        for due in state.step(float(t)):
            if isinstance(due, Start):
                assert due.replica not in running
                running.add(due.replica)
            else:
                running.remove(due.replica)
        placed = [each for each in state.replicas if each.node]
        assert {each.name for each in placed} == running
        names = [node.name for node in state.nodes]
        assert all(each.node in names for each in placed)
        assert all(sum(each.node == name for each in placed) <= places for name in names)
