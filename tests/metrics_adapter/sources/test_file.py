"""A file of samples: taken when it changes, kept when it breaks, and then growing old."""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import numpy as np
import pytest

from loadstar.config.errors import ConfigError
from metrics_adapter.adapter_config import AdapterConfig, FileSource
from metrics_adapter.errors import NotFound, Stale
from metrics_adapter.query.columns import WHENEVER
from metrics_adapter.sources.file import FileRows
from metrics_adapter.sources.file_rows import published
from metrics_adapter.store import Store
from tests.metrics_adapter.views import NOW, ask, ask_outside, numbers

ONE = """
samples:
- object: {kind: Pod, namespace: lab, name: a}
  metric: queue_depth
  labels: {model: qwen}
  value: 3
  timestamp: now
"""


class Wall:
    """A clock that tests set."""

    wall_seconds = NOW

    def now(self) -> float:
        return self.wall_seconds

    def wall(self) -> float:
        return self.wall_seconds


@contextlib.asynccontextmanager
async def following(path: Path, wall: Wall) -> AsyncIterator[tuple[Store, FileRows]]:
    store = Store(AdapterConfig())
    source = FileRows(FileSource(type="file", path=str(path)), wall)
    async with asyncio.TaskGroup() as tasks:
        running = tasks.create_task(source.run(store))
        yield store, source
        running.cancel()


async def until(holds: Callable[[], bool]) -> None:
    """Two seconds are what a change may take."""
    for _ in range(200):
        if holds():
            return
        await asyncio.sleep(0.01)
    raise AssertionError("it did not show within two seconds")


async def write(path: Path, text: str) -> None:
    """Replace ``path`` as careful writers do: by renaming another file."""

    def written() -> None:
        fresh = path.with_suffix(".new")
        fresh.write_text(text)
        os.replace(fresh, path)

    await asyncio.to_thread(written)


def told(store: Store) -> dict[str, float]:
    try:
        return numbers(ask(store.view(), "queue_depth"))
    except NotFound:
        return {}


async def test_a_change_shows_within_two_seconds_and_an_empty_file_is_no_failure(
    tmp_path: Path,
) -> None:
    path = tmp_path / "samples.yaml"
    await write(path, "")
    async with following(path, Wall()) as (store, source):
        await until(lambda: bool(store.slots) and store.slots[0].published_at == NOW)
        assert (told(store), source.problem) == ({}, "")
        await write(path, ONE)
        await until(lambda: told(store) == {"a": 3.0})
        await write(path, ONE.replace("value: 3", "value: 500m"))
        await until(lambda: told(store) == {"a": 0.5})
        assert source.problem == ""
    assert told(store) == {}  # a source that is no longer run tells nothing


@pytest.mark.parametrize("broken", ["samples: [", "samples: [{metric: x}]", None])
async def test_a_broken_or_missing_file_keeps_the_last_rows_until_they_are_old(
    tmp_path: Path, broken: str | None
) -> None:
    path = tmp_path / "samples.yaml"
    await write(path, ONE)
    async with following(path, Wall()) as (store, source):
        await until(lambda: told(store) == {"a": 3.0})
        if broken is None:
            await asyncio.to_thread(path.unlink)
        else:
            await write(path, broken)
        await until(lambda: bool(source.problem))
        assert source.problem.startswith(str(path))
        assert told(store) == {"a": 3.0}
        (column,) = store.view().columns("pods", "queue_depth")
        assert column.at.tolist() == [NOW]  # no longer always now
        await write(path, ONE)
        await until(lambda: not source.problem)
        (column,) = store.view().columns("pods", "queue_depth")
        assert column.at.tolist() == [WHENEVER]


def test_every_kind_of_row() -> None:
    rows = published(
        b"""
        samples:
        - {object: {kind: InferencePool, namespace: lab, name: chat}, metric: m, value: 1,
           timestamp: "1970-01-12T13:46:00Z", window_s: 60}
        - {object: {kind: Namespace, name: lab}, metric: m, value: "2k", timestamp: now}
        - {object: {kind: Rollout, namespace: lab, name: r, apiVersion: argoproj.io/v1alpha1},
           metric: m, value: .nan, timestamp: 1970-01-12T14:46:00+01:00}
        - {external: true, metric: q, labels: {a: b, n: 1}, value: 3, timestamp: now}
        - {external: true, namespace: lab, metric: q, value: 4, timestamp: now}
        """
    )

    assert sorted(rows.columns) == [
        ("", "q"),
        ("inferencepools.inference.networking.k8s.io", "m"),
        ("namespaces", "m"),
        ("rollouts.argoproj.io", "m"),
    ]
    (chat,) = rows.columns["inferencepools.inference.networking.k8s.io", "m"]
    assert (chat.value[0], chat.at[0], chat.window[0]) == (1.0, 999_960.0, 60)
    (rollout,) = rows.columns["rollouts.argoproj.io", "m"]
    assert np.isnan(rollout.value[0])
    assert rollout.at[0] == 999_960.0
    (outside,) = rows.columns["", "q"]
    assert outside.objects.keys == (("", ""), ("lab", ""))
    assert outside.labels == ({"a": "b", "n": "1"}, {})


def test_json_says_the_same() -> None:
    sample = {
        "object": {"kind": "Pod", "namespace": "lab", "name": "a"},
        "metric": "queue_depth",
        "labels": {"model": "qwen"},
        "value": 3,
        "timestamp": "now",
    }
    (column,) = published(json.dumps({"samples": [sample]}).encode()).columns["pods", "queue_depth"]
    (same,) = published(ONE.encode()).columns["pods", "queue_depth"]

    assert (column.objects, column.labels) == (same.objects, same.labels)
    assert column.value.tolist() == same.value.tolist() == [3.0]


def _row(**changed: object) -> str:
    sample: dict[str, object] = {
        "object": {"kind": "Pod", "namespace": "lab", "name": "a"},
        "metric": "m",
        "value": 1,
        "timestamp": "now",
    }
    sample.update(changed)
    return json.dumps({"samples": [{k: v for k, v in sample.items() if v is not None}]})


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("[]", "must be a mapping with the key samples"),
        ("sample: []", "sample: unknown key, did you mean samples?"),
        ("samples: 3", "samples: must be a list"),
        ("samples: [3]", "samples[0]: must be a mapping"),
        ("a: b: c", "not YAML"),
        ("{a: 1, a: 2}", "a: given twice"),
        ("x: &a []\ny: *a", "aliases"),
        ("---\na: 1\n---\nb: 1", "more than one document"),
        ("[" * 40 + "]" * 40, "nested deeper"),
        (_row(metric=None), "samples[0]: metric: is required"),
        (_row(metric="a/b"), "must not contain a slash"),
        (_row(valu=1), "valu: unknown key, did you mean value?"),
        (_row(value="many"), "value: 'many' is neither a number nor a quantity"),
        (_row(value=None), "value: is required"),
        (_row(timestamp="yesterday"), "neither RFC 3339 nor now"),
        (_row(timestamp="2026-01-01T00:00:00"), "names no time zone"),
        (_row(timestamp=None), "timestamp: is required"),
        (_row(object=None), "needs either object, or external: true"),
        (_row(external=True), "needs either object, or external: true"),
        (_row(object={"kind": "Pod", "name": "a"}), "object.namespace: is required for a Pod"),
        (_row(object={"kind": "Pod", "namespace": "lab"}), "name: is required"),
        (_row(labels=[1]), "labels: must be a mapping"),
        (_row(window_s="long"), "window_s: 'long' is not a number of seconds"),
    ],
)
def test_what_is_wrong_with_a_row_is_said_with_its_place(text: str, problem: str) -> None:
    with pytest.raises(ConfigError) as refused:
        published(text.encode())

    assert problem in str(refused.value)


def test_twenty_thousand_rows_are_taken() -> None:
    pods = "\n".join(
        f"- {{object: {{kind: Pod, namespace: lab, name: p{i}}}, metric: m, value: {i}, "
        "timestamp: now}"
        for i in range(20_000)
    )

    (column,) = published(f"samples:\n{pods}".encode()).columns["pods", "m"]

    assert column.value.sum() == 20_000 * 19_999 / 2


def test_rows_without_kubernetes_are_answered_from(tmp_path: Path) -> None:
    store = Store(AdapterConfig())
    with store.slot("file") as slot:
        slot.publish(published(ONE.encode()), NOW)
        assert numbers(ask(store.view(), "queue_depth", selecting="model=qwen")) == {"a": 3.0}
        old = ONE.replace("now", "1970-01-12T13:40:00Z")
        slot.publish(published(old.encode()), NOW)
        with pytest.raises(Stale, match="400 s ago"):
            ask(store.view(), "queue_depth")
        with pytest.raises(NotFound):
            ask_outside(store.view(), "queue_depth")


@pytest.mark.parametrize(
    ("written", "told"),
    [
        ({"model": "qwen", "pool": "a/b"}, {"model": "qwen", "pool": "a/b"}),
        (
            {"model": "meta-llama/Llama-3.1-8B"},
            {"model": "meta-llama--Llama-3.1-8B", "model_name": "meta-llama/Llama-3.1-8B"},
        ),
        ({"model_name": "a/b"}, {"model": "a--b", "model_name": "a/b"}),
    ],
)
def test_a_model_whose_name_no_selector_can_hold_gets_one_that_can_be_asked_for(
    written: dict[str, str], told: dict[str, str]
) -> None:
    row = {"external": True, "metric": "m", "labels": written, "value": 1, "timestamp": "now"}
    store = Store(AdapterConfig())
    with store.slot("file") as slot:
        slot.publish(published(json.dumps({"samples": [row]}).encode()), NOW)
        (value,) = ask_outside(store.view(), "m", f"model={told['model']}")
    assert value.labels == told
