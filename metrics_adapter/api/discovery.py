"""What the APIs consist of, as the documents that clients discover them by. Pure.

Legacy lists, and aggregated discovery (v2 and v2beta1), which is where ``kubectl`` and the
aggregator look first. Sorted and bounded, so that equal content has an equal ETag on every replica.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping, Sequence
from itertools import groupby
from typing import Any, Final

from metrics_adapter.api.parse import CUSTOM_GROUP, EXTERNAL_GROUP
from metrics_adapter.query import View

Served = Mapping[str, Sequence[str]]
"""The versions of each API group that is switched on, the preferred one first."""

EVERY_API: Final[Served] = {
    CUSTOM_GROUP: ("v1beta2", "v1beta1"),
    EXTERNAL_GROUP: ("v1beta1",),
}
VERBS: Final = ("get",)
"""And no others: controllers that list, watch or delete everything leave these alone."""


def groups(served: Served) -> dict[str, object]:
    """``/apis``: the APIGroupList."""
    return {
        "kind": "APIGroupList",
        "apiVersion": "v1",
        "groups": [_group(name, versions) for name, versions in served.items()],
    }


def group(served: Served, name: str) -> dict[str, object]:
    """``/apis/NAME``: the APIGroup."""
    return {"kind": "APIGroup", "apiVersion": "v1", **_group(name, served[name])}


def resources(view: View, name: str, version: str) -> dict[str, object]:
    """``/apis/NAME/VERSION``: the APIResourceList, by which the aggregator checks our health."""
    listed: list[dict[str, object]]
    if name == EXTERNAL_GROUP:
        listed = [
            _resource(metric, "ExternalMetricValueList", namespaced=True)
            for metric in view.external_listing
        ]
    else:
        listed = [
            _resource(f"{line.resource}/{line.metric}", "MetricValueList", line.namespaced)
            for line in view.custom_listing
        ]
    return {
        "kind": "APIResourceList",
        "apiVersion": "v1",
        "groupVersion": f"{name}/{version}",
        "resources": listed,
    }


def aggregated(view: View, served: Served, version: str) -> dict[str, object]:
    """``/apis`` as an APIGroupDiscoveryList of ``version`` (``v2`` or ``v2beta1``)."""
    items: list[dict[str, object]] = []
    for name, versions in served.items():
        entries = _external_entries(view) if name == EXTERNAL_GROUP else _custom_entries(view)
        items.append(
            {
                "metadata": {"name": name},
                "versions": [
                    {"version": each, "freshness": "Current", "resources": entries}
                    for each in versions
                ],
            }
        )
    return {
        "kind": "APIGroupDiscoveryList",
        "apiVersion": f"apidiscovery.k8s.io/{version}",
        "metadata": {},
        "items": items,
    }


def etag(body: bytes) -> str:
    """What tells one document from another, quoted as the header wants it."""
    return f'"{hashlib.sha256(body).hexdigest()[:32].upper()}"'


def _group(name: str, versions: Iterable[str]) -> dict[str, object]:
    listed = [{"groupVersion": f"{name}/{each}", "version": each} for each in versions]
    return {"name": name, "versions": listed, "preferredVersion": listed[0]}


def _resource(name: str, kind: str, namespaced: bool) -> dict[str, object]:
    return {
        "name": name,
        "singularName": "",
        "namespaced": namespaced,
        "kind": kind,
        "verbs": list(VERBS),
    }


def _custom_entries(view: View) -> list[dict[str, Any]]:
    """One for each kind of object, its metrics as subresources."""
    entries = []
    for (resource, namespaced), lines in groupby(
        view.custom_listing, key=lambda line: (line.resource, line.namespaced)
    ):
        entries.append(
            {
                "resource": resource,
                # Clients of some versions take its absence badly.
                "responseKind": {"group": "", "version": "", "kind": ""},
                "scope": "Namespaced" if namespaced else "Cluster",
                "singularResource": "",
                "verbs": [],
                "subresources": [
                    {
                        "subresource": line.metric,
                        "responseKind": {"group": "", "version": "", "kind": "MetricValueList"},
                        "verbs": list(VERBS),
                    }
                    for line in lines
                ],
            }
        )
    return entries


def _external_entries(view: View) -> list[dict[str, Any]]:
    return [
        {
            "resource": metric,
            "responseKind": {"group": "", "version": "", "kind": "ExternalMetricValueList"},
            "scope": "Namespaced",
            "singularResource": "",
            "verbs": list(VERBS),
        }
        for metric in view.external_listing
    ]
