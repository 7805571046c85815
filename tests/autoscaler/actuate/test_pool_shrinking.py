"""A node pool gives back nodes: empty ones first, cordoned before they go."""

from __future__ import annotations

import pytest

from autoscaler.actuate.nodepool.state import Stay, Why
from autoscaler.observe.cluster import node_view
from loadstar.kube.errors import Unreachable
from loadstar.kube.resources import NODES
from tests.autoscaler.actuate.pool_bench import MINUTE_S, TICK_S, Bench, gpu
from tests.fakes.gke.cloud import Fault
from tests.fakes.kube_documents import KubeDocuments


@pytest.mark.parametrize("status", [409, 429, 500, 503])
async def test_giving_back_that_is_refused_for_now_is_tried_again(status: int) -> None:
    bench = Bench(gpu(), size=3)
    bench.cloud.fail_next(Fault("deleteInstances", status, "not now", times=2))
    await bench.run(1, 10 * MINUTE_S)
    assert [w[2] for w in bench.writes()] == [status, status, 200]
    assert bench.sizes() == {"us-central1-a": (1, 1)}


async def test_giving_back_that_happened_unanswered_is_nobodys_override() -> None:
    bench = Bench(gpu(), size=3)
    bench.cloud.fail_next(Fault("deleteInstances", 503, "no answer", happens_anyway=True))
    await bench.run(1, 10 * MINUTE_S)
    assert bench.writes() == [("deleteInstances", 2, 503)]
    assert bench.told == []
    assert bench.sizes() == {"us-central1-a": (1, 1)}


async def test_shrinking_takes_empty_nodes_and_waits_for_the_others() -> None:
    bench = Bench(gpu(), size=5)
    bench.cloud.busy("gpu", 4)
    last = await bench.run(2, 5 * MINUTE_S)
    assert bench.writes() == [("deleteInstances", 1, 200)]
    assert last.step == Stay(Why.DRAINING)
    bench.cloud.busy("gpu", 2)
    await bench.run(2, 5 * MINUTE_S)
    assert bench.writes()[1:] == [("deleteInstances", 2, 200)]
    assert all(machine.busy for machine in bench.pool.nodes)


def three_nodes() -> tuple[KubeDocuments, Bench]:
    """A pool of three empty nodes, and what Kubernetes has of them."""
    nodes = KubeDocuments()
    bench = Bench(gpu(), size=3, nodes=nodes)
    for machine in bench.pool.nodes:
        metadata = {"name": machine.name, "creationTimestamp": "2026-01-01T00:00:00Z"}
        nodes.put(NODES, {"metadata": metadata, "spec": {}})
    return nodes, bench


async def test_a_node_is_cordoned_before_the_look_that_lets_it_go() -> None:
    nodes, bench = three_nodes()
    names = [machine.name for machine in bench.pool.nodes]
    await bench.run(2, TICK_S)
    assert [write.what for write in nodes.writes] == [f"nodes/{names[0]}"]
    assert bench.writes() == []
    bench.cloud.busy("gpu", 1)  # a pod was quicker: this node stays, and another goes
    await bench.run(2, TICK_S)
    cordoned = [each for each in names if nodes.at(NODES, each)["spec"].get("unschedulable")]
    assert cordoned == [names[1]]
    assert bench.writes() == []
    await bench.run(2, 5 * MINUTE_S)
    assert bench.writes() == [("deleteInstances", 1, 200)]
    assert names[1] not in {machine.name for machine in bench.pool.nodes}


async def test_a_node_that_is_wanted_again_is_uncordoned() -> None:
    nodes, bench = three_nodes()
    await bench.run(2, TICK_S)
    await bench.run(3, TICK_S)
    spec = nodes.at(NODES, bench.pool.nodes[0].name)["spec"]
    assert not spec.get("unschedulable")
    assert bench.writes() == []


async def test_a_node_whose_cordon_was_not_answered_is_neither_forgotten_nor_let_go() -> None:
    nodes, bench = three_nodes()
    nodes.lost = [Unreachable("reset")]
    with pytest.raises(Unreachable):
        await bench.driver.tick(2, 0.0)
    name = bench.pool.nodes[0].name
    assert nodes.at(NODES, name)["spec"]["unschedulable"]
    await bench.run(3, TICK_S)
    assert not nodes.at(NODES, name)["spec"].get("unschedulable")
    assert bench.writes() == []


async def test_a_node_that_another_process_cordoned_is_uncordoned_or_let_go() -> None:
    """One that ended in between has left a mark; a node that a person cordoned has none."""
    nodes, bench = three_nodes()
    names = [machine.name for machine in bench.pool.nodes]
    nodes.at(NODES, names[2])["spec"]["unschedulable"] = True
    await bench.run(2, TICK_S)
    assert [node_view(nodes.at(NODES, n)).cordoned_by_us for n in names] == [True, False, False]
    bench.restart()
    await bench.run(3, TICK_S)
    spoken = [nodes.at(NODES, name) for name in names]
    assert [each["spec"].get("unschedulable") for each in spoken] == [None, None, True]
    assert [each["metadata"].get("annotations") for each in spoken] == [{}, None, None]
    assert bench.writes() == []


async def test_an_order_that_is_not_wanted_any_more_is_cut_to_what_came() -> None:
    bench = Bench(gpu(node_s=300.0), size=1)
    bench.cloud.busy("gpu", 1)
    await bench.run(5, MINUTE_S)
    await bench.run(1, 10 * MINUTE_S)
    assert bench.writes() == [("setSize", 5, 200), ("setSize", 1, 200)]
