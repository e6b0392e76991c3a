"""How much memory a process may still take: the least of what the machine, its container and its own limit leave."""

import pytest

from lab.machine import memory

PAGES, PAGE = 1000, 4096  # of the machine: 4,096,000 bytes
TAKEN = 100  # pages that the process has taken: 409,600 bytes


@pytest.mark.parametrize(
    ("container", "limit", "available"),
    [
        (None, None, 4_096_000),  # no such file, no limit
        ("max\n", None, 4_096_000),
        ("3000000\n", None, 3_000_000),
        ("5000000\n", None, 4_096_000),  # more than there is
        (None, 2_500_000, 2_090_400),  # of its own limit, what it has not taken yet
        ("2000000\n", 2_500_000, 2_000_000),
    ],
)
def test_the_least_of_all_limits_holds(monkeypatch, tmp_path, container, limit, available):
    files = {"/sys/fs/cgroup/memory.max": tmp_path / "max", "/proc/self/statm": tmp_path / "statm"}
    if container:
        (tmp_path / "max").write_text(container)
    (tmp_path / "statm").write_text(f"{TAKEN} 50 20 1 0 30 0\n")
    monkeypatch.setattr(memory, "Path", files.get)
    monkeypatch.setattr(memory.os, "sysconf", {"SC_PHYS_PAGES": PAGES, "SC_PAGE_SIZE": PAGE}.get)
    soft = memory.resource.RLIM_INFINITY if limit is None else limit
    monkeypatch.setattr(memory.resource, "getrlimit", lambda _: (soft, soft))
    assert memory.available_memory() == available
