"""Configurations as they are carried: in files of several documents, in Lists, in ConfigMaps.

Pure: text in, the documents inside out, each with the place where it stands, written as problems
write it (``items[1].data[picker.yaml]``). What a document means is for whoever knows its kind.
Called by ``loadstar check``.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from loadstar.config.document import Value, join, read_all
from loadstar.config.errors import ConfigError, Problem

MAX_FILE_BYTES = 16 << 20
"""A rendered tree of manifests, not one configuration: those have a limit of their own."""
TEXT_ENDINGS = (".yaml", ".yml", ".json")
"""A ConfigMap's key that ends so is meant to be read; others may be anything."""


@dataclass(frozen=True, slots=True)
class Found:
    """One document, or why it cannot be read."""

    place: str
    """Within the file's document; "" is the document itself."""
    value: Value
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class Document:
    """One document of a file and everything inside it."""

    number: int
    title: str
    """Kind and name, as far as it has them: ``ConfigMap prod/gateway``."""
    found: tuple[Found, ...]


def documents(text: str | bytes) -> list[Document]:
    """Every document of a file. Raises ConfigError where the file as a whole cannot be read."""
    return [
        Document(number, title(value), tuple(inside(value)))
        for number, value in enumerate(read_all(text, max_bytes=MAX_FILE_BYTES), start=1)
    ]


def title(value: Value) -> str:
    """What to call a document: its kind, and its name where it has one."""
    if not isinstance(value, dict):
        return ""
    kind, metadata = value.get("kind"), value.get("metadata")
    words = [kind] if isinstance(kind, str) else []
    if isinstance(metadata, dict) and isinstance(metadata.get("name"), str):
        namespace = metadata.get("namespace")
        prefix = f"{namespace}/" if isinstance(namespace, str) else ""
        words.append(f"{prefix}{metadata['name']}")
    return " ".join(words)


def inside(value: Value, place: str = "") -> Iterator[Found]:
    """``value`` itself, or what it carries if it is a List or a ConfigMap."""
    if not (isinstance(value, dict) and value.get("apiVersion") == "v1"):
        yield Found(place, value)
    elif value.get("kind") in ("List", "ConfigMapList") and isinstance(value.get("items"), list):
        items = value["items"]
        for index, item in enumerate(items if isinstance(items, list) else []):
            yield from inside(item, f"{join(place, 'items')}[{index}]")
    elif value.get("kind") == "ConfigMap":
        yield from _config_map(value, place)
    else:
        yield Found(place, value)


def _config_map(value: Mapping[str, Value], place: str) -> Iterator[Found]:
    data = value.get("data")
    if not isinstance(data, dict):
        if data is not None:
            problem = Problem(join(place, "data"), "must be a mapping of texts")
            yield Found(place, None, (problem,))
        return
    for key, text in data.items():
        here = f"{join(place, 'data')}[{key}]"
        if not isinstance(text, str):
            yield Found(here, None, (Problem(here, "must be text; is a | missing after the key?"),))
        else:
            yield from _value(key, text, here)


def _value(key: str, text: str, here: str) -> Iterator[Found]:
    try:
        inner = read_all(text)
    except ConfigError as error:
        if key.endswith(TEXT_ENDINGS):
            yield Found(here, None, tuple(problem.within(here) for problem in error.problems))
        return
    for number, document in enumerate(inner, start=1):
        if isinstance(document, dict):  # a ConfigMap's plain values are settings of others
            yield Found(here if len(inner) == 1 else f"{here}(document {number})", document)
