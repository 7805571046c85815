"""How many cores this process may use: what the scheduler allows, and what its container pays for.

A container with a CPU limit still sees every core of its node; its quota says how much of them it
gets. Read once, at start, by the supervisor.
"""

from __future__ import annotations

import os
from pathlib import Path

from gateway.config.flags import Flags

CGROUP = Path("/sys/fs/cgroup")


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


def worker_count(flags: Flags) -> int:
    """``--workers``, 0 being one per usable core; gRPC's library is hosted by one process."""
    if flags.workers:
        return flags.workers
    return usable_cores() if flags.transport == "wire" else 1
