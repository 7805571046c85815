"""``answer``: a question and a view -> values, or a refusal that says why. Pure, no IO.

Nothing fresh is never zero: it is NotFound, which an HPA takes as a reason to hold.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import overload

from loadstar.kube.selectors import Selector
from metrics_adapter.catalog import Metric, resource_called
from metrics_adapter.errors import BadRequest, NotFound
from metrics_adapter.query import reasons
from metrics_adapter.query.ask import ALL, CustomQuery, Described, ExternalQuery, Value
from metrics_adapter.query.compute import PODS, Asking, compute, leaves, pod_target
from metrics_adapter.query.external import external
from metrics_adapter.query.gather import Moment, Seen, Target
from metrics_adapter.query.view import View


@overload
def answer(view: View, query: CustomQuery, now: float) -> list[Value]: ...
@overload
def answer(view: View, query: ExternalQuery, now: float) -> list[Value]: ...
def answer(view: View, query: CustomQuery | ExternalQuery, now: float) -> list[Value]:
    """The values that ``query`` asks for, in a fixed order. ``now`` is ``Clock.wall()``.

    Raises NotFound (Stale where there were values once) and BadRequest.
    """
    if isinstance(query, ExternalQuery):
        return external(view, query, now)
    return _custom(view, query, now)


def _custom(view: View, query: CustomQuery, now: float) -> list[Value]:
    resource = resource_called(query.resource)
    metric = view.catalog.resolve(query.metric)
    kind = view.resource(resource)
    if metric is None and not view.columns(resource, query.metric):
        raise NotFound(reasons.unknown_metric(view, query, resource))
    if kind is None:
        raise NotFound(
            f"{reasons.not_found(query, resource)}: nothing is known of {query.resource}"
        )
    targets = _targets(view, query, metric, resource, namespaced=kind.namespaced)
    if not targets:
        raise NotFound(reasons.nobody(view, query, resource))
    seen = Seen()
    asking = Asking(view, Moment(now, view.staleness), seen, query.metric_selector)
    found = compute(asking, query.metric, metric, resource, targets)
    most = None if metric is None else metric.entry.at_most
    word, api_version = kind.kind, kind.api_version
    values = []
    for target, value, at, window in zip(
        targets, found.value.tolist(), found.at.tolist(), found.window.tolist(), strict=True
    ):
        if math.isnan(value):
            continue
        namespace, name = target.key
        values.append(
            Value(
                query.metric,
                value if most is None else min(value, most),
                at,
                None if window < 0 else window,
                Described(word, api_version, namespace, name),
            )
        )
    if not values:
        raise reasons.nothing_fresh(view, query, resource, len(targets), seen, now)
    return values


def _targets(
    view: View, query: CustomQuery, metric: Metric | None, resource: str, *, namespaced: bool
) -> Sequence[Target]:
    namespace = (query.namespace or "") if namespaced else ""
    if namespaced and not namespace:
        raise BadRequest(f"{resource} live in namespaces, and the path names none")
    inventory = view.inventory
    if resource == PODS and inventory.known:
        if query.name == ALL:
            return [pod_target(pod) for pod in inventory.select(namespace, query.object_selector)]
        pod = inventory.pods.get((namespace, query.name))
        return [] if pod is None else [pod_target(pod)]
    if query.name != ALL:
        return [Target((namespace, query.name))]
    names = dict[str, Mapping[str, str] | None]()
    for name in inventory.names(resource, namespace):
        names[name] = inventory.labels(resource, namespace, name)
    for column in view.columns(resource, *leaves(view, query.metric, metric)):
        for key, labels in zip(column.objects.keys, column.objects.labels, strict=True):
            if key[0] == namespace and names.get(key[1]) is None:
                names[key[1]] = labels
    chosen = [name for name, labels in names.items() if _selected(query.object_selector, labels)]
    return [Target((namespace, name)) for name in sorted(chosen)]


def _selected(selector: Selector, labels: Mapping[str, str] | None) -> bool:
    """What has no known labels is chosen by a selector that asks for none."""
    if not selector.requirements:
        return True
    return labels is not None and selector.matches(labels)
