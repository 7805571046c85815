"""Pods and a pool's ports -> the endpoints of the pool. Pure; ``discovery`` hands in what it knows.

A pod is asked while it is Ready and not going; each target port of it is an endpoint of its own,
``<pod>-rank-<index of the port>``. An annotation can name the ports that are active.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass

from gateway.datalayer.discovered import EndpointSpec
from gateway.datalayer.state import host_port
from loadstar.kube.objects import Pod

ACTIVE_PORTS = "llm-d.ai/active-ports"
OLD_ACTIVE_PORTS = "inference.networking.k8s.io/active-ports"
ANNOTATIONS = frozenset({ACTIVE_PORTS, OLD_ACTIVE_PORTS})
"""The only annotations of a pod that are kept."""


@dataclass(frozen=True, slots=True)
class Assembled:
    """The endpoints, and pods that had to be left aside: they claim another's address."""

    endpoints: tuple[EndpointSpec, ...]
    doubled: tuple[str, ...] = ()


def assemble(
    pods: Iterable[Pod], target_ports: Sequence[int], metrics_port: int | None = None
) -> Assembled:
    """One endpoint per pod that should be asked and port that is active, in order of name.

    ``metrics_port`` is where every pod serves its metrics; with several target ports each has its
    own page there, and it says nothing.
    """
    usable = [pod for pod in pods if pod.ready and not pod.terminating and pod.address]
    # A pod whose node is lost can go on looking ready while its address is another's already.
    usable.sort(key=lambda pod: (pod.created, pod.name), reverse=True)
    taken: set[str] = set()
    doubled: set[str] = set()
    found: dict[tuple[str, str, int], EndpointSpec] = {}
    for pod in usable:
        active = active_ports(pod, target_ports)
        for rank, port in enumerate(target_ports):
            destination = host_port(pod.address, port)
            if port not in active:
                continue
            if destination in taken:
                doubled.add(pod.name)
                continue
            taken.add(destination)
            found[pod.namespace, pod.name, rank] = EndpointSpec(
                name=f"{pod.name}-rank-{rank}",
                namespace=pod.namespace,
                address=pod.address,
                port=port,
                labels=pod.labels,
                metrics_port=metrics_port if len(target_ports) == 1 else None,
                uid=pod.uid,
            )
    return Assembled(tuple(found[key] for key in sorted(found)), tuple(sorted(doubled)))


def active_ports(pod: Pod, target_ports: Sequence[int]) -> Collection[int]:
    """Those of ``target_ports`` that the pod says are active; without a word, all.

    What is no port, or not the pool's, is passed over.
    """
    said = pod.annotations.get(ACTIVE_PORTS, pod.annotations.get(OLD_ACTIVE_PORTS))
    if said is None:
        return target_ports
    words = (word.strip() for word in said.split(","))
    named = {int(word) for word in words if word.isascii() and word.isdigit() and len(word) < 6}
    return named.intersection(target_ports)
