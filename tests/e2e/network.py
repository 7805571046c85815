"""``python -m tests.e2e.network COMMAND...``: run it in a private network with many addresses.

EndpointSlices refuse loopback addresses, so pods, gateway and picker get addresses of their own
here: a network namespace whose only device holds all of ``NETWORK``. It is gone with the command,
can reach nothing outside, and needs no root where users may make namespaces.
"""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
from typing import NoReturn

NETWORK = "10.77.0.0/16"
FIRST = "10.77.0.1"
INSIDE = "--inside"


def have_addresses() -> bool:
    """Whether we run in such a network already."""
    with socket.socket() as probe:
        try:
            probe.bind((FIRST, 0))
        except OSError:
            return False
    return True


def main(arguments: list[str]) -> NoReturn:
    missing = [tool for tool in ("unshare", "ip") if shutil.which(tool) is None]
    if missing or not arguments:
        reason = f"needs {' and '.join(missing)}" if missing else "give a command to run"
        sys.exit(f"tests.e2e.network: {reason}")
    if arguments[0] == INSIDE:
        for line in ("link set lo up", f"address add {FIRST}/{NETWORK.partition('/')[2]} dev lo"):
            subprocess.run(["ip", *line.split()], check=True)
        os.execvp(arguments[1], arguments[1:])
    as_root = [] if os.geteuid() == 0 else ["--map-root-user"]
    inside = [sys.executable, "-m", "tests.e2e.network", INSIDE, *arguments]
    os.execvp("unshare", ["unshare", "--net", *as_root, *inside])


if __name__ == "__main__":
    main(sys.argv[1:])
