"""How many cores a process may use, by the system and by its container."""

import os

import pytest

from lab.machine import cores


@pytest.mark.parametrize(
    ("files", "granted"),
    [
        ({"cpu.max": "150000 100000\n"}, 1.5),
        ({"cpu.max": "max 100000\n"}, None),
        ({"cpu/cpu.cfs_quota_us": "400000\n", "cpu/cpu.cfs_period_us": "100000\n"}, 4),
        ({"cpu/cpu.cfs_quota_us": "-1\n", "cpu/cpu.cfs_period_us": "100000\n"}, None),
        ({}, None),
    ],
)
def test_cores_of_a_container(tmp_path, files, granted):
    (tmp_path / "cpu").mkdir()
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    assert cores.container_cores(tmp_path) == granted


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="the system lets every process use all cores")
def test_a_process_counts_the_cores_that_it_may_use():
    before = os.sched_getaffinity(0)
    try:
        os.sched_setaffinity(0, {min(before)})
        assert cores.allowed_cores() == 1
    finally:
        os.sched_setaffinity(0, before)
    assert cores.allowed_cores() == len(before)
