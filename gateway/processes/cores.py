"""How many processes may pick here, by cores that the container pays for and by its memory, and
what of that memory the bodies they hold may take.

A container with limits still sees every core and all memory of its node; its cgroup says how much
of them it gets. Read once, at start.
"""

from __future__ import annotations

import os
from pathlib import Path

from gateway.config.command_line import MAX_WORKERS
from gateway.config.flags import Flags

CGROUP = Path("/sys/fs/cgroup")
WORKER_BYTES = 256 << 20
"""Of one worker with its kernels and some prefix knowledge; 200 MB when it starts."""
PARENTS_BYTES = 384 << 20
"""Of supervisor and collector together."""
UNLIMITED_BYTES = 1 << 60
"""No machine has as much: cgroup v1 writes more for no limit."""
BODIES_SHARE = 8
"""Of the memory limit, one part in so many is for bodies that wait for their route."""
LONGEST_BODIES = 8
"""So many of the longest allowed, where there is no memory limit."""


def usable_cores(cgroup: Path = CGROUP) -> int:
    """Whole cores, at least 1: the smaller of the affinity mask and the cgroup's CPU quota."""
    allowed = len(os.sched_getaffinity(0))
    paid = quota_cores(cgroup)
    return allowed if paid is None else max(1, min(allowed, int(paid)))


def quota_cores(cgroup: Path = CGROUP) -> float | None:
    """Cores that the CPU quota of cgroup v2 (``cpu.max``) or v1 allows; None without a quota.

    What cannot be read or understood is no quota: too many workers are better than no gateway.
    """
    try:
        quota, period = (cgroup / "cpu.max").read_text().split()
    except (OSError, ValueError):
        try:
            quota = (cgroup / "cpu" / "cpu.cfs_quota_us").read_text().strip()
            period = (cgroup / "cpu" / "cpu.cfs_period_us").read_text().strip()
        except OSError:
            return None
    try:
        cores = int(quota) / int(period)
    except (ValueError, ZeroDivisionError):  # "max"
        return None
    return cores if cores > 0 else None  # v1 writes -1 for none


def memory_limit(cgroup: Path = CGROUP) -> int | None:
    """Bytes that cgroup v2 or v1 allows; None without a limit.

    v1 writes a number beyond any machine's memory for none.
    """
    for name in ("memory.max", "memory/memory.limit_in_bytes"):
        try:
            limit = int((cgroup / name).read_text())
        except (OSError, ValueError):  # not there, or "max"
            continue
        return limit if limit < UNLIMITED_BYTES else None
    return None


def workers_in_memory(cgroup: Path = CGROUP) -> int | None:
    """Workers that fit the memory limit beside their two parents; at least 1.

    None without a limit.
    """
    limit = memory_limit(cgroup)
    return None if limit is None else max(1, (limit - PARENTS_BYTES) // WORKER_BYTES)


def bodies_bytes(flags: Flags, workers: int, cgroup: Path = CGROUP) -> int:
    """What the bodies that one of ``workers`` holds may take; never less than the longest."""
    limit = memory_limit(cgroup)
    if limit is None:
        return LONGEST_BODIES * flags.max_body_bytes
    return max(flags.max_body_bytes, limit // BODIES_SHARE // workers)


def worker_count(flags: Flags, cgroup: Path = CGROUP) -> int:
    """``--workers``; 0 is one per usable core, if they fit the memory.

    gRPC's library is hosted by one process.
    """
    if flags.workers:
        return flags.workers
    if flags.transport != "wire":
        return 1
    fitting = workers_in_memory(cgroup)
    most = MAX_WORKERS if fitting is None else min(fitting, MAX_WORKERS)
    return min(usable_cores(cgroup), most)
