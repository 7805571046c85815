"""argv -> exit code: ``python -m gateway ...`` and ``loadstar gateway ...``.

0 is a clean drain, 2 a command line or configuration to mend, 1 anything else: a port in use,
streams that had to be cut off.
"""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from typing import TextIO

import uvloop

from gateway.config.command_line import parse, usage
from gateway.config.flags import Flags
from gateway.processes.cores import bodies_bytes, worker_count
from loadstar.clock import SystemClock
from loadstar.config.errors import ConfigError
from loadstar.config.pflag import HelpWanted
from loadstar.telemetry.logging import cannot_start, logs
from loadstar.telemetry.tracing import tracing
from loadstar.tls import CertificateError

log = logging.getLogger("gateway")

USAGE_ERROR = 2


def main(argv: Sequence[str]) -> int:
    """Run the gateway until it is told to stop."""
    try:
        flags, notes = parse(argv)
    except HelpWanted:
        sys.stdout.write(usage())
        return 0
    except ConfigError as error:
        _tell(sys.stderr, error)
        sys.stderr.write("see --help\n")
        return USAGE_ERROR
    # grpcio writes lines of its own, not JSON, to stderr; the logs below say what matters.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    with logs(flags.verbosity, flags.zap_encoder):
        for note in notes:
            log.warning(note)
        if worker_count(flags) == 1:
            return _run(replace(flags, workers=1))
        return _supervise(flags, argv)


def _run(flags: Flags) -> int:
    # Imported when flags are good: numba and grpcio take most of a second, --help should not.
    from gateway.main import build
    from gateway.serving.drain import StopSignals
    from gateway.serving.listen import CannotListen
    from gateway.serving.place import Place
    from gateway.serving.policy_in_force import Unusable
    from gateway.serving.policy_watch import watching

    async def serve() -> bool:
        signals = StopSignals()
        signals.listen()
        return await gateway.serve(signals)

    environment = os.environ if flags.tracing else {}
    with tracing("loadstar-gateway", environment) as traces:
        try:
            clock, place = SystemClock(), Place(bodies_bytes=bodies_bytes(flags, 1))
            if (watch := watching(flags, os.environ, clock)) is not None:
                place = replace(place, given=uvloop.run(watch.first()), policy_source=watch)
            try:
                gateway = build(flags, os.environ, clock, traces, place)
            except Unusable as error:
                if watch is not None:
                    uvloop.run(watch.tell(error))
                raise
            return 0 if uvloop.run(serve()) else 1
        except (ConfigError, CertificateError) as error:
            cannot_start(log, error)
            return USAGE_ERROR
        except CannotListen as error:
            log.error("cannot start: %s", error)
            return 1


def _supervise(flags: Flags, argv: Sequence[str]) -> int:
    from gateway.processes.supervisor import supervise
    from gateway.serving.listen import CannotListen

    try:
        return supervise(flags, argv)
    except CannotListen as error:
        log.error("cannot start: %s", error)
        return 1


def _tell(stream: TextIO, error: ConfigError) -> None:
    stream.writelines(f"loadstar gateway: {problem}\n" for problem in error.problems)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
