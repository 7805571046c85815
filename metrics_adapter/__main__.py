"""argv -> exit code: ``python -m metrics_adapter ...`` and ``loadstar adapter ...``.

0 is a clean end, 2 a command line or configuration to mend, 1 anything else: a port in use.
"""

from __future__ import annotations

import asyncio
import logging
import os
import signal
import sys
from collections.abc import Sequence

import uvloop

from loadstar.clock import SystemClock
from loadstar.config.errors import ConfigError
from loadstar.config.pflag import HelpWanted
from loadstar.telemetry.logging import cannot_start, logs
from loadstar.tls import CertificateError
from metrics_adapter.config.command_line import parse, usage
from metrics_adapter.config.flags import MEGABYTE, Flags

log = logging.getLogger("metrics_adapter")

USAGE_ERROR = 2
IMPORT = "import-rules"


def main(argv: Sequence[str]) -> int:
    """Run the adapter until it is told to stop."""
    if argv and argv[0] == IMPORT:
        from metrics_adapter.importer import main as import_rules

        return import_rules(argv[1:])
    try:
        flags, notes = parse(argv)
    except HelpWanted:
        sys.stdout.write(usage())
        return 0
    except ConfigError as error:
        sys.stderr.writelines(f"loadstar adapter: {problem}\n" for problem in error.problems)
        sys.stderr.write("see --help\n")
        return USAGE_ERROR
    # grpc writes lines of its own to stderr; the logs below say what matters.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    form = {"text": "console"}.get(flags.log_format, flags.log_format)
    with logs(flags.v, form):
        for note in notes:
            log.warning(note)
        return _run(flags)


def _run(flags: Flags) -> int:
    # Imported when flags are good: it takes a second, --help should not.
    from metrics_adapter import policy_file
    from metrics_adapter.api.audit import audit_log
    from metrics_adapter.api.listener import CannotListen
    from metrics_adapter.clients import clients
    from metrics_adapter.main import build
    from metrics_adapter.memory import one_arena, one_thread

    one_arena()

    async def serve() -> None:
        stop = asyncio.Event()
        loop = asyncio.get_running_loop()
        one_thread(loop)
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stop.set)
        clock = SystemClock()
        # With a ConfigMap to follow, a text that cannot be used is said on it, and is no end.
        read = policy_file.read_or_defaults if flags.config_map else policy_file.read
        config = read(flags.config)
        async with clients(flags, os.environ, clock) as opened:
            await build(flags, config, opened, clock, audit).serve(stop)

    try:
        with audit_log(
            flags.audit_log_path,
            max_bytes=flags.audit_log_maxsize * MEGABYTE,
            backups=flags.audit_log_maxbackup,
        ) as audit:
            uvloop.run(serve())
    except (ConfigError, CertificateError) as error:
        cannot_start(log, error)
        return USAGE_ERROR
    except (CannotListen, OSError) as error:
        log.error("cannot start: %s", error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
