"""What this machine grants this process."""

import contextlib
import os
import resource
from pathlib import Path


def available_memory() -> int:
    """Return how many bytes this process may still take, by the machine, its container and its own limit."""
    limits = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    with contextlib.suppress(OSError, ValueError):  # there may be no such file, or no limit in it
        limits.append(int(Path("/sys/fs/cgroup/memory.max").read_text()))
    soft, _ = resource.getrlimit(resource.RLIMIT_AS)
    if soft != resource.RLIM_INFINITY:
        with contextlib.suppress(OSError):
            taken = int(Path("/proc/self/statm").read_text().split()[0]) * os.sysconf("SC_PAGE_SIZE")
            limits.append(soft - taken)
    return min(limits)
