"""The client against a server that behaves, and one that does not."""

from __future__ import annotations

import asyncio
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from loadstar.clock import SystemClock
from loadstar.config.errors import ConfigError
from loadstar.kube import errors
from loadstar.kube.client import PAGE_OBJECTS, KubeClient
from loadstar.kube.credentials import Credentials
from loadstar.kube.resources import CONFIG_MAPS, DEPLOYMENTS, LEASES, NODES, PODS, Resource
from tests.loadstar.kube.fake_api import FakeApi, Refusal, kubeconfig, serving
from tests.loadstar.kube.kube_fixtures import kubeconfig_may_block

__all__ = ["kubeconfig_may_block"]


@asynccontextmanager
async def client(api: FakeApi, tmp_path: Path) -> AsyncIterator[KubeClient]:
    async with serving(api) as url:
        config = await asyncio.to_thread(kubeconfig, tmp_path / "config", url)
        credentials = Credentials(str(config), environment={})
        async with KubeClient(credentials, SystemClock(), user_agent="test/1") as kube:
            yield kube


def test_paths_are_those_of_the_api() -> None:
    assert PODS.path() == "/api/v1/pods"
    assert PODS.path("lab", "a", "eviction") == "/api/v1/namespaces/lab/pods/a/eviction"
    assert NODES.path("ignored", "n1") == "/api/v1/nodes/n1"
    assert DEPLOYMENTS.path("lab", "d", "scale") == (
        "/apis/apps/v1/namespaces/lab/deployments/d/scale"
    )
    assert PODS.path("lab", "a/../b") == "/api/v1/namespaces/lab/pods/a%2F..%2Fb"
    assert str(DEPLOYMENTS) == "deployments.apps"


async def test_objects_come_and_go(tmp_path: Path) -> None:
    api = FakeApi(tokens={"t0ken"})
    api.put(CONFIG_MAPS, "other", "lab")
    async with client(api, tmp_path) as kube:
        document = {"metadata": {"name": "c", "namespace": "lab"}, "data": {"a": "1"}}
        made = await kube.create(CONFIG_MAPS, document)
        with pytest.raises(errors.AlreadyExists):
            await kube.create(CONFIG_MAPS, document)
        await kube.patch(CONFIG_MAPS, "c", "lab", {"data": {"b": "2"}})
        with pytest.raises(errors.Conflict):
            await kube.replace(CONFIG_MAPS, made)
        read = await kube.get(CONFIG_MAPS, "c", "lab")
        assert read["data"] == {"a": "1", "b": "2"}
        with pytest.raises(errors.Conflict):
            await kube.delete(CONFIG_MAPS, "c", "lab", uid="another")
        await kube.delete(CONFIG_MAPS, "c", "lab", uid=read["metadata"]["uid"])
        with pytest.raises(errors.NotFound):
            await kube.get(CONFIG_MAPS, "c", "lab")
        assert (await kube.connection()).namespace == "lab"
    assert {asked.authorization for asked in api.asked} == {"Bearer t0ken"}


async def test_server_side_apply_says_whose_it_is(tmp_path: Path) -> None:
    api = FakeApi()
    api.put(LEASES, "x", "lab")
    async with client(api, tmp_path) as kube:
        document = {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": "y", "namespace": "lab"},
        }
        await kube.apply(LEASES, document, field_manager="loadstar", force=True, dry_run=True)
    asked = api.asked[-1]
    assert asked.method == "PATCH"
    assert asked.content_type == "application/apply-patch+yaml"
    assert asked.query == {"fieldManager": "loadstar", "force": "true", "dryRun": "All"}
    assert asked.body == document


async def test_a_server_under_pressure_is_waited_for_between_two_pages(tmp_path: Path) -> None:
    api = FakeApi()
    for index in range(2 * PAGE_OBJECTS + 1):
        api.put(PODS, f"p{index:03}", "lab")
    async with client(api, tmp_path) as kube:
        pages = kube.pages(PODS, "lab")
        assert len((await anext(pages)).items) == PAGE_OBJECTS
        api.refusals.append(Refusal(429, "TooManyRequests"))
        rest = [len(page.items) async for page in pages]
        assert rest == [PAGE_OBJECTS, 1]
        api.refusals.append(Refusal(429, "TooManyRequests"))
        with pytest.raises(
            errors.TooManyRequests
        ):  # nothing is lost yet: when to ask is the caller's
            await anext(kube.pages(PODS, "lab"))
    asked = [call.query.get("continue") for call in api.calls("pods")]
    assert asked[0] is None
    assert asked[1] == asked[2] is not None


async def test_a_long_list_comes_in_pages(tmp_path: Path) -> None:
    api = FakeApi()
    for index in range(2 * PAGE_OBJECTS + 70):
        api.put(PODS, f"p{index:04}", metadata={"labels": {"odd": str(index % 2)}})
    async with client(api, tmp_path) as kube:
        every = await kube.list(PODS)
        odd = await kube.list(PODS, "default", labels="odd=1")
        one = await kube.list(PODS, "default", fields="metadata.name=p0007")
    assert [len(every), len(odd), len(one)] == [270, 135, 1]
    assert every[0]["kind"] == "Pod"
    assert [asked.query.get("continue") for asked in api.asked[:2]] == [None, "100"]


@pytest.mark.parametrize(
    ("status", "reason", "error"),
    [
        (400, "BadRequest", errors.BadRequest),
        (403, "Forbidden", errors.Forbidden),
        (409, "AlreadyExists", errors.AlreadyExists),
        (409, "Conflict", errors.Conflict),
        (410, "Expired", errors.Gone),
        (418, "", errors.ApiError),
        (422, "Invalid", errors.Invalid),
        (429, "TooManyRequests", errors.TooManyRequests),
        (500, "InternalError", errors.ServerError),
        (504, "Timeout", errors.ServerTimeout),
    ],
)
async def test_refusals_have_names(
    status: int, reason: str, error: type[errors.ApiError], tmp_path: Path
) -> None:
    api = FakeApi()
    api.refusals.append(Refusal(status, reason, retry_after="7"))
    async with client(api, tmp_path) as kube:
        with pytest.raises(errors.ApiError) as raised:
            await kube.get(PODS, "a", "lab")
    assert type(raised.value) is error
    assert (raised.value.status, raised.value.reason) == (status, reason)
    assert raised.value.retry_after == 7.0
    assert str(raised.value) == "as told"


async def test_a_missing_kind_is_not_found_though_the_answer_is_no_status(tmp_path: Path) -> None:
    async with client(FakeApi(), tmp_path) as kube:
        with pytest.raises(errors.NotFound, match="404 page not found"):
            await kube.list(Resource("no.such", "v1", "things", "Thing"))


async def test_nobody_there_is_unreachable_and_credentials_stay_secret(tmp_path: Path) -> None:
    api = FakeApi()
    async with client(api, tmp_path) as kube:
        connection = await kube.connection()
        assert "t0ken" not in repr(connection)
    credentials = Credentials(str(tmp_path / "config"), environment={})
    async with KubeClient(credentials, SystemClock(), user_agent="test/1") as kube:
        with pytest.raises(errors.Unreachable) as raised:
            await kube.get(PODS, "a", "lab")
    assert "t0ken" not in str(raised.value)


async def test_a_rotated_token_is_read_again(tmp_path: Path) -> None:
    api = FakeApi(tokens={"t0ken"})
    api.put(PODS, "a")
    async with client(api, tmp_path) as kube:
        await kube.get(PODS, "a", "default")
        api.tokens = {"fresh"}
        await asyncio.to_thread(kubeconfig, tmp_path / "config", api.url, "fresh")
        await kube.get(PODS, "a", "default")
        api.tokens = {"other"}
        with pytest.raises(errors.Unauthorized):
            await kube.get(PODS, "a", "default")


async def test_a_watch_tells_what_happens_after_a_version(tmp_path: Path) -> None:
    api = FakeApi()
    api.put(PODS, "before")
    async with client(api, tmp_path) as kube:
        seen: list[tuple[str, str]] = []
        api.put(PODS, "a", spec={"note": "x" * 300_000})
        api.remove(PODS, "a")
        async for event in kube.watch(PODS, "default", since="101", seconds=30):
            seen.append((event.type, event.object["metadata"].get("name", "")))
            if event.type == "DELETED":
                api.bookmark += 1
            if event.type == "BOOKMARK":
                break
    assert seen == [("ADDED", "a"), ("DELETED", "a"), ("BOOKMARK", "")]
    assert api.asked[-1].query == {
        "watch": "true",
        "allowWatchBookmarks": "true",
        "resourceVersion": "101",
        "timeoutSeconds": "30",
    }


async def test_a_watch_that_is_cut_or_talks_nonsense_is_an_error(tmp_path: Path) -> None:
    api = FakeApi(garbage=b'{"type": 3}\n')
    api.put(PODS, "a")
    async with client(api, tmp_path) as kube:
        with pytest.raises(errors.ApiError, match="no event"):
            async for _event in kube.watch(PODS, since="101", seconds=30):
                pass
        api.put(PODS, "b")
        cut = kube.watch(PODS, since="101", seconds=30)
        assert (await anext(cut)).type == "ADDED"
        api.cut()
        with pytest.raises(errors.Unreachable):
            await anext(cut)


async def test_who_may_do_what_is_asked_of_the_server(tmp_path: Path) -> None:
    api = FakeApi(reviews={"tokenreviews": {"authenticated": True, "user": {"username": "bob"}}})
    api.reviews["subjectaccessreviews"] = {"allowed": False, "reason": "no"}
    async with client(api, tmp_path) as kube:
        assert (await kube.token_review("secret", ["aud"]))["user"] == {"username": "bob"}
        spec = {"user": "bob", "resourceAttributes": {"verb": "get", "resource": "pods"}}
        assert await kube.subject_access_review(spec) == {"allowed": False, "reason": "no"}
    assert api.asked[0].body["spec"] == {"token": "secret", "audiences": ["aud"]}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param(None, "no such file", id="missing"),
        pytest.param("a: [", "cannot be used", id="no YAML"),
        pytest.param("kind: Config", "current-context", id="empty"),
    ],
)
def test_a_bad_kubeconfig_is_named(text: str | None, message: str, tmp_path: Path) -> None:
    path = tmp_path / "config"
    if text is not None:
        path.write_text(text)
    with pytest.raises(ConfigError, match=message) as raised:
        Credentials(str(path), environment=os.environ).read()
    assert str(path) in str(raised.value)


def test_a_pod_uses_its_account(tmp_path: Path) -> None:
    environment = {"KUBERNETES_SERVICE_HOST": "2001:db8::1", "KUBERNETES_SERVICE_PORT": "443"}
    credentials = Credentials(environment=environment, account=tmp_path)
    with pytest.raises(ConfigError, match="token file does not exist"):
        credentials.read()
    assert credentials.rotates


def test_without_a_place_to_call_the_mend_is_named() -> None:
    with pytest.raises(ConfigError, match="give --kubeconfig"):
        Credentials(environment={}).read()
