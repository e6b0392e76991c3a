"""What benchmarks share: what this machine is, how long something takes, and how what was measured is stored."""

import json
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

from lab.results.store import publish
from lab.words import Json

MIB = 2**20
Device = Any  # jax.Device, of which type checkers see no more
Result = TypeVar("Result")


def device_name(devices: Sequence[Device]) -> str:
    """Return what the machine is, in a few words."""
    if devices[0].platform != "cpu":
        return f"{len(devices)} x {devices[0].device_kind}"
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.exists() else []
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    return f"{len(devices)} cores of {model or platform.machine()}"


def local_device() -> str:
    """Return what this machine is, asked in a process of its own, so that JAX need not start in this one."""
    command = [sys.executable, "-m", "experiments.benchmarks.records"]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()


def timed(act: Callable[[], Result]) -> tuple[Result, float]:
    """Return what a function returns and the seconds that it takes."""
    started = time.perf_counter()
    result = act()
    return result, time.perf_counter() - started


def disk_use(folder: Path) -> Json:
    """Return the number and the size of the shards below a folder."""
    sizes = [path.stat().st_size for path in folder.rglob("*.nc")]
    return {"files": len(sizes), "mib_on_disk": round(sum(sizes) / MIB, 1)}


def store(file: Path, data: Json | list[Json]) -> None:
    """Store what was measured."""
    publish(file, (json.dumps(data, indent=1) + "\n").encode())


def store_rows(file: Path, rows: Sequence[Json], same: Sequence[str] = ("device",)) -> None:
    """Store rows after those that are stored; they replace those that are about the same.

    Args:
        file: of the rows.
        rows: that were measured.
        same: keys that say what a row is about.
    """
    stored = json.loads(file.read_text()) if file.exists() else []
    about = [[row[key] for key in same] for row in rows]
    store(file, [row for row in stored if [row[key] for key in same] not in about] + list(rows))


if __name__ == "__main__":
    import jax

    from lab.training.engine import use_all_cores

    use_all_cores()
    print(device_name(jax.devices()))
