"""argv -> exit code of one child of the supervisor; ``child.command`` writes the command line."""

from __future__ import annotations

import logging
import os
import sys
from collections.abc import Sequence
from dataclasses import replace

import uvloop

from gateway.config.command_line import parse
from gateway.processes.child import PLACE_WORDS, WORKER, inherit
from gateway.processes.collector import collect
from gateway.processes.worker import work
from gateway.serving.listen import CannotListen
from loadstar.config.errors import ConfigError
from loadstar.telemetry.logging import cannot_start, logs
from loadstar.telemetry.tracing import tracing
from loadstar.tls import CertificateError

log = logging.getLogger("gateway")

USAGE_ERROR = 2


def main(argv: Sequence[str]) -> int:
    """Be the collector or a worker until told to stop."""
    child = inherit(argv[:PLACE_WORDS])
    flags, _notes = parse(argv[PLACE_WORDS:], looks=False)
    if flags.seed is not None:
        flags = replace(flags, seed=flags.seed + child.number)  # not the same choices everywhere
    with (
        logs(flags.verbosity, flags.zap_encoder),
        tracing("loadstar-gateway", os.environ if flags.tracing else {}) as traces,
    ):
        try:
            if child.role == WORKER:
                return 0 if uvloop.run(work(child, flags, traces)) else 1
            uvloop.run(collect(child, flags))
            return 0
        except (ConfigError, CertificateError) as error:
            cannot_start(log, error)
            return USAGE_ERROR
        except CannotListen as error:
            log.error("cannot start: %s", error)
            return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
