"""Metrics pages of every engine, in its own format."""

from __future__ import annotations

from pathlib import Path


def page(name: str) -> bytes:
    """The page ``name.txt`` of this folder."""
    return Path(__file__).with_name(f"{name}.txt").read_bytes()
