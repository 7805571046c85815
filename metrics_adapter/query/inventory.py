"""Which objects there are: pods, and what they are parts of. Immutable values; Kubernetes says.

Built by ``sources.kubernetes``. Without one (``Inventory()``) nothing is known of objects, and
whatever a source tells values of is taken to exist.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from loadstar.kube.resources import INFERENCE_POOLS
from loadstar.kube.selectors import Operator, Selector
from metrics_adapter.query.ask import NO_LABELS

Key = tuple[str, str]
"""Namespace and name."""


MOST_REMEMBERED = 200_000
"""Pods in remembered selections, of all selectors together: 2 MB."""
MOST_KEYS = 32
"""Labels by whose values pods are kept; whoever may ask may ask for any."""


@dataclass(frozen=True, slots=True)
class Pod:
    """One pod that is not being deleted."""

    namespace: str
    name: str
    uid: str
    labels: Mapping[str, str] = field(default_factory=lambda: NO_LABELS)
    created_at: float = 0.0
    """Unix seconds. What was sampled before is of another pod of this name."""
    node: str = ""
    owners: tuple[tuple[str, str], ...] = ()
    """Resource and name of what it is a part of: ``deployments.apps``, ``vllm``."""
    address: str = ""
    """Empty until it has one."""
    metrics_port: int = 0
    """As it says itself; 0 is nothing said."""
    been_ready: bool = True
    """Whether it was ready once, and so may have load."""

    @property
    def key(self) -> Key:
        return self.namespace, self.name


@dataclass(frozen=True, slots=True)
class Group:
    """An object that consists of pods: a Service or an InferencePool, a Deployment or the like."""

    resource: str
    namespace: str
    name: str
    selector: Selector | None
    """Of its pods by their labels; None selects nothing."""
    labels: Mapping[str, str] = field(default_factory=lambda: NO_LABELS)
    """Its own."""
    owns: bool = False
    """Its pods are instead those that say they are parts of it."""


class Inventory:
    """All pods and groups at one moment."""

    __slots__ = (
        "_by_label",
        "_by_namespace",
        "_by_node",
        "_by_owner",
        "_chosen",
        "_names",
        "_room",
        "groups",
        "known",
        "pods",
        "pooled",
    )

    def __init__(
        self, pods: Iterable[Pod] = (), groups: Iterable[Group] = (), *, known: bool = False
    ) -> None:
        """``known`` is whether this is all there is, not the want of anybody to ask."""
        self.known = known
        self.pods: Mapping[Key, Pod] = MappingProxyType(
            {pod.key: pod for pod in sorted(pods, key=lambda pod: pod.key)}
        )
        self.groups: Mapping[tuple[str, str, str], Group] = MappingProxyType(
            {(group.resource, group.namespace, group.name): group for group in groups}
        )
        self._by_namespace: dict[str, list[Pod]] = {}
        self._by_node: dict[str, list[Pod]] = {}
        self._by_owner: dict[tuple[str, str, str], list[Pod]] = {}
        for pod in self.pods.values():
            self._by_namespace.setdefault(pod.namespace, []).append(pod)
            if pod.node:
                self._by_node.setdefault(pod.node, []).append(pod)
            for resource, name in pod.owners:
                self._by_owner.setdefault((resource, pod.namespace, name), []).append(pod)
        names: dict[tuple[str, str], set[str]] = {}
        for resource, namespace, name in (*self.groups, *self._by_owner):
            names.setdefault((resource, namespace), set()).add(name)
        self._names = {place: sorted(found) for place, found in names.items()}
        # Every HPA asks with the same selector each time.
        self._chosen: dict[tuple[str, Selector], tuple[Pod, ...]] = {}
        self._room = MOST_REMEMBERED
        self._by_label: dict[tuple[str, str], dict[str, list[Pod]]] = {}
        self.pooled: frozenset[Key] = frozenset(
            pod.key
            for group in self.groups.values()
            if group.resource == str(INFERENCE_POOLS) and group.selector is not None
            for pod in self.select(group.namespace, group.selector)
        )
        """The pods that some InferencePool sends requests to."""

    def select(self, namespace: str, selector: Selector) -> tuple[Pod, ...]:
        """The pods of ``namespace`` that ``selector`` matches, by name."""
        asked = namespace, selector
        chosen = self._chosen.get(asked)
        if chosen is None:
            pods = self._candidates(namespace, selector)
            chosen = tuple(pod for pod in pods if selector.matches(pod.labels))
            self._room -= len(chosen) + 1
            if self._room < 0:
                self._chosen.clear()
                self._room = MOST_REMEMBERED
            self._chosen[asked] = chosen
        return chosen

    def _candidates(self, namespace: str, selector: Selector) -> Sequence[Pod]:
        """Pods among which are all that ``selector`` matches: those with a label it wants."""
        pods = self._by_namespace.get(namespace, [])
        for requirement in selector.requirements:
            if requirement.operator is Operator.IN and len(requirement.values) == 1:
                place = namespace, requirement.key
                by_value = self._by_label.get(place)
                if by_value is None:
                    if len(self._by_label) >= MOST_KEYS:
                        self._by_label.clear()
                    by_value = self._by_label[place] = {}
                    for pod in pods:
                        value = pod.labels.get(requirement.key)
                        if value is not None:
                            by_value.setdefault(value, []).append(pod)
                return by_value.get(requirement.values[0], [])
        return pods

    def members(self, resource: str, namespace: str, name: str) -> tuple[Pod, ...] | None:
        """The pods that make up an object; None if it is not known to exist."""
        if resource == "namespaces":
            pods = self._by_namespace.get(name)
            return None if pods is None else tuple(pods)
        if resource == "nodes":
            pods = self._by_node.get(name)
            return None if pods is None else tuple(pods)
        group = self.groups.get((resource, namespace, name))
        if group is not None and not group.owns:
            if group.selector is None:
                return ()
            return self.select(namespace, group.selector)
        owned = self._by_owner.get((resource, namespace, name))
        if owned is None:
            return None if group is None else ()
        return tuple(owned)

    def names(self, resource: str, namespace: str) -> Sequence[str]:
        """The objects of ``resource`` known in ``namespace``, sorted."""
        if resource == "nodes":
            return sorted(self._by_node)
        return self._names.get((resource, namespace), ())

    def labels(self, resource: str, namespace: str, name: str) -> Mapping[str, str] | None:
        """The labels of a group; None for what is known by its pods alone."""
        group = self.groups.get((resource, namespace, name))
        return None if group is None else group.labels


NOBODY_KNOWS = Inventory()
