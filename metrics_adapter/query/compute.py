"""One metric of many objects: from their own rows, from their pods', or worked out. Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from loadstar.kube.selectors import EVERYTHING, Selector
from metrics_adapter.adapter_config import QUANTILES, Fold, Kind
from metrics_adapter.catalog import MADE_OF_PODS, Metric
from metrics_adapter.query.columns import Indices
from metrics_adapter.query.gather import (
    QUANTILE_LABEL,
    Aligned,
    Moment,
    Seen,
    Target,
    latencies,
    scalars,
    without_quantile,
)
from metrics_adapter.query.inventory import Pod
from metrics_adapter.query.members import OF_ANY_PODS, Silent, add_up, awaited, enough, heard_of
from metrics_adapter.query.view import View

PODS = "pods"


@dataclass(frozen=True, slots=True)
class Asking:
    """What stays the same while one question is worked out."""

    view: View
    moment: Moment
    seen: Seen
    selector: Selector = EVERYTHING
    """Of series."""


def compute(
    asking: Asking, asked: str, metric: Metric | None, resource: str, targets: Sequence[Target]
) -> Aligned:
    """The metric called ``asked`` of each target; ``metric`` is None if no table has it."""
    own = _own(asking, asked, metric, resource, targets)
    if metric is None or resource not in MADE_OF_PODS or not np.isnan(own.value).any():
        return own
    return own.or_else(_of_pods(asking, asked, metric, resource, targets))


def _own(
    asking: Asking, asked: str, metric: Metric | None, resource: str, targets: Sequence[Target]
) -> Aligned:
    """From rows that are about the targets themselves, or inputs that are."""
    view = asking.view
    if metric is None:
        columns = view.columns(resource, asked)
        return scalars(columns, targets, asking.selector, Fold.SUM, asking.moment, asking.seen)
    entry = metric.entry
    # A number that some source tells outright is of no quantile but the one it is called by.
    names = (asked,) if metric.quantile else (asked, entry.name)
    told = view.columns(resource, *names)
    found = scalars(
        [column for column in told if column.buckets is None],
        targets,
        without_quantile(asking.selector)[0] if entry.kind is Kind.LATENCY else asking.selector,
        entry.fold,
        asking.moment,
        asking.seen,
    )
    if entry.kind is Kind.LATENCY:
        identity = np.arange(len(targets), dtype=np.int32)
        return found.or_else(
            _latency(asking, asked, metric, resource, targets, (identity, len(targets)))
        )
    if entry.kind is Kind.EXPRESSION and not (entry.per_pod and resource in MADE_OF_PODS):
        return found.or_else(_worked_out(asking, metric, resource, targets))
    return found


def _worked_out(
    asking: Asking, metric: Metric, resource: str, targets: Sequence[Target]
) -> Aligned:
    assert metric.expression is not None
    catalog = asking.view.catalog
    inputs = {
        name: compute(asking, name, catalog.resolve(name), resource, targets)
        for name in metric.expression.names
    }
    value = np.broadcast_to(
        metric.expression.evaluate({name: part.value for name, part in inputs.items()}),
        (len(targets),),
    )
    # Of inputs that ``coalesce`` passed over there is no time.
    at = np.min([part.at for part in inputs.values()], axis=0)
    window = np.max([part.window for part in inputs.values()], axis=0)
    return Aligned(np.where(np.isfinite(at), value, np.nan), at, window)


def _latency(
    asking: Asking,
    asked: str,
    metric: Metric,
    resource: str,
    targets: Sequence[Target],
    groups: tuple[Indices, int],
) -> Aligned:
    selector, share = quantile_asked(metric, asking.selector)
    if share is None:
        asking.seen.other_labels = True
        return Aligned.nothing(groups[1])
    columns = asking.view.columns(resource, asked, metric.entry.name)
    found = latencies(columns, targets, groups, selector, share, asking.moment, asking.seen)
    return Aligned(found.value * metric.entry.scale, found.at, found.window)


def quantile_asked(metric: Metric, selector: Selector) -> tuple[Selector, float | None]:
    """What is left of ``selector`` for series, and which quantile it wants; None is none of ours.

    The name decides (``model_latency_ms_p99``), else the label ``quantile``, else the entry.
    """
    rest, asked = without_quantile(selector)
    first = metric.quantile or metric.entry.quantile
    words = [first.value] if metric.quantile else [first.value, *QUANTILES]
    for word in words:
        if all(requirement.matches({QUANTILE_LABEL: word}) for requirement in asked):
            return rest, QUANTILES[word]
    return rest, None


def _of_pods(
    asking: Asking, asked: str, metric: Metric, resource: str, targets: Sequence[Target]
) -> Aligned:
    inventory, entry = asking.view.inventory, metric.entry
    groups = [inventory.members(resource, *target.key) for target in targets]
    if resource in OF_ANY_PODS:
        groups = [inventory.members(resource, "", target.key[1]) for target in targets]
    pods: dict[tuple[str, str], Pod] = {pod.key: pod for group in groups for pod in group or ()}
    if entry.kind is Kind.EXPRESSION and not entry.per_pod:
        return Aligned.nothing(len(targets))
    index = {key: position for position, key in enumerate(pods)}
    members = [np.array([index[pod.key] for pod in group or ()], np.int32) for group in groups]
    of = [pod_target(pod) for pod in pods.values()]
    if entry.kind is Kind.LATENCY:
        return _latencies_of_pods(asking, asked, metric, of, members)
    columns = asking.view.columns(PODS, *leaves(asking.view, asked, metric))
    silent = Silent(heard_of(columns, of), awaited(inventory, resource, pods.values()))
    how, quorum = entry.folded(resource), asking.view.quorum
    result = Aligned.nothing(len(targets))
    if pods:
        parts = compute(asking, asked, metric, PODS, of)
        result = add_up(parts, members, silent, how, quorum, asking.seen)
    if how is Fold.SUM and entry.kind is Kind.GAUGE and entry.series:
        # An object that exists and has no pods has none waiting: a fact, not an absence.
        for position, group in enumerate(groups):
            if group is not None and not group:
                result.value[position] = 0.0
                result.at[position] = asking.moment.now
    return result


def _latencies_of_pods(
    asking: Asking,
    asked: str,
    metric: Metric,
    of: Sequence[Target],
    members: Sequence[Indices],
) -> Aligned:
    """Over all requests of the pods of each object together; ``of`` are the pods.

    A pod that never told of a request has none to be late; one that did and fell silent may have.
    """
    result = Aligned.nothing(len(members))
    columns = asking.view.columns(PODS, asked, metric.entry.name)
    fresh, ever = heard_of(columns, of, asking.moment), heard_of(columns, of)
    known = np.array([int(fresh[pods].sum()) for pods in members], np.int64)
    wanted = np.array([int(ever[pods].sum()) for pods in members], np.int64)
    met = enough(known, wanted, asking.view.quorum, asking.seen)
    for position, pods in enumerate(members):
        whole = np.zeros(len(pods), np.int32), 1
        one = _latency(asking, asked, metric, PODS, [of[pod] for pod in pods.tolist()], whole)
        if met[position]:
            result.value[position] = one.value[0]
            result.at[position] = one.at[0]
            result.window[position] = one.window[0]
    return result


def leaves(view: View, asked: str, metric: Metric | None) -> list[str]:
    """The names under which rows may be that ``asked`` is told from."""
    names = [asked]
    if metric is not None:
        names.append(metric.entry.name)
        if metric.expression is not None:
            for part in metric.expression.names:
                names += leaves(view, part, view.catalog.resolve(part))
    return names


def pod_target(pod: Pod) -> Target:
    return Target(pod.key, pod.uid, pod.created_at)
