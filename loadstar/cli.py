"""``loadstar``: one command for every service of the distribution, found by name when asked for.

It imports no service: ``loadstar gateway`` loads ``gateway.__main__`` and hands it the rest of the
line. ``loadstar check`` does the same with whatever knows the file's kind.
"""

from __future__ import annotations

import importlib
import importlib.util
import sys
from collections.abc import Callable, Sequence
from importlib.metadata import version

from loadstar.config.errors import did_you_mean

SERVICES = {
    "gateway": "the endpoint picker: an Envoy ext_proc service that chooses a model server",
    "autoscaler": "the predictive autoscaler",
    "metrics_adapter": "the custom and external metrics API",
}
CHECKER = "gateway.check"

USAGE_ERROR = 2


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command that ``argv`` (sys.argv without the program) names; its exit code."""
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
    service = command.replace("-", "_")
    if service in _available():
        return _entry(f"{service}.__main__")(rest)
    known = [*_available(), "check"]
    print(f"loadstar: unknown command {command!r}{did_you_mean(command, known)}", file=sys.stderr)
    return USAGE_ERROR


def usage() -> str:
    """The text of ``--help``."""
    commands = {name: SERVICES[name] for name in _available()}
    commands["check"] = "say whether configuration and endpoints files are right, without serving"
    lines = [f"  {name.replace('_', '-'):<18}{what}" for name, what in commands.items()]
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
    """The services of this build; a package that is only reserved has no entry point."""
    return [name for name in SERVICES if importlib.util.find_spec(f"{name}.__main__") is not None]


def _entry(module: str) -> Callable[[Sequence[str]], int]:
    """``main(argv) -> exit code`` of ``module``."""
    found: Callable[[Sequence[str]], int] = importlib.import_module(module).main
    return found


if __name__ == "__main__":
    sys.exit(main())
