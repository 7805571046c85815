"""``python -m load_tests.emulator``: emulated model servers on consecutive ports of one process."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import sys
from collections.abc import Sequence

import uvloop

from load_tests import words
from load_tests.emulator.engine import STEP_NOISE
from load_tests.emulator.faults import BadFault, Faults, changed
from load_tests.emulator.options import Options
from load_tests.emulator.other_pages import PAGES
from load_tests.emulator.profiles import PROFILES
from load_tests.emulator.server import listening

PARENT_CHECK_SECONDS = 0.5


async def serve(
    host: str, ports: Sequence[int], options: Options, *, parent: int | None = None
) -> None:
    """Serve until SIGTERM or SIGINT, or until our parent is no longer ``parent``."""
    loop = asyncio.get_running_loop()
    over = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, over.set)
    async with contextlib.AsyncExitStack() as stack:
        for port in ports:
            await stack.enter_async_context(listening(host, port, options))
        print(f"ready ports={','.join(map(str, ports))}", flush=True)
        while not over.is_set() and parent in (None, os.getppid()):
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(None if parent is None else PARENT_CHECK_SECONDS):
                    await over.wait()


def main(argv: Sequence[str]) -> int:
    """Parse ``argv``, serve, return the exit status."""
    parent = os.getppid()
    parser = _parser()
    args = parser.parse_args(argv)
    if args.port + args.count - 1 > words.MOST_PORT:
        parser.error(
            f"--count: {args.count} ports from {args.port} on do not end at {words.MOST_PORT}"
        )
    try:
        faults = changed(Faults(), dict(_pair(text) for text in args.fault))
    except (BadFault, ValueError) as e:
        parser.error(f"--fault {e}")
    options = Options(
        profile=PROFILES[args.profile],
        models=tuple(args.model),
        speed=args.speed,
        token_batch=args.token_batch,
        noise=args.noise,
        max_loras=args.max_loras,
        adapters=tuple(args.adapter),
        engine=args.engine,
        max_model_tokens=args.max_model_len,
        reject_overlong=args.reject_overlong,
        echo=args.echo,
        seed=args.seed,
        faults=faults,
    )
    ports = range(args.port, args.port + args.count)
    uvloop.run(serve(args.host, ports, options, parent=parent if args.exit_with_parent else None))
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m load_tests.emulator", description=__doc__)
    add = parser.add_argument
    add("--host", default="127.0.0.1")
    add("--port", type=words.port, default=8101, help="the first port")
    add("--count", type=words.count, default=1, help="servers, on consecutive ports")
    add("--profile", choices=sorted(PROFILES), default="H100-8B")
    add("--model", action="append", default=[], help="a name to answer to; none: to any")
    add("--engine", choices=sorted(PAGES), default="vllm", help="whose /metrics page to show")
    add(
        "--speed", type=words.positive, default=1.0, help="2 serves twice as fast as the real thing"
    )
    add("--token-batch", type=words.count, default=1, help="tokens of a stream per write")
    add(
        "--noise",
        type=words.at_least(0),
        default=STEP_NOISE,
        help="sigma of the step time's logarithm",
    )
    add("--max-loras", type=words.whole(0), default=0, help="adapter slots")
    add("--adapter", action="append", default=[], help="an adapter known from the start")
    add("--max-model-len", type=words.count, default=131_072)
    add("--reject-overlong", action="store_true", help="400 for long prompts; else cut them")
    add("--echo", action="store_true", help="only say what was received")
    add("--seed", type=words.seed, default=0)
    add("--fault", action="append", default=[], metavar="NAME=VALUE", help="as in POST /_fault")
    add("--exit-with-parent", action="store_true", help="end when the parent process has")
    return parser


def _pair(text: str) -> tuple[str, str]:
    name, equals, value = text.partition("=")
    if not equals:
        raise ValueError(f"{text}: NAME=VALUE is needed")
    return name, value


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
