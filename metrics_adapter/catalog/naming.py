"""Model names as label values: what a label selector can hold of ``org/Model:tag``. Pure."""

from __future__ import annotations

import hashlib
import re
from functools import lru_cache
from typing import Final

LONGEST: Final = 63
_HASH_DIGITS: Final = 8
_NOT_ALLOWED: Final = re.compile(r"[^A-Za-z0-9_.\-]")

MODEL_LABELS: Final = ("model_name", "model_id", "model")
"""Where engines say which model a series is of."""


@lru_cache(4096)
def sanitized(name: str) -> str:
    """``meta-llama/Llama-3.1-8B`` -> ``meta-llama--Llama-3.1-8B``.

    A slash is ``--``, anything else that a label cannot hold ``-``. Where that loses something
    that tells names apart, or is too long, the end is a hash of the name.
    """
    text = name.replace("/", "--")
    clean = _NOT_ALLOWED.sub("-", text).strip("-_.")
    if clean == text and len(clean) <= LONGEST:
        return clean
    digest = hashlib.sha256(name.encode(errors="surrogatepass")).hexdigest()[:_HASH_DIGITS]
    kept = clean[: LONGEST - _HASH_DIGITS - 1].rstrip("-_.")
    return f"{kept}-{digest}" if kept else digest


def selectable(labels: dict[str, str]) -> dict[str, str]:
    """``labels`` as they are, unless their model's name is one that no selector can hold."""
    for key in MODEL_LABELS:
        raw = labels.get(key)
        if raw:
            return labels if sanitized(raw) == raw else with_model(labels)
    return labels


def with_model(labels: dict[str, str]) -> dict[str, str]:
    """``labels`` with the raw model name as ``model_name`` and one for selectors as ``model``."""
    for key in MODEL_LABELS:
        raw = labels.get(key)
        if raw:
            return {**labels, "model_name": raw, "model": sanitized(raw)}
    return labels
