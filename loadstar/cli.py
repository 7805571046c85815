"""``loadstar``: one command for every service of the distribution, found by name when asked for.

It imports no service: ``loadstar gateway`` loads ``gateway.__main__`` and hands it the rest of the
line. ``loadstar check`` asks every service's checker in the same way (``loadstar.check``).
"""

from __future__ import annotations

import importlib
import importlib.util
import os
import select
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from importlib.metadata import version

from loadstar.config.errors import did_you_mean


@dataclass(frozen=True, slots=True)
class Command:
    """One word of the command line: the module whose ``main(argv)`` it runs, and what that is."""

    module: str
    what: str


COMMANDS = {
    "gateway": Command(
        "gateway.__main__",
        "the endpoint picker: an Envoy ext_proc service that chooses a model server",
    ),
    "adapter": Command("metrics_adapter.__main__", "the custom and external metrics API"),
    "autoscaler": Command(
        "autoscaler.__main__", "the predictive autoscaler; `autoscaler simulate` runs it on a plant"
    ),
    "backtest": Command("autoscaler.commands.backtest", "a demand trace through every controller"),
    "replay": Command("autoscaler.commands.replay", "recorded decisions, reproduced"),
    "explain": Command("autoscaler.commands.explain", "why a model has the size it has"),
    "profile": Command(
        "autoscaler.commands.profile", "capacity profiles: fit, import, show, recommend"
    ),
    "preflight": Command("autoscaler.commands.preflight", "quota, rights and metrics, before use"),
}
ALSO_CALLED = {"metrics-adapter": "adapter", "metrics_adapter": "adapter"}
CHECKER = "loadstar.check"

USAGE_ERROR = 2
READER_GONE = 141
"""What a shell reports of a program that SIGPIPE has ended."""


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that ``argv`` (sys.argv without the program) names; its exit code."""
    try:
        code = _run(argv)
        sys.stdout.flush()
    except BrokenPipeError:
        if not _unread():
            raise
        return READER_GONE
    return code


def _unread() -> bool:
    """Whether nobody reads stdout any more (``| head``); what is left to say goes nowhere."""
    poll = select.poll()
    poll.register(sys.stdout.fileno(), select.POLLOUT)
    gone = any(event & select.POLLERR for _, event in poll.poll(0))
    if gone:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return gone


def _run(argv: Sequence[str] | None) -> int:
    words = sys.argv[1:] if argv is None else list(argv)
    if not words or words[0] in ("-h", "--help", "help"):
        print(usage())
        return 0 if words else USAGE_ERROR
    command, rest = words[0], words[1:]
    if command == "--version":
        print(f"loadstar {version('loadstar')}")
        return 0
    if command == "check":
        return _entry(CHECKER)(rest)
    word = ALSO_CALLED.get(command, command)
    if word in _available():
        return _entry(COMMANDS[word].module)(rest)
    known = [*_available(), "check"]
    print(f"loadstar: unknown command {command!r}{did_you_mean(command, known)}", file=sys.stderr)
    return USAGE_ERROR


def usage() -> str:
    """The text of ``--help``."""
    commands = {name: COMMANDS[name].what for name in _available()}
    commands["check"] = "say whether configurations (files, folders, ConfigMaps) are right"
    lines = [f"  {name:<18}{what}" for name, what in commands.items()]
    return "\n".join(
        [
            "usage: loadstar COMMAND [flags]",
            "",
            *lines,
            "",
            "  --version         the version of this distribution",
            "  COMMAND --help    the flags of a command",
        ]
    )


def _available() -> list[str]:
    """The commands of this build; a package that is only reserved has no entry point."""
    return [name for name, command in COMMANDS.items() if _is_there(command.module)]


def _is_there(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # its package is not there either
        return False


def _entry(module: str) -> Callable[[Sequence[str]], int]:
    """``main(argv) -> exit code`` of ``module``."""
    found: Callable[[Sequence[str]], int] = importlib.import_module(module).main
    return found


if __name__ == "__main__":
    sys.exit(main())
