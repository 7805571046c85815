"""Derived metrics: arithmetic over other metrics, read once into a tree and worked out on arrays.

Nothing is ever executed: Python's own parser reads the text, and every node that is not arithmetic
is refused. An unknown value is NaN and makes what is computed from it NaN, so that absence stays
absence; ``coalesce`` is the one way past it. The catalog parses, ``query`` evaluates.
"""

from __future__ import annotations

import ast
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final, TypeAlias

import numpy as np
from numpy.typing import NDArray

LONGEST_TEXT: Final = 1000
DEEPEST: Final = 32

Floats: TypeAlias = NDArray[np.float64]
Node: TypeAlias = "Number | Name | Call"
Function: TypeAlias = Callable[..., Floats]


@dataclass(frozen=True, slots=True)
class Number:
    value: float


@dataclass(frozen=True, slots=True)
class Name:
    metric: str


@dataclass(frozen=True, slots=True)
class Call:
    function: str
    arguments: tuple[Node, ...]


@dataclass(frozen=True, slots=True)
class Expression:
    """What ``parse`` read."""

    text: str
    root: Node
    names: tuple[str, ...]
    """The metrics it is made of, sorted."""

    def evaluate(self, values: Mapping[str, Floats]) -> Floats:
        """Element by element; what is not a finite number is NaN."""
        with np.errstate(all="ignore"):
            result = np.asarray(_evaluate(self.root, values), dtype=np.float64)
        return np.where(np.isfinite(result), result, np.nan)


def parse(text: str) -> Expression:
    """``queue_depth / max(running_requests, 1)``. Raises ValueError with words for its author."""
    if len(text) > LONGEST_TEXT:
        raise ValueError(f"is longer than {LONGEST_TEXT} characters")
    try:
        tree = ast.parse(text.strip(), mode="eval")
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        raise ValueError(f"{text[:80]!r} is not arithmetic") from None
    names: set[str] = set()
    root = _read(tree.body, names, 0)
    if not names:
        raise ValueError(f"{text[:80]!r} names no metric")
    return Expression(text, root, tuple(sorted(names)))


def _read(node: ast.expr, names: set[str], depth: int) -> Node:
    if depth > DEEPEST:
        raise ValueError(f"is nested deeper than {DEEPEST} levels")
    if isinstance(node, ast.Constant):
        value = node.value
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise ValueError(f"{value!r} is not a number")
        try:
            number = float(value)
        except OverflowError:
            raise ValueError("a number in it is too large") from None
        if not math.isfinite(number):
            raise ValueError("a number in it is too large")
        return Number(number)
    if isinstance(node, ast.Name):
        names.add(node.id)
        return Name(node.id)
    if isinstance(node, ast.BinOp):
        operator = _BINARY.get(type(node.op))
        if operator is None:
            raise ValueError("only + - * / may stand between two values")
        return Call(
            operator, (_read(node.left, names, depth + 1), _read(node.right, names, depth + 1))
        )
    if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub | ast.UAdd):
        inner = _read(node.operand, names, depth + 1)
        return Call("-", (Number(0.0), inner)) if isinstance(node.op, ast.USub) else inner
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return _call(node.func.id, node, names, depth)
    raise ValueError(f"{ast.unparse(node)[:80]!r} is not arithmetic")


def _call(function: str, node: ast.Call, names: set[str], depth: int) -> Node:
    counts = _ARGUMENTS.get(function)
    if counts is None:
        known = ", ".join(sorted(_ARGUMENTS))
        raise ValueError(f"there is no function {function[:80]!r}; there are {known}")
    least, most = counts
    if node.keywords or not least <= len(node.args) <= most:
        needs = str(least) if least == most else f"{least} to {most}"
        raise ValueError(f"{function} takes {needs} plain arguments")
    arguments = tuple(_read(argument, names, depth + 1) for argument in node.args)
    return Call(function, arguments)


def _evaluate(node: Node, values: Mapping[str, Floats]) -> Floats:
    if isinstance(node, Number):
        return np.array(node.value)
    if isinstance(node, Name):
        return values[node.metric]
    return _FUNCTIONS[node.function](*(_evaluate(argument, values) for argument in node.arguments))


def _least(*arguments: Floats) -> Floats:
    result = arguments[0]
    for argument in arguments[1:]:
        result = np.minimum(result, argument)
    return result


def _most(*arguments: Floats) -> Floats:
    result = arguments[0]
    for argument in arguments[1:]:
        result = np.maximum(result, argument)
    return result


def _first_known(*arguments: Floats) -> Floats:
    result = arguments[0]
    for argument in arguments[1:]:
        result = np.where(np.isfinite(result), result, argument)
    return result


_BINARY: Final[Mapping[type[ast.operator], str]] = MappingProxyType(
    {ast.Add: "+", ast.Sub: "-", ast.Mult: "*", ast.Div: "/"}
)
_MANY: Final = 16
_ARGUMENTS: Final[Mapping[str, tuple[int, int]]] = MappingProxyType(
    {
        "min": (2, _MANY),
        "max": (2, _MANY),
        "coalesce": (2, _MANY),
        "clamp": (3, 3),
        "abs": (1, 1),
        "ceil": (1, 1),
        "floor": (1, 1),
    }
)
_FUNCTIONS: Final[Mapping[str, Function]] = MappingProxyType(
    {
        "+": np.add,
        "-": np.subtract,
        "*": np.multiply,
        "/": np.divide,
        "min": _least,
        "max": _most,
        "coalesce": _first_known,
        "clamp": lambda value, low, high: np.minimum(np.maximum(value, low), high),
        "abs": np.abs,
        "ceil": np.ceil,
        "floor": np.floor,
    }
)
