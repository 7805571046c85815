"""The endpoints file as it lives: replaced, swapped, half written, gone, back."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from gateway.datalayer.file_discovery import FileDiscovery
from gateway.datalayer.store import Datastore
from loadstar.config.errors import ConfigError

PATIENCE = 5.0


def text(*names: str) -> str:
    return json.dumps(
        {
            "endpoints": [
                {"name": name, "address": f"10.0.0.{ord(name)}", "port": "8000"} for name in names
            ]
        }
    )


def members(store: Datastore) -> list[str]:
    return [endpoint.name for endpoint in store.state.endpoints]


class Reloads:
    """ReloadCounts that can be read."""

    def __init__(self) -> None:
        self.taken = 0
        self.refused = 0

    def reloaded(self, file: str, *, ok: bool) -> None:
        assert file == "endpoints"
        self.taken += ok
        self.refused += not ok


@asynccontextmanager
async def following(
    path: Path, *, watch: bool = True, settle_seconds: float = 0.02
) -> AsyncIterator[tuple[Datastore, Reloads]]:
    """A store that follows ``path``, looking fifty times a second."""
    store, counts = Datastore(), Reloads()
    discovery = FileDiscovery(
        path, watch=watch, poll_seconds=0.02, settle_seconds=settle_seconds, counts=counts
    )
    await discovery.load(store)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(discovery.run(store))
        yield store, counts
        running.cancel()


async def until(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(PATIENCE):
        while not holds():  # noqa: ASYNC110 - nothing announces what these tests wait for
            await asyncio.sleep(0.005)


async def until_members(store: Datastore, names: str) -> None:
    await until(lambda: members(store) == list(names))


def replaced(path: Path, content: str) -> None:
    """As editors and configuration tools write: a new file moved over the old one."""
    fresh = path.with_suffix(".new")
    fresh.write_text(content)
    fresh.replace(path)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    file = tmp_path / "endpoints.yaml"
    file.write_text(text("a"))
    return file


async def test_the_first_load_fills_the_store(path: Path) -> None:
    store = Datastore()
    await FileDiscovery(path, watch=False).load(store)
    assert members(store) == ["a"]
    assert store.synced


async def test_run_loads_by_itself(path: Path) -> None:
    store = Datastore()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await FileDiscovery(path, watch=False).run(store)
    assert members(store) == ["a"]


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        pytest.param(None, "{path}: No such file or directory", id="missing"),
        pytest.param(
            '{"endpoints": [{"name": "a", "address": "10.0.0.1", "port": "x"}]}',
            '{path}: endpoints[0].port: must be a port, 1 to 65535, not "x"',
            id="wrong",
        ),
        pytest.param("x" * (1 << 21), "{path}: 1048577 bytes are more than", id="too large"),
    ],
)
async def test_a_bad_file_keeps_the_gateway_from_starting(
    tmp_path: Path, content: str | None, problem: str
) -> None:
    path = tmp_path / "endpoints.yaml"
    if content is not None:
        await asyncio.to_thread(path.write_text, content)
    store = Datastore()
    with pytest.raises(ConfigError) as raised:
        await FileDiscovery(path, watch=True).load(store)
    assert str(raised.value).startswith(problem.format(path=path))
    assert not store.synced


async def test_a_change_in_place_is_followed(path: Path) -> None:
    async with following(path) as (store, counts):
        await asyncio.to_thread(path.write_text, text("a", "b"))
        await until_members(store, "ab")
        assert (counts.taken, counts.refused) == (1, 0)


async def test_a_file_moved_over_it_is_followed_again_and_again(path: Path) -> None:
    async with following(path) as (store, _):
        for names in ("ab", "bc", "c", "abc"):
            await asyncio.to_thread(replaced, path, text(*names))
            await until_members(store, names)


async def test_the_same_size_within_the_same_second_is_seen(path: Path) -> None:
    """Clocks of file systems are coarse, so neither size nor time is asked."""
    async with following(path) as (store, _):
        before = await asyncio.to_thread(path.stat)
        await asyncio.to_thread(replaced, path, text("b"))
        await asyncio.to_thread(os.utime, path, ns=(before.st_atime_ns, before.st_mtime_ns))
        await until_members(store, "b")


async def test_a_configmap_swap_is_followed(tmp_path: Path) -> None:
    """endpoints.yaml -> ..data/endpoints.yaml, ..data -> ..2026_1, and that link is replaced."""

    def version(number: int, content: str) -> None:
        folder = tmp_path / f"..2026_{number}"
        folder.mkdir()
        (folder / "endpoints.yaml").write_text(content)
        (tmp_path / "..data_tmp").symlink_to(folder.name)
        (tmp_path / "..data_tmp").replace(tmp_path / "..data")

    def remove(number: int) -> None:
        (tmp_path / f"..2026_{number}" / "endpoints.yaml").unlink()
        (tmp_path / f"..2026_{number}").rmdir()

    path = tmp_path / "endpoints.yaml"
    await asyncio.to_thread(version, 1, text("a"))
    await asyncio.to_thread(path.symlink_to, "..data/endpoints.yaml")
    async with following(path) as (store, counts):
        await asyncio.to_thread(version, 2, text("b"))
        await asyncio.to_thread(remove, 1)
        await until_members(store, "b")
        assert counts.refused == 0


@pytest.mark.parametrize(
    "content",
    [
        pytest.param("", id="emptied"),
        pytest.param("endpoints: [", id="not YAML"),
        pytest.param('{"endpoints": [{"name": "b"}]}', id="an entry that lacks things"),
    ],
)
async def test_a_bad_file_changes_nothing(
    path: Path, content: str, caplog: pytest.LogCaptureFixture
) -> None:
    async with following(path) as (store, counts):
        await asyncio.to_thread(replaced, path, content)
        await until(lambda: counts.refused == 1)
        await asyncio.sleep(0.1)
        assert members(store) == ["a"]
        assert counts.refused == 1
        assert caplog.text.count("endpoints as they were") == 1
        await asyncio.to_thread(replaced, path, text("c"))
        await until_members(store, "c")


async def test_a_bad_entry_does_not_hold_up_the_others(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with following(path) as (store, counts):
        await asyncio.to_thread(replaced, path, text("b", "c", "c"))
        await until(lambda: members(store) == ["b", "c"])
        assert counts.refused == 1
        assert "endpoints[1].name: default/c comes again at endpoints[2]" in caplog.text


async def test_a_file_that_is_gone_changes_nothing(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with following(path) as (store, counts):
        await asyncio.to_thread(path.unlink)
        await until(lambda: counts.refused == 1)
        await asyncio.sleep(0.1)
        assert members(store) == ["a"]
        assert caplog.text.count("No such file") == 1
        await asyncio.to_thread(path.write_text, text("b"))
        await until_members(store, "b")


async def test_a_pipe_in_its_place_changes_nothing_and_is_not_waited_for(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with following(path) as (store, counts):
        await asyncio.to_thread(path.unlink)
        await asyncio.to_thread(os.mkfifo, path)
        await until(lambda: "is a named pipe; put a regular file there" in caplog.text)
        assert (members(store), counts.refused) == (["a"], 1)
        await asyncio.to_thread(replaced, path, text("b"))
        await until_members(store, "b")


async def test_half_a_file_is_not_taken_for_a_whole(path: Path) -> None:
    """The first half of a list of endpoints is a list of endpoints."""
    lines = [f'- {{name: n{i}, address: 10.0.1.{i}, port: "8000"}}\n' for i in range(50)]
    seen: set[int] = set()
    async with following(path, settle_seconds=0.5) as (store, counts):
        store.on_joined(lambda _: seen.add(len(store.state.endpoints)))
        file = await asyncio.to_thread(path.open, "w")
        await asyncio.to_thread(file.write, "endpoints:\n")
        for line in lines:
            await asyncio.to_thread(file.write, line)
            await asyncio.to_thread(file.flush)
            await asyncio.sleep(0.002)
        await asyncio.to_thread(file.close)
        await until(lambda: len(members(store)) == 50)
    assert seen == {50}
    assert counts.refused == 0


async def test_without_watch_the_file_is_read_once(path: Path) -> None:
    async with following(path, watch=False) as (store, counts):
        await asyncio.to_thread(replaced, path, text("b"))
        await asyncio.sleep(0.15)
        assert members(store) == ["a"]
        assert counts.taken == 0
