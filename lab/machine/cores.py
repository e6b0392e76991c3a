"""How many cores this process may use."""

import os
from pathlib import Path


def allowed_cores() -> int:
    """Return how many cores the system lets this process use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def container_cores(root: Path = Path("/sys/fs/cgroup")) -> float | None:
    """Return how many cores the container grants, or None where there is no limit.

    Args:
        root: of the control groups.
    """
    for files in (["cpu.max"], ["cpu/cpu.cfs_quota_us", "cpu/cpu.cfs_period_us"]):  # version 2, version 1
        try:
            quota, period = map(float, " ".join((root / name).read_text() for name in files).split())
        except (OSError, ValueError):  # no such file, or "max"
            continue
        if quota > 0:
            return quota / period
    return None
