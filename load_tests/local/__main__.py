"""``python -m load_tests.local``: a fleet on this machine, for an autoscaler's --local-fleet.

Prints its URL and the endpoints file that a gateway may watch, and serves until Ctrl-C.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import signal
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from load_tests import words
from load_tests.emulator.profiles import PROFILES
from load_tests.local.server import LocalFleetServer, Processes, serving
from load_tests.local.state import FleetState, PoolPlan
from loadstar.clock import SystemClock

POLICY = """\
mode: active
period: 1s
models:
- name: {model}
  maxReplicas: {most}
  variants:
  - {{pool: {pool}, target: {{name: {model}}}}}
pools:
- {{name: {pool}, provider: local, mode: local, maxUnits: {most}}}
"""


async def serve(given: argparse.Namespace) -> None:
    """Serve until SIGTERM or SIGINT."""
    over = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, over.set)
    plan = PoolPlan(
        name=given.pool, nodes=given.nodes, node_s=given.node_lead, most=given.most_nodes
    )
    state = FleetState({given.pool: plan}, pod_s=given.pod_lead)
    state.set_replicas(given.model, given.replicas)
    processes = Processes(profile=given.profile, speed=given.speed, model=given.model)
    with tempfile.TemporaryDirectory(prefix="loadstar-fleet-") as made:
        server = LocalFleetServer(state, processes, SystemClock(), Path(made))
        async with serving(server, given.port) as url:
            text = POLICY.format(model=given.model, pool=given.pool, most=given.most_nodes)
            policy = Path(made) / "policy.yaml"
            await asyncio.to_thread(policy.write_text, text)
            print(f"fleet        {url}")
            print(f"endpoints    {server.endpoints_file}   # for file-discovery of a gateway")
            print(f"policy       {policy}")
            print(
                f"\n  loadstar autoscaler --local-fleet={url} --policy-file={policy} "
                "--signals=127.0.0.1:9004 --signals-insecure-skip-verify\n",
                flush=True,
            )
            await over.wait()


def main(argv: Sequence[str]) -> int:
    """Parse ``argv``, serve, return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m load_tests.local", description=__doc__)
    add = parser.add_argument
    add("--port", type=words.port_or_any, default=0, help="0 is any that is free")
    add("--pool", default="gpu")
    add("--model", default="llama")
    add("--nodes", type=words.whole(0), default=1, help="at the start")
    add("--most-nodes", type=words.count, default=4)
    add("--replicas", type=words.whole(0), default=1, help="at the start")
    add("--node-lead", type=words.at_least(0), default=4.0, help="seconds until a node is there")
    add("--pod-lead", type=words.at_least(0), default=2.0, help="and until a replica on it serves")
    add("--profile", choices=sorted(PROFILES), default="H100-8B")
    add("--speed", type=words.positive, default=1.0)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(parser.parse_args(argv)))
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
