"""Admission by priority: when the pool is saturated, requests that may be dropped are.

The reference's legacy admission: negative priority and saturation of 1 or more is a 429, all
others pass. No queue and no IO; called by the director with the candidates of one request.
"""

from __future__ import annotations

from gateway.errors import Shed

SATURATED = 1.0


def sheddable(priority: int) -> bool:
    """Negative priorities ask to be dropped rather than to make others wait."""
    return priority < 0


def admit(priority: int, saturation: float) -> None:
    """Let the request pass.

    Raises:
        Shed: it is sheddable and the pool is saturated, or not known not to be: a pool without
            fresh metrics counts as full, as in the reference.
    """
    if sheddable(priority) and not saturation < SATURATED:
        raise Shed("system saturated, sheddable request dropped")
