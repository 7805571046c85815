"""The admin port: probes for everybody, the rest for who may, metrics in either format."""

from __future__ import annotations

import asyncio
from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer, make_mocked_request
from prometheus_client import CollectorRegistry

from loadstar.telemetry.admin import Guard, admin_app
from loadstar.telemetry.metrics import Families

OPEN = Guard(open=True)


def app(guard: Guard = OPEN, why_not: str = "", tasks: bool = True) -> web.Application:
    families = Families()
    families.counter("seen_total", "Seen.", "who").labels("me").inc()
    registry = CollectorRegistry(auto_describe=False)
    registry.register(families)
    return admin_app(
        registry=registry,
        why_not_ready=lambda: why_not,
        pages={"/configz": lambda: {"since": "now"}},
        guard=guard,
        tasks=tasks,
    )


class Peer:
    """A transport whose other end is ``host``."""

    def __init__(self, host: str | None) -> None:
        self._host = host

    def get_extra_info(self, name: str) -> tuple[str, int] | None:
        return (self._host, 1) if name == "peername" and self._host else None


async def status_for(host: str | None, path: str) -> int:
    """The status that a client at ``host`` gets from a server that guards by address."""
    application = app(Guard())
    application.freeze()
    request = make_mocked_request("GET", path, transport=Peer(host))
    match = await application.router.resolve(request)
    handler = match.handler
    (guard,) = application.middlewares
    return (await guard(request, handler)).status


async def get(application: web.Application, path: str, **headers: str) -> tuple[int, str, str]:
    async with (
        TestClient(TestServer(application)) as client,
        client.get(path, headers=headers) as response,
    ):
        return response.status, response.content_type, await response.text()


async def test_metrics_come_as_prometheus_text_unless_openmetrics_is_asked_for() -> None:
    assert await get(app(), "/metrics") == (
        200,
        "text/plain",
        '# HELP seen_total Seen.\n# TYPE seen_total counter\nseen_total{who="me"} 1.0\n',
    )
    accept = "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.5"
    status, content_type, text = await get(app(), "/metrics", Accept=accept)
    assert (status, content_type) == (200, "application/openmetrics-text")
    assert text.endswith('seen_total{who="me"} 1.0\n# EOF\n')


@pytest.mark.parametrize(
    ("path", "why_not", "answer"),
    [
        pytest.param("/livez", "draining", (200, "ok\n"), id="alive while draining"),
        pytest.param("/healthz", "draining", (200, "ok\n"), id="healthz is liveness"),
        pytest.param("/readyz", "", (200, "ok\n"), id="ready"),
        pytest.param("/readyz", "draining", (503, "draining\n"), id="not ready says why"),
    ],
)
async def test_probes(path: str, why_not: str, answer: tuple[int, str]) -> None:
    status, _, text = await get(app(why_not=why_not), path)
    assert (status, text) == answer


async def test_a_page_is_json_made_when_asked_for() -> None:
    assert await get(app(), "/configz") == (200, "application/json", '{\n  "since": "now"\n}\n')


async def test_the_index_names_every_page() -> None:
    _, _, text = await get(app(), "/")
    assert text.split() == ["/configz", "/debug/tasks", "/healthz", "/livez", "/metrics", "/readyz"]


async def test_tasks_are_shown_only_where_wanted() -> None:
    status, _, text = await get(app(), "/debug/tasks")
    assert status == 200
    assert "test_tasks_are_shown_only_where_wanted" in text
    assert (await get(app(tasks=False), "/debug/tasks"))[0] == 404


@pytest.mark.parametrize(
    ("authorization", "status"),
    [
        pytest.param("Bearer s3cret", 200, id="the token"),
        pytest.param("bearer s3cret", 200, id="the scheme's case does not matter"),
        pytest.param("Bearer other", 401, id="another token"),
        pytest.param("Bearer ", 401, id="no token"),
        pytest.param("Basic s3cret", 401, id="another scheme"),
        pytest.param("", 401, id="nothing"),
        pytest.param("Bearer s\u00e9cret", 401, id="not ASCII"),
    ],
)
async def test_a_token_opens_what_is_not_a_probe(
    tmp_path: Path, authorization: str, status: int
) -> None:
    token = tmp_path / "token"
    await asyncio.to_thread(token.write_text, "s3cret\n")
    guarded = app(Guard(token_file=str(token)))
    async with TestClient(TestServer(guarded)) as client:
        for path, expected in (("/metrics", status), ("/configz", status), ("/livez", 200)):
            async with client.get(path, headers={"Authorization": authorization}) as response:
                assert response.status == expected


async def test_an_empty_or_missing_token_file_opens_nothing(tmp_path: Path) -> None:
    token = tmp_path / "token"
    guarded = app(Guard(token_file=str(token)))
    assert (await get(guarded, "/metrics", Authorization="Bearer "))[0] == 401
    await asyncio.to_thread(token.touch)
    guarded = app(Guard(token_file=str(token)))
    assert (await get(guarded, "/metrics", Authorization="Bearer "))[0] == 401


async def test_a_token_may_be_replaced_while_running(tmp_path: Path) -> None:
    token = tmp_path / "token"
    await asyncio.to_thread(token.write_text, "old")
    async with TestClient(TestServer(app(Guard(token_file=str(token))))) as client:
        await asyncio.to_thread(token.write_text, "new")
        async with client.get("/metrics", headers={"Authorization": "Bearer new"}) as response:
            assert response.status == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        pytest.param("127.0.0.1", 200, id="this machine"),
        pytest.param("::1", 200, id="this machine by IPv6"),
        pytest.param("::ffff:127.0.0.1", 200, id="this machine on a dual-stack socket"),
        pytest.param("10.1.2.3", 403, id="another"),
        pytest.param("2600::1", 403, id="another by IPv6"),
        pytest.param("fe80::1%eth0", 403, id="another on the link"),
        pytest.param(None, 403, id="unknown"),
    ],
)
async def test_without_a_token_only_this_machine_is_served(host: str | None, status: int) -> None:
    assert await status_for(host, "/metrics") == status
    assert await status_for(host, "/livez") == 200
