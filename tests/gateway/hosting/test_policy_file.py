"""The configuration changes under load: a good one takes over, a bad one changes nothing."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import weakref
from collections.abc import Callable
from pathlib import Path

import pytest

from gateway.config.picker import ResponseMode, ResponseProcessing
from gateway.datalayer.confidence import confidence
from gateway.datalayer.store import Datastore
from gateway.plugins.load import load
from gateway.scheduling.plugin_type import Settings
from gateway.serving.policy_file import PolicyFile
from gateway.serving.policy_given import Given, Origin, read_file
from gateway.serving.policy_in_force import Loaded, PolicyInForce
from tests.fakes.clock import ManualClock

HEAD = "apiVersion: llm-d.ai/v1alpha1\nkind: EndpointPickerConfig\n"
FIRST = HEAD + "plugins: [{type: queue-scorer}]\n"
SECOND = HEAD + "plugins: [{type: kv-cache-utilization-scorer}]\n"
BAD = HEAD + "plugins: [{type: queue-scorrer}]\n"
SETTINGS = Settings(confidence=lambda observed_at, now: confidence(observed_at, now, 2.0))


def loaded(text: bytes) -> Loaded:
    return Loaded(load(text, SETTINGS))


def in_force(
    given: Given,
    reloads: list[bool] | None = None,
    clock: ManualClock | None = None,
    fallback: Given | None = None,
    load: Callable[[bytes], Loaded] = loaded,
) -> PolicyInForce:
    """What serves ``given``; ``reloads`` hears whether others were taken."""
    heard = [] if reloads is None else reloads
    return PolicyInForce(
        given,
        load=load,
        measured=lambda built: built,
        store=Datastore(),
        taken=lambda given, loaded: heard.append(True),
        refused=lambda refusal: heard.append(False),
        clock=ManualClock() if clock is None else clock,
        fallback=fallback,
    )


def written_at_once(path: Path, text: str) -> None:
    """Replace ``path`` as careful writers do: nobody who watches it sees it empty."""
    beside = path.with_suffix(".new")
    beside.write_text(text)
    beside.replace(path)


class Following:
    """A policy file under test, and what was told of it."""

    def __init__(self, path: Path) -> None:
        path.write_text(FIRST)
        self.path = path
        self.reloads: list[bool] = []
        self.clock = ManualClock()
        self.policy = in_force(read_file(path), self.reloads, self.clock)
        self.source = PolicyFile(str(path))

    async def says(self, text: str) -> None:
        await asyncio.to_thread(self.path.write_text, text)
        self.clock.advance(60)
        await self.source.take(self.policy)


@pytest.fixture
def following(tmp_path: Path) -> Following:
    return Following(tmp_path / "picker.yaml")


async def test_a_good_file_takes_over(following: Following) -> None:
    before = following.policy.current()
    await following.says(SECOND)
    assert following.policy.current() is not before
    assert following.policy.given.text == SECOND.encode()
    assert following.policy.since == following.clock.wall()
    assert following.reloads == [True]


async def test_a_bad_file_changes_nothing_and_says_where(
    following: Following, caplog: pytest.LogCaptureFixture
) -> None:
    before, since = following.policy.current(), following.policy.since
    with caplog.at_level(logging.ERROR):
        await following.says(BAD)
    assert following.policy.current() is before
    assert (following.policy.given.text, following.policy.since) == (FIRST.encode(), since)
    assert following.reloads == [False]
    assert "plugins[0].type" in caplog.text
    assert "queue-scorer" in caplog.text


async def test_a_pipe_in_its_place_is_refused_and_nobody_waits_for_a_writer(
    following: Following, caplog: pytest.LogCaptureFixture
) -> None:
    before = following.policy.current()
    await asyncio.to_thread(following.path.unlink)
    await asyncio.to_thread(os.mkfifo, following.path)
    await following.source.take(following.policy)
    assert following.policy.current() is before
    assert following.reloads == [False]
    assert f"{following.path}: is a named pipe; put a regular file there" in caplog.text


async def test_a_text_that_the_gateway_stumbles_over_is_refused_like_a_bad_one(
    tmp_path: Path,
) -> None:
    """A fault of ours in reading it must not end the fleet, which is given it all at once."""

    def stumbles(text: bytes) -> Loaded:
        if text == SECOND.encode():
            raise TypeError("unexpected")
        return loaded(text)

    reloads: list[bool] = []
    policy = in_force(Given(FIRST.encode(), Origin("a file")), reloads, load=stumbles)
    before = policy.current()
    assert not await policy.take(Given(SECOND.encode(), Origin("a file")))
    assert policy.current() is before
    assert reloads == [False]
    assert policy.refusal is not None
    assert [str(problem) for problem in policy.refusal.problems] == [
        "the gateway failed to read it (TypeError), which is a fault of ours"
    ]


async def test_a_file_that_is_gone_changes_nothing(following: Following) -> None:
    before = following.policy.current()
    await asyncio.to_thread(following.path.unlink)
    await following.source.take(following.policy)
    assert following.policy.current() is before
    assert following.reloads == [False]


async def test_a_file_that_is_emptied_changes_nothing(following: Following) -> None:
    """So it looks to us while somebody writes it."""
    before = following.policy.current()
    await following.says("")
    assert following.policy.current() is before
    await following.says(FIRST)
    assert following.policy.current() is before
    assert following.reloads == [False, True]


async def test_the_same_text_is_no_reload(following: Following) -> None:
    before = following.policy.current()
    await following.says(FIRST)
    assert following.policy.current() is before
    assert following.reloads == []


async def test_a_scheduler_that_was_replaced_is_let_go(following: Following) -> None:
    """Kept by the store's list of listeners, each reload would leak an index of prefixes."""
    old = weakref.ref(following.policy.built.scheduler)
    await following.says(SECOND)
    gc.collect()
    assert old() is None


async def test_the_file_is_followed(following: Following) -> None:
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        run = tasks.create_task(following.source.run(following.policy))
        await asyncio.sleep(0)
        await asyncio.to_thread(written_at_once, following.path, SECOND)
        while following.reloads != [True]:  # noqa: ASYNC110 -- a reload raises no event
            await asyncio.sleep(0.02)
        run.cancel()


async def test_kubelets_swap_of_a_mounted_config_map_is_seen(tmp_path: Path) -> None:
    """It replaces the link ``..data`` between two folders; the file's own link stays as it is."""

    def mount(version: int, text: str) -> None:
        folder = tmp_path / f"..{version}"
        folder.mkdir()
        (folder / "picker.yaml").write_text(text)
        (tmp_path / "..new").symlink_to(folder.name)
        (tmp_path / "..new").rename(tmp_path / "..data")

    await asyncio.to_thread(mount, 1, FIRST)
    path = tmp_path / "picker.yaml"
    await asyncio.to_thread(path.symlink_to, "..data/picker.yaml")
    reloads: list[bool] = []
    policy = await asyncio.to_thread(lambda: in_force(read_file(path), reloads))
    async with asyncio.timeout(10), asyncio.TaskGroup() as tasks:
        run = tasks.create_task(PolicyFile(str(path)).run(policy))
        await asyncio.sleep(0)
        await asyncio.to_thread(mount, 2, SECOND)
        while reloads != [True]:  # noqa: ASYNC110 -- a reload raises no event
            await asyncio.sleep(0.02)
        run.cancel()
    assert policy.given.text == SECOND.encode()


async def test_without_a_file_there_is_nothing_to_follow() -> None:
    policy = in_force(Given(b"", Origin("built-in default")))
    async with asyncio.timeout(1):
        await PolicyFile("").run(policy)
    assert policy.given.text == b""


async def test_how_far_responses_are_followed_is_reloaded(following: Following) -> None:
    assert following.policy.current().response_processing == ResponseProcessing()
    await following.says(FIRST + "responseProcessing: {mode: headers}\n")
    expected = ResponseProcessing(ResponseMode.HEADERS)
    assert following.policy.current().response_processing == expected
