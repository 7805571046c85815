"""Plain text tables for the terminal and for logs; numbers to the right."""

from __future__ import annotations

import math
from collections.abc import Sequence


def table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Aligned columns under their headings; the first column to the left, the others right."""
    lines = [list(headings), *map(list, rows)]
    widths = [max(len(line[i]) for line in lines) for i in range(len(headings))]
    lines.insert(1, ["-" * width for width in widths])
    return "\n".join(
        "  ".join(
            cell.ljust(width) if i == 0 else cell.rjust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def ms(seconds: float) -> str:
    """Milliseconds, rounded to what matters; ``-`` if not known."""
    return "-" if math.isnan(seconds) else f"{seconds * 1000:,.0f} ms"


def percent(share: float) -> str:
    return "-" if math.isnan(share) else f"{share:.1%}"


def ratio(value: float) -> str:
    return "-" if math.isnan(value) else f"{value:.2f}x"
