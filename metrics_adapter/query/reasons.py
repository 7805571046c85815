"""Why there is no value, in words for whoever reads ``kubectl describe hpa``. Pure."""

from __future__ import annotations

import datetime
import math

from loadstar.config.errors import did_you_mean
from metrics_adapter.errors import NotFound, Stale
from metrics_adapter.query.ask import ALL, CustomQuery, ExternalQuery
from metrics_adapter.query.gather import Seen
from metrics_adapter.query.view import View

NAMES_SHOWN = 12
NAMES_COMPARED = 300
"""With what was asked for; each takes some microseconds, and anybody may ask."""
LONGEST_WORD = 200


def not_found(query: CustomQuery, resource: str) -> str:
    """The sentence that clients of other adapters know."""
    metric, about = query.metric[:LONGEST_WORD], resource[:LONGEST_WORD]
    what = f"the server could not find the metric {metric} for {about}"
    if query.name != ALL:
        what += f" {query.name[:LONGEST_WORD]}"
    if query.metric_selector.requirements:
        what += f" with selector {str(query.metric_selector)[:LONGEST_WORD]}"
    return what


def unknown_metric(view: View, query: CustomQuery, resource: str) -> str:
    """There is no such metric."""
    names = sorted(
        {listed.metric for listed in view.custom_listing if listed.resource == resource}
        or set(view.catalog.metrics)
    )
    return f"{not_found(query, resource)}: {known(query.metric, names)}"


def known(asked: str, names: list[str]) -> str:
    """``known metrics are a, b, did you mean b?``"""
    shown = ", ".join(names[:NAMES_SHOWN])
    more = f" and {len(names) - NAMES_SHOWN} more" if len(names) > NAMES_SHOWN else ""
    if not names:
        return "no metric is known yet"
    return f"known metrics are {shown}{more}{did_you_mean(asked, names[:NAMES_COMPARED])}"


def nobody(view: View, query: CustomQuery, resource: str) -> str:
    """There is no such object."""
    where = f" in the namespace {query.namespace[:LONGEST_WORD]}" if query.namespace else ""
    if query.name != ALL:
        return f"{not_found(query, resource)}: there is no such object{where}"
    selector = str(query.object_selector)[:LONGEST_WORD]
    if selector and any(
        view.inventory.labels(resource, query.namespace or "", name) is None
        for name in view.inventory.names(resource, query.namespace or "")
    ):
        return f"{not_found(query, resource)}: the labels of {resource} are not known here"
    which = f" matching {selector}" if selector else ""
    return f"{not_found(query, resource)}: there are no {resource}{which}{where}"


def nothing_fresh(
    view: View, query: CustomQuery, resource: str, objects: int, seen: Seen, now: float
) -> NotFound:
    """There are objects, and no values."""
    what = not_found(query, resource)
    of = "" if objects == 1 else f" of any of the {objects} objects"
    if seen.pods is not None:
        known, wanted = seen.pods
        what += f": {known} of {wanted} pods are known, and {100 * view.quorum:.0f} % must be"
    if math.isfinite(seen.newest):
        return Stale(f"{what}: no fresh sample{of} {since(seen.newest, now, view.staleness)}")
    if seen.other_labels:
        return NotFound(f"{what}: no series{of} matches the selector")
    if seen.pods is not None and seen.pods[0]:
        return NotFound(what)
    return NotFound(f"{what}: no source has told a value{of}")


def no_external(view: View, query: ExternalQuery, seen: Seen, now: float) -> NotFound:
    """No series of an external metric."""
    what = f"the server could not find the external metric {query.metric[:LONGEST_WORD]}"
    if query.selector.requirements:
        what += f" with selector {str(query.selector)[:LONGEST_WORD]}"
    what += f" in the namespace {query.namespace[:LONGEST_WORD]}"
    if math.isfinite(seen.newest):
        return Stale(f"{what}: no fresh sample {since(seen.newest, now, view.staleness)}")
    if seen.other_labels:
        return NotFound(f"{what}: no series matches the selector")
    names = list(view.external_listing)
    if query.metric in names:
        return NotFound(f"{what}: no source has told a value")
    return NotFound(f"{what}: {known(query.metric, names)}")


def unsayable(query: CustomQuery | ExternalQuery) -> str:
    """There are values, and no quantity is as large."""
    what = f"the server could not find the metric {query.metric[:LONGEST_WORD]}"
    return f"{what} as a quantity: its values are larger than one can be"


def since(newest: float, now: float, staleness: float) -> str:
    """How old the youngest sample is, and how old it may be."""
    stamp = datetime.datetime.fromtimestamp(newest, datetime.UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if newest > now:
        return f"(the last is of {stamp}, {newest - now:.0f} s ahead of this clock)"
    return f"since {stamp}, {now - newest:.0f} s ago; the limit is {staleness:.0f} s"
