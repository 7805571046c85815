"""Where an exception out of plugin code ends: counted every time, logged once per kind.

The log says where it came from, never its text, which may quote a prompt.
"""

from __future__ import annotations

import logging

from gateway.director.measures import Measures
from gateway.scheduling.failures import Failure

log = logging.getLogger(__name__)

MAX_KINDS = 256
"""Kinds logged before the log falls silent (the counter does not)."""


class PluginFailures:
    """Plugins that raised (``scheduling.failures.Failures``). The request went on without them."""

    def __init__(self, measures: Measures) -> None:
        self._measures = measures
        self._logged: set[tuple[str, str, type[Exception]]] = set()

    def append(self, failure: Failure) -> None:
        """Count and perhaps log ``failure``."""
        name, point, error = type(failure.plugin).__name__, failure.point, failure.error
        self._measures.plugin_failed(name, point)
        kind = (name, point, type(error))
        if kind not in self._logged and len(self._logged) < MAX_KINDS:
            self._logged.add(kind)
            log.error(
                "plugin %s failed at %s with %s (%s); it is skipped",
                name,
                point,
                type(error).__name__,
                _place(error),
            )


def _place(error: Exception) -> str:
    """``file:line`` of the frame that raised ``error``."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    return "unknown" if frame is None else f"{frame.tb_frame.f_code.co_filename}:{frame.tb_lineno}"
