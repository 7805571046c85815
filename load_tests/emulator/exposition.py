"""Prometheus text, made cheaply: what never changes is rendered once, the rest where it changed.

A ``Sheet`` is built once and rendered at every scrape. Knows no metric's name; ``page`` does.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from enum import Enum
from itertools import accumulate
from typing import TypeAlias

from load_tests.emulator.ledger import Histogram

Labels: TypeAlias = Mapping[str, str]
Sample: TypeAlias = tuple[str, Callable[[], float]]
"""(labels as text, how to read the value)"""

PLAIN_BELOW = 1_000_000
"""Below it, a whole number prints as ``123.0``; from it on as Go prints floats."""


class Gauges(Enum):
    """What becomes of the load gauges: a fault to test readers with."""

    TRUE = "true"
    MISSING = "missing"
    NAN = "nan"


def labels(pairs: Labels) -> str:
    """``{a="1",b="2"}``, sorted as the Python client does; empty for none."""
    text = ",".join(f'{name}="{_escaped(pairs[name])}"' for name in sorted(pairs))
    return f"{{{text}}}" if text else ""


def number(value: float) -> str:
    """A sample's value as the Python client prints it."""
    if math.isnan(value):
        return "NaN"
    if value == int(value) and 0 <= value < PLAIN_BELOW:
        return f"{int(value)}.0"
    text = repr(float(value))
    point = text.find(".")
    if value > 0 and point > 6:
        digits = f"{text[0]}.{text[1:point]}{text[point + 1 :]}".rstrip("0.")
        return f"{digits}e+{point - 1:02d}"
    return text


class Sheet:
    """A page in the making: families in order, constant text merged."""

    def __init__(self) -> None:
        self._parts: list[str | Callable[[], str]] = []
        self.gauges = Gauges.TRUE

    def render(self) -> str:
        return "".join([part if isinstance(part, str) else part() for part in self._parts])

    def constant(self, name: str, kind: str, about: str, samples: Mapping[str, float]) -> None:
        """A family whose samples (labels as text -> value) never change."""
        lines = "".join(f"{name}{text} {number(value)}\n" for text, value in samples.items())
        self._add(head(name, kind, about) + lines)

    def values(self, name: str, kind: str, about: str, samples: Sequence[Sample]) -> None:
        """A family that is read anew at every scrape."""
        self._add(head(name, kind, about))
        for text, read in samples:
            self._add(_reader(f"{name}{text} ", read))

    def load(self, name: str, about: str, samples: Sequence[Sample]) -> None:
        """A gauge of the load: what routers read, and what faults spoil."""
        opening = head(name, "gauge", about)
        readers = [(f"{name}{text} ", read) for text, read in samples]

        def text() -> str:
            match self.gauges:
                case Gauges.TRUE:
                    return opening + "".join(f"{line}{number(read())}\n" for line, read in readers)
                case Gauges.NAN:
                    return opening + "".join(f"{line}NaN\n" for line, _ in readers)
                case Gauges.MISSING:
                    return ""

        self._add(text)

    def counter(
        self, name: str, about: str, samples: Sequence[Sample], created: float | None
    ) -> None:
        """``name_total`` and, if ``created`` (Unix seconds) is known, ``name_created``."""
        self.values(f"{name}_total", "counter", about, samples)
        if created is not None:
            texts = {text: created for text, _ in samples}
            self.constant(f"{name}_created", "gauge", about, texts)

    def histogram(
        self, name: str, about: str, of: Labels, histogram: Histogram, created: float | None
    ) -> None:
        """Rendered again only when something was observed since."""
        self._add(head(name, "histogram", about))
        self._add(Buckets(name, of, histogram))
        if created is not None:
            self.constant(f"{name}_created", "gauge", about, {labels(of): created})

    def text(self, read: Callable[[], str]) -> None:
        """Lines that somebody else writes."""
        self._add(read)

    def _add(self, part: str | Callable[[], str]) -> None:
        if isinstance(part, str) and self._parts and isinstance(self._parts[-1], str):
            self._parts[-1] += part
        else:
            self._parts.append(part)


class Buckets:
    """The lines of one histogram, kept until its count changes."""

    def __init__(self, name: str, of: Labels, histogram: Histogram) -> None:
        self._histogram = histogram
        self._seen = -1
        self._lines = ""
        bounds = [number(bound) for bound in histogram.bounds] + ["+Inf"]
        buckets = [f"{name}_bucket{labels({**of, 'le': bound})} " for bound in bounds]
        ends = [f"{name}_count{labels(of)} ", f"{name}_sum{labels(of)} "]
        names = [line.replace("%", "%%") for line in buckets + ends]
        # One formatting call for all lines; whole numbers below a million need no more.
        self._plain = "".join(f"{line}%d.0\n" for line in names[:-1]) + f"{names[-1]}%s\n"
        self._large = "".join(f"{line}%s\n" for line in names)

    def __call__(self) -> str:
        histogram = self._histogram
        if histogram.count != self._seen:
            self._seen = histogram.count
            counts = (*accumulate(histogram.counts), histogram.count)
            total = number(histogram.total)
            if histogram.count < PLAIN_BELOW:
                self._lines = self._plain % (*counts, total)
            else:
                self._lines = self._large % (*map(number, counts), total)
        return self._lines


def _reader(line: str, read: Callable[[], float]) -> Callable[[], str]:
    return lambda: f"{line}{number(read())}\n"


def head(name: str, kind: str, about: str) -> str:
    """The two comment lines that open a family."""
    return f"# HELP {name} {about}\n# TYPE {name} {kind}\n"


def _escaped(value: str) -> str:
    return value.replace("\\", r"\\").replace('"', r"\"").replace("\n", r"\n")
