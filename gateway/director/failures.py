"""Where an exception out of plugin code ends: counted every time, logged once per kind.

The log says where it came from, never its text, which may quote a prompt.

with failures.skipping(scheduler, "picked"):
    scheduler.picked(cycle, decision)
"""

from __future__ import annotations

import logging
from types import TracebackType

from gateway.director.measures import Measures

log = logging.getLogger(__name__)

MAX_KINDS = 256
"""Kinds logged before the log falls silent (the counter does not)."""


class PluginFailures:
    """Plugins that raised. A request goes on without what they would have said."""

    def __init__(self, measures: Measures) -> None:
        self._measures = measures
        self._logged: set[tuple[str, str, type[Exception]]] = set()

    def skipping(
        self, plugin: object, point: str, *, but: type[Exception] | tuple[()] = ()
    ) -> Skipping:
        """A block that ends early, and no more, when ``plugin`` raises at ``point`` in it.

        Exceptions of the type ``but`` are an answer, not a failure, and pass.
        """
        return Skipping(self, plugin, point, but)

    def note(self, plugin: object, point: str, error: Exception) -> None:
        """``plugin`` raised ``error`` at ``point`` (schedule, picked, served, ...)."""
        name = type(plugin).__name__
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


class Skipping:
    """See ``PluginFailures.skipping``."""

    __slots__ = ("_but", "_failures", "_plugin", "_point")

    def __init__(
        self,
        failures: PluginFailures,
        plugin: object,
        point: str,
        but: type[Exception] | tuple[()],
    ) -> None:
        self._failures = failures
        self._plugin = plugin
        self._point = point
        self._but = but

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> bool:
        if not isinstance(error, Exception) or isinstance(error, self._but):
            return False
        self._failures.note(self._plugin, self._point, error)
        return True


def _place(error: Exception) -> str:
    """``file:line`` of the frame that raised ``error``."""
    frame = error.__traceback__
    while frame is not None and frame.tb_next is not None:
        frame = frame.tb_next
    return "unknown" if frame is None else f"{frame.tb_frame.f_code.co_filename}:{frame.tb_lineno}"
