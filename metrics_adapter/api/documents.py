"""Each document that is served, made from what is known at that moment. From memory, at once.

Only the process's own metrics page is made in a thread: it is long and nobody scales by it.
"""

from __future__ import annotations

import asyncio
import platform
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TypeAlias

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from metrics_adapter.api import discovery, negotiate, openapi
from metrics_adapter.api.answer import Answer
from metrics_adapter.api.discovery import Served
from metrics_adapter.api.parse import parse
from metrics_adapter.api.render import dump, render
from metrics_adapter.api.routes import Kind, Route
from metrics_adapter.api.target import Target
from metrics_adapter.errors import NotAcceptable
from metrics_adapter.query import View, answer
from metrics_adapter.query.view import Listed

PATHS = (
    *("/apis", "/healthz", "/livez", "/metrics", "/openapi/v2", "/openapi/v3", "/readyz"),
    "/version",
)
KUBERNETES_VERSION = (1, 36)
"""Whose API conventions are followed; clients compare it with their own."""


@dataclass(frozen=True, slots=True)
class Wanted:
    """How the caller would like it."""

    accept: Sequence[str]
    indent: bool


Names: TypeAlias = tuple[()] | tuple[tuple[Listed, ...], tuple[str, ...]]


class Documents:
    """``get`` is the one way in; ``served`` says which APIs are switched on."""

    def __init__(
        self,
        view: Callable[[], View],
        served: Served,
        registry: CollectorRegistry,
        release: str,
    ) -> None:
        """``release`` is this distribution's version."""
        self.served = served
        self._view = view
        self._registry = registry
        self._version = _version(release)
        self._made: dict[tuple[Route, str | None, bool], tuple[Names, Answer]] = {}
        """Discovery and OpenAPI as last made, and of which names: asked for all the time."""

    async def get(self, found: Route, asked: Target, wanted: Wanted, wall: float) -> Answer:
        """The document of ``found``. Raises a Refusal that says why there is none."""
        if found.kind is Kind.METRICS:
            return await asyncio.to_thread(self._metrics, ",".join(wanted.accept))
        if not negotiate.takes_json(wanted.accept) and not (
            found.kind is Kind.GROUPS and negotiate.discovery_version(wanted.accept)
        ):
            raise NotAcceptable("only the following media types are accepted: application/json")
        if found.kind is Kind.VALUES:
            return self._values(asked, wanted, wall)
        if found.kind is Kind.VERSION:
            return Answer(200, dump(self._version, indent=wanted.indent))
        return self._described(found, wanted)

    def _values(self, asked: Target, wanted: Wanted, wall: float) -> Answer:
        query = parse(asked.segments, asked.query)
        values = answer(self._view(), query, wall)
        body = render(query, values, indent=wanted.indent)
        return Answer(200, body, ages=[wall - value.at for value in values])

    def _described(self, found: Route, wanted: Wanted) -> Answer:
        """What the APIs are like: the same until what is known changes, with an ETag."""
        shape = None
        if found.kind is Kind.GROUPS:
            shape = negotiate.discovery_version(wanted.accept)
        view = self._view() if shape or found.kind is Kind.RESOURCES else None
        key = (found, shape, wanted.indent)
        # Values change every second; the names of what there is hardly ever do.
        names = () if view is None else (view.custom_listing, view.external_listing)
        made = self._made.get(key)
        if made is None or made[0] != names:
            made = self._made[key] = (names, self._make(found, shape, view, indent=wanted.indent))
        return made[1]

    def _make(self, found: Route, shape: str | None, view: View | None, *, indent: bool) -> Answer:
        headers = {}
        content_type = "application/json"
        document: dict[str, object]
        if shape is not None and view is not None:
            document = discovery.aggregated(view, self.served, shape)
            content_type = negotiate.discovery_type(shape)
        elif found.kind is Kind.GROUPS:
            document = discovery.groups(self.served)
        elif found.kind is Kind.GROUP:
            document = discovery.group(self.served, found.group)
        elif found.kind is Kind.RESOURCES and view is not None:
            document = discovery.resources(view, found.group, found.version)
        elif found.kind is Kind.OPENAPI_V2:
            document = openapi.v2(self.served)
        elif found.kind is Kind.OPENAPI_V3:
            document = openapi.v3_root(self.served)
        elif found.kind is Kind.OPENAPI_V3_GROUP:
            document = openapi.v3(found.group, found.version)
        else:
            document = {"paths": [*PATHS, *self._group_paths()]}
        body = dump(document, indent=indent)
        if found.kind is Kind.GROUPS:
            headers["Vary"] = "Accept"
        headers["ETag"] = discovery.etag(body)
        return Answer(200, body, content_type, headers)

    def _group_paths(self) -> list[str]:
        return [
            path
            for group, versions in self.served.items()
            for path in (f"/apis/{group}", *(f"/apis/{group}/{each}" for each in versions))
        ]

    def _metrics(self, accept: str) -> Answer:
        encode, content_type = choose_encoder(accept)
        return Answer(200, encode(self._registry), content_type)


def _version(release: str) -> dict[str, str]:
    major, minor = KUBERNETES_VERSION
    return {
        "major": str(major),
        "minor": str(minor),
        "gitVersion": f"v{major}.{minor}.0+loadstar.{release}",
        "gitCommit": "",
        "gitTreeState": "",
        "buildDate": "",
        "goVersion": "",
        "compiler": platform.python_implementation().lower(),
        "platform": f"{platform.system()}/{platform.machine()}".lower(),
    }
