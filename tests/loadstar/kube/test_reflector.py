"""The reflector against every way in which an API server lets go: time is virtual here."""

from __future__ import annotations

import asyncio
import logging
import random
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest

from loadstar.kube.client import Document, Page, WatchEvent
from loadstar.kube.errors import (
    ApiError,
    Forbidden,
    Gone,
    NotFound,
    ServerError,
    ServerTimeout,
    TooManyRequests,
    Unreachable,
)
from loadstar.kube.reflector import ABSENT_SECONDS, MAX_OBJECTS, Reflector
from loadstar.kube.resources import PODS, Resource

pytestmark = pytest.mark.looptime


class LoopClock:
    """The time of the running loop, which is virtual."""

    def now(self) -> float:
        return asyncio.get_running_loop().time()

    def wall(self) -> float:
        return 1_700_000_000.0 + self.now()


@dataclass
class Server:
    """What the next lists and watches answer; the last answer of each repeats."""

    lists: deque[list[Document] | ApiError] = field(default_factory=deque)
    watches: deque[list[WatchEvent | ApiError | float]] = field(default_factory=deque)
    """Each a watch: events to say, seconds to be silent, an error to end with."""
    version: int = 100
    listed: list[float] = field(default_factory=list)
    """When."""
    watched: list[tuple[float, str]] = field(default_factory=list)
    """When, and since which version."""

    async def pages(
        self, _resource: Resource, _namespace: str = "", *, labels: str = "", fields: str = ""
    ) -> AsyncIterator[Page]:
        self.listed.append(asyncio.get_running_loop().time())
        answer = self.lists.popleft() if len(self.lists) > 1 else self.lists[0]
        if isinstance(answer, ApiError):
            raise answer
        half = len(answer) // 2
        for items in (answer[:half], answer[half:]):
            await asyncio.sleep(0.001)
            yield Page(items, str(self.version))

    async def watch(
        self,
        _resource: Resource,
        _namespace: str = "",
        *,
        since: str,
        seconds: float,
        labels: str = "",
        fields: str = "",
        opened: Callable[[], None] | None = None,
    ) -> AsyncIterator[WatchEvent]:
        self.watched.append((asyncio.get_running_loop().time(), since))
        script = self.watches.popleft() if self.watches else [seconds]
        await asyncio.sleep(0.001)
        if opened is not None and not (script and isinstance(script[0], ApiError)):
            opened()
        for step in script:
            if isinstance(step, float):
                await asyncio.sleep(step)
            elif isinstance(step, ApiError):
                raise step
            else:
                yield step


def named(name: str, version: int = 0, **fields: Any) -> Document:
    metadata = {"name": name, "namespace": "lab", "resourceVersion": str(version)}
    return {"metadata": metadata, **fields}


def event(kind: str, name: str, version: int, **fields: Any) -> WatchEvent:
    return WatchEvent(kind, named(name, version, **fields))


def value(document: Document) -> str:
    if "bad" in document:
        raise ValueError("is bad")
    return str(document.get("value", ""))


class Follower:
    """A reflector, and how often it said that something changed."""

    def __init__(self, server: Server, *, optional: bool = False, most: int = MAX_OBJECTS) -> None:
        self.changes = 0
        self.reflector: Reflector[str] = Reflector(
            server,
            PODS,
            view=value,
            changed=self._changed,
            clock=LoopClock(),
            rng=random.Random(7),
            namespace="lab",
            optional=optional,
            most=most,
        )

    def _changed(self) -> None:
        self.changes += 1

    def synced(self) -> bool:
        return self.reflector.synced

    def connected(self) -> bool:
        return self.reflector.connected

    @property
    def known(self) -> dict[str, str]:
        return {name: value for (_, name), value in sorted(self.reflector.objects.items())}


@asynccontextmanager
async def following(
    server: Server, *, optional: bool = False, most: int = MAX_OBJECTS
) -> AsyncIterator[Follower]:
    follower = Follower(server, optional=optional, most=most)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(follower.reflector.run())
        yield follower
        running.cancel()


async def test_a_list_and_then_what_changes() -> None:
    server = Server(deque([[named("a", value=1), named("b", value=2)]]))
    server.watches.append(
        [
            1.0,
            event("ADDED", "c", 101, value=3),
            event("MODIFIED", "a", 102, value=9),
            1.0,
            event("DELETED", "b", 103),
            1000.0,
        ]
    )
    async with following(server) as follower:
        await asyncio.sleep(0.5)
        assert (follower.known, follower.changes) == ({"a": "1", "b": "2"}, 1)
        await asyncio.sleep(1)
        assert (follower.known, follower.changes) == ({"a": "9", "b": "2", "c": "3"}, 3)
        await asyncio.sleep(1)
        assert (follower.known, follower.changes) == ({"a": "9", "c": "3"}, 4)
        assert follower.reflector.connected


async def test_what_changes_nothing_that_is_kept_wakes_nobody() -> None:
    server = Server(deque([[named("a", value=1)]]))
    server.watches.append([event("MODIFIED", "a", 101, value=1, status="new"), 1000.0])
    async with following(server) as follower:
        await asyncio.sleep(1)
        assert follower.changes == 1


async def test_an_empty_collection_is_known_too() -> None:
    async with following(Server(deque([[]]))) as follower:
        assert not follower.synced()
        await asyncio.sleep(0.5)
        assert follower.synced()
        assert follower.changes == 1


async def test_a_watch_goes_on_where_the_last_stopped_bookmarks_included() -> None:
    server = Server(deque([[named("a")]]))
    server.watches += [
        [event("ADDED", "b", 105), 2.0],
        [event("BOOKMARK", "", 250), Unreachable("reset")],
        [1000.0],
    ]
    async with following(server) as follower:
        await asyncio.sleep(10)
        assert [since for _, since in server.watched] == ["100", "105", "250"]
        assert server.listed == [0.0]
        assert sorted(follower.known) == ["a", "b"]


async def test_a_version_too_old_means_listing_again() -> None:
    server = Server(deque([[named("a"), named("b")], [named("b"), named("c")]]))
    server.watches += [[1.0, WatchEvent("ERROR", {"code": 410, "reason": "Expired"})], [1000.0]]
    async with following(server) as follower:
        await asyncio.sleep(10)
        assert sorted(follower.known) == ["b", "c"]
        assert follower.reflector.lists == 2
        assert server.listed[1] < 1.5


async def test_a_server_that_always_forgets_is_not_pressed() -> None:
    server = Server(deque([[named("a")]]))
    server.watches += [[Gone("again")] for _ in range(10_000)]
    async with following(server) as follower:
        await asyncio.sleep(600)
        assert sorted(follower.known) == ["a"]
        assert 60 < follower.reflector.lists < 150


@pytest.mark.parametrize("minutes", [1, 10, 30])
async def test_a_server_that_is_away_costs_nothing_and_is_found_again(minutes: int) -> None:
    server = Server(deque([[named("a", value=1)]]))
    server.watches.append([5.0, event("BOOKMARK", "", 200), Unreachable("reset")])
    server.watches += [[Unreachable("refused")] for _ in range(100_000)]
    async with following(server) as follower:
        await asyncio.sleep(5 + minutes * 60)
        assert follower.known == {"a": "1"}
        assert not follower.connected()
        assert 4 < follower.reflector.heard_at < 6
        tries = len(server.watched)
        assert tries < 10 + minutes * 60 / 5
        server.watches.clear()
        server.watches.append([11.0, event("MODIFIED", "a", 300, value=2), 1000.0])
        await asyncio.sleep(11)
        assert follower.connected()  # before there is any news
        await asyncio.sleep(11)
        assert follower.known == {"a": "2"}
        assert follower.reflector.lists == 1  # it went on from where it was


async def test_the_first_list_is_tried_until_it_works() -> None:
    server = Server(deque([Unreachable("refused"), ServerError("starting"), [named("a")]]))
    async with following(server) as follower:
        await asyncio.sleep(5)
        assert sorted(follower.known) == ["a"]


async def test_a_server_under_pressure_says_when() -> None:
    server = Server(deque([TooManyRequests("later", retry_after=17.0), [named("a")]]))
    async with following(server) as follower:
        await asyncio.sleep(16.5)
        assert not follower.synced()
        await asyncio.sleep(1)
        assert follower.synced()


async def test_a_version_from_the_future_means_listing_again() -> None:
    """As after a restore of etcd from a backup."""
    server = Server(deque([[named("a")], [named("b")]]))
    server.watches += [[ServerTimeout("too large resource version")], [1000.0]]
    async with following(server) as follower:
        await asyncio.sleep(5)
        assert sorted(follower.known) == ["b"]


async def test_watches_that_end_at_once_do_not_spin() -> None:
    server = Server(deque([[named("a")]]))
    server.watches += [[] for _ in range(100_000)]
    async with following(server):
        await asyncio.sleep(600)
        assert len(server.watched) < 150


async def test_an_optional_kind_that_is_not_there_is_empty_and_looked_for(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.INFO)
    server = Server(deque([NotFound("no such kind")]))
    async with following(server, optional=True) as follower:
        await asyncio.sleep(600)
        assert follower.reflector.synced
        assert follower.connected()
        assert not follower.reflector.installed
        assert follower.changes == 1
        assert len(server.listed) < 60
        assert len([r for r in caplog.records if "no such kind" in r.message]) == 1
        assert not [r for r in caplog.records if r.levelno > logging.INFO]
        server.lists.append([named("a")])
        await asyncio.sleep(ABSENT_SECONDS * 2.5)
        assert sorted(follower.known) == ["a"]


async def test_a_kind_that_goes_away_is_believed_when_it_stays_away() -> None:
    server = Server(deque([[named("a")], NotFound("starting"), [named("a")], NotFound("removed")]))
    server.watches += [[1.0, NotFound("gone?")], [60.0, NotFound("gone?")]]
    async with following(server, optional=True) as follower:
        await asyncio.sleep(30)
        assert (sorted(follower.known), follower.changes) == (["a"], 1)
        await asyncio.sleep(40)
        assert (sorted(follower.known), follower.changes) == (["a"], 1)
        await asyncio.sleep(30)
        assert (sorted(follower.known), follower.changes) == ([], 2)


async def test_an_optional_kind_that_may_not_be_read_is_empty_at_first_and_kept_later() -> None:
    forbidden = Server(deque([Forbidden("no")]))
    async with following(forbidden, optional=True) as follower:
        await asyncio.sleep(1)
        assert (follower.reflector.synced, follower.known) == (True, {})
    withdrawn = Server(deque([[named("a")], Forbidden("no more")]))
    withdrawn.watches.append([1.0, Forbidden("no more")])
    async with following(withdrawn, optional=True) as follower:
        await asyncio.sleep(300)
        assert sorted(follower.known) == ["a"]


async def test_a_kind_that_is_needed_is_not_known_while_it_is_missing() -> None:
    async with following(Server(deque([NotFound("no such kind")]))) as follower:
        await asyncio.sleep(300)
        assert not follower.reflector.synced


async def test_an_object_that_cannot_be_read_is_left_out() -> None:
    server = Server(deque([[named("a"), named("b", bad=True)]]))
    server.watches.append([1.0, event("MODIFIED", "a", 101, bad=True), 1000.0])
    async with following(server) as follower:
        await asyncio.sleep(0.5)
        assert sorted(follower.known) == ["a"]
        await asyncio.sleep(1)
        assert follower.known == {}


async def test_who_follows_a_whole_cluster_may_hold_more() -> None:
    server = Server(deque([[named(f"p{index}") for index in range(MAX_OBJECTS + 1)]]))
    async with following(server, most=MAX_OBJECTS + 1) as follower:
        await asyncio.sleep(1)
        assert (follower.reflector.synced, len(follower.known)) == (True, MAX_OBJECTS + 1)


async def test_more_than_can_be_held_is_refused_whole() -> None:
    server = Server(deque([[named(f"p{index}") for index in range(MAX_OBJECTS + 1)]]))
    async with following(server) as follower:
        await asyncio.sleep(1)
        assert (follower.reflector.synced, follower.known) == (False, {})
