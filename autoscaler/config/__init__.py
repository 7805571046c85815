"""The autoscaler's command line: ``parse`` reads it, ``usage`` explains it. Called by ``main``."""

from __future__ import annotations

from collections.abc import Sequence

from autoscaler.config.checks import check
from autoscaler.config.flags import Flags
from loadstar.config import pflag
from loadstar.config.errors import Problems

__all__ = ["Flags", "parse", "usage"]

INTRODUCTION = """\
usage: loadstar autoscaler [flags]
       loadstar autoscaler simulate [flags]

Forecasts the demand for each model and has replicas and nodes ready before it comes. It writes
nothing unless the policy says mode: active.

  loadstar autoscaler --config-map llm/loadstar-autoscaler --signals gateway-signals:9004"""


def parse(argv: Sequence[str]) -> Flags:
    """The flags of ``argv``. Raises ConfigError with every problem, or HelpWanted."""
    flags = pflag.parse(Flags, argv).values
    problems = Problems()
    check(flags, problems)
    problems.raise_if_any()
    return flags


def usage() -> str:
    """The text of ``--help``."""

    def shown(placeholder: str, default: object) -> str:
        if placeholder == "duration":
            return f"{default:g}s"
        if default in (None, "", (), False):
            return ""
        return "true" if default is True else str(default)

    return f"{INTRODUCTION}\n\n{pflag.usage(Flags, shown)}\n"
