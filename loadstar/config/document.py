"""YAML or JSON text -> plain dicts, lists and scalars, safely and strictly.

It refuses what would be guessed at otherwise: a key given twice, a second document (but for
``read_all``), tags, aliases that blow up, nesting and size without end. It knows no schema;
``load`` does.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Hashable, Iterator
from contextlib import contextmanager
from typing import TypeAlias

import yaml
from yaml.nodes import MappingNode, Node, ScalarNode, SequenceNode

try:
    from yaml import CSafeLoader as _BaseLoader
except ImportError:  # a PyYAML built without libyaml parses the same, ten times slower
    from yaml import SafeLoader as _BaseLoader  # type: ignore[assignment]  # same interface

from loadstar.config.errors import ConfigError, not_utf8

Value: TypeAlias = "bool | int | float | str | list[Value] | dict[str, Value] | None"

MAX_BYTES = 1 << 20
"""Size limit of one document, as for the reference's endpoints file."""
MAX_DEPTH = 64
MAX_VALUES = 200_000
"""Values after aliases are followed: about what 1 MiB can say without them."""
MAX_DOCUMENTS = 1000
"""In one text, for those who take more than one."""

_MERGE = "tag:yaml.org,2002:merge"


class _Loader(_BaseLoader):
    """The scalars of JSON and of Go's YAML: no dates, no base-60 numbers, and 1e3 is a number."""


_Loader.yaml_implicit_resolvers = {
    first: [
        (tag, pattern)
        for tag, pattern in resolvers
        if tag.rsplit(":", 1)[-1] in {"bool", "null", "merge"}
    ]
    for first, resolvers in _BaseLoader.yaml_implicit_resolvers.items()
}
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:int",
    re.compile(r"^[-+]?(?:0b[01_]+|0o?[0-7_]+|0|[1-9][0-9_]*|0x[0-9a-fA-F_]+)$"),
    list("-+0123456789"),
)
_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float",
    re.compile(
        r"^(?:[-+]?(?:[0-9][0-9_]*\.?[0-9_]*|\.[0-9][0-9_]*)(?:[eE][-+]?[0-9]+)?"
        r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))$"
    ),
    list("-+0123456789."),
)


def read(text: str | bytes, *, max_bytes: int = MAX_BYTES) -> Value:
    """The one value ``text`` holds; None if it is empty. Raises ConfigError."""
    return _read(text, max_bytes, lambda decoded: _Reader().yaml(decoded))


def read_all(text: str | bytes, *, max_bytes: int = MAX_BYTES) -> list[Value]:
    """Every document of ``text``, empty ones left out. Raises ConfigError, for the whole."""
    found = _read(text, max_bytes, _every_yaml)
    documents = found if isinstance(found, _Documents) else [found]
    return [document for document in documents if document is not None]


class _Documents(list[Value]):
    """What several documents say; a list in one document is not this."""


def _every_yaml(text: str) -> _Documents:
    loader = _Loader(text)
    documents = _Documents()
    try:
        with _yaml_errors():
            while loader.check_node():
                if len(documents) == MAX_DOCUMENTS:
                    raise ConfigError.of("", f"more than {MAX_DOCUMENTS} documents")
                documents.append(_Reader().node(loader, loader.get_node()))
    finally:
        loader.dispose()
    return documents


def _read(text: str | bytes, max_bytes: int, as_yaml: Callable[[str], Value]) -> Value:
    raw = text.encode(errors="surrogatepass") if isinstance(text, str) else text
    if len(raw) > max_bytes:
        raise ConfigError.of("", f"{len(raw)} bytes are more than the {max_bytes} allowed")
    try:
        decoded = raw.decode()
    except UnicodeDecodeError as error:
        raise ConfigError.of("", not_utf8(error)) from None
    try:
        if decoded.lstrip().startswith("{"):
            # JSON first: it may be indented with tabs, which YAML forbids.
            try:
                return _Reader().json(decoded)
            except json.JSONDecodeError:
                pass
            except ValueError as error:  # a number with thousands of digits
                raise ConfigError.of("", f"not JSON: {error}") from None
        return as_yaml(decoded)
    except RecursionError:
        raise ConfigError.of("", f"nested deeper than {MAX_DEPTH} levels") from None


@contextmanager
def _yaml_errors() -> Iterator[None]:
    """The parser's own complaints, as ours."""
    try:
        yield
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        where = f"line {mark.line + 1}, column {mark.column + 1}: " if mark else ""
        raise ConfigError.of("", f"not YAML: {where}{error.problem}") from None
    except yaml.YAMLError as error:
        raise ConfigError.of("", f"not YAML: {' '.join(str(error).split())}") from None


class _Reader:
    """One reading: what has been counted so far."""

    def __init__(self) -> None:
        self._values = 0

    def json(self, text: str) -> Value:
        document: Value = json.loads(text, object_pairs_hook=_unique, parse_constant=_no_constant)
        return self._measured(document, "", 0)

    def yaml(self, text: str) -> Value:
        loader = _Loader(text)
        try:
            with _yaml_errors():
                return self.node(loader, loader.get_single_node())
        finally:
            loader.dispose()

    def node(self, loader: _Loader, root: Node | None) -> Value:
        return None if root is None else self._value(loader, root, "", 0)

    def _count(self, path: str, depth: int) -> None:
        self._values += 1
        if depth > MAX_DEPTH:
            raise ConfigError.of("", f"nested deeper than {MAX_DEPTH} levels")
        if self._values > MAX_VALUES:
            raise ConfigError.of(path, f"more than {MAX_VALUES} values, counting aliases")

    def _measured(self, value: Value, path: str, depth: int) -> Value:
        self._count(path, depth)
        if isinstance(value, str):
            _check_whole(value, path)
        elif isinstance(value, dict):
            for key, item in value.items():
                _check_whole(key, path)
                self._measured(item, join(path, key), depth + 1)
        elif isinstance(value, list):
            for index, item in enumerate(value):
                self._measured(item, f"{path}[{index}]", depth + 1)
        return value

    def _value(self, loader: _Loader, node: Node, path: str, depth: int) -> Value:
        self._count(path, depth)
        if isinstance(node, MappingNode):
            return self._mapping(loader, node, path, depth)
        if isinstance(node, SequenceNode):
            return [
                self._value(loader, item, f"{path}[{index}]", depth + 1)
                for index, item in enumerate(node.value)
            ]
        if isinstance(node, ScalarNode):
            return _scalar(loader, node, path)
        raise ConfigError.of(path, f"a {type(node).__name__} cannot be read")

    def _mapping(
        self, loader: _Loader, node: MappingNode, path: str, depth: int
    ) -> dict[str, Value]:
        found: dict[str, Value] = {}
        merged: dict[str, Value] = {}
        for key_node, value_node in node.value:
            if key_node.tag == _MERGE:
                bases = self._value(loader, value_node, join(path, "<<"), depth + 1)
                for base in bases if isinstance(bases, list) else [bases]:
                    if not isinstance(base, dict):
                        raise ConfigError.of(join(path, "<<"), "only mappings can be merged")
                    merged = base | merged
                continue
            if not isinstance(key_node, ScalarNode) or key_node.tag.endswith(":null"):
                line = key_node.start_mark.line + 1
                raise ConfigError.of(path, f"line {line}: a key must be a string")
            key = str(key_node.value)  # what was written, so that `8000: x` and `on: x` are kept
            here = join(path, key)
            if key in found:
                raise ConfigError.of(here, f"line {key_node.start_mark.line + 1}: given twice")
            found[key] = self._value(loader, value_node, here, depth + 1)
        return merged | found


def _check_whole(text: str, path: str) -> None:
    """JSON can escape half a character, which no text can be written with: in a log, a metric."""
    if text.isascii():
        return
    try:
        text.encode()
    except UnicodeEncodeError as error:
        half = text[error.start]
        raise ConfigError.of(path, f"\\u{ord(half):04x} is half a character") from None


def join(path: str, key: str) -> str:
    """``profiles[0]`` and ``name`` -> ``profiles[0].name``."""
    return f"{path}.{key}" if path else key


def _scalar(loader: _Loader, node: ScalarNode, path: str) -> Value:
    line = node.start_mark.line + 1
    tag = node.tag.rsplit(":", 1)[-1]
    if tag == "str":
        return str(node.value)
    if tag not in {"null", "bool", "int", "float"}:
        raise ConfigError.of(path, f"line {line}: the tag {node.tag!r} is not supported")
    try:
        value: Hashable = loader.construct_object(node)
    except (ValueError, KeyError, yaml.YAMLError):
        raise ConfigError.of(
            path, f"line {line}: {node.value[:80]!r} is not a valid {tag}"
        ) from None
    if isinstance(value, bool | int | float | None):
        return value
    raise ConfigError.of(path, f"line {line}: {node.value[:80]!r} is not a valid {tag}")


def _unique(pairs: list[tuple[str, Value]]) -> dict[str, Value]:
    found: dict[str, Value] = {}
    for key, value in pairs:
        if key in found:
            raise ConfigError.of(key, "given twice")
        found[key] = value
    return found


def _no_constant(name: str) -> float:
    raise json.JSONDecodeError(f"{name} is not JSON", name, 0)
