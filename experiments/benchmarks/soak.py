"""Kill a run fifty times at random moments: does it end with the same bytes as one that was left alone?

Command:   python -m experiments.benchmarks.soak [--kills 50] [--seed 4]
Expected:  "equal: True"
Cost:      about eight minutes on 2 cores

Runs configs/smoke.yaml in small blocks, so that there is always something being written. Each attempt is killed by
SIGKILL after a random time, from a seeded clock; the last one is left alone.
"""

import argparse
import random
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from experiments.benchmarks.records import timed

ROOT = Path(__file__).resolve().parents[2]
SMALL = "training: {block_width: 16}\n"
EARLIEST, LATEST = 0.3, 0.9  # when a run is killed, as a share of the time that it takes: importing takes the first


def content(folder: Path) -> dict[str, bytes]:
    """Return the bytes of all files below a folder but locks."""
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith(".lock"))
    return {path.name: path.read_bytes() for path in files}


def was_killed(command: list[str], after: float) -> bool:
    """Start a run and kill it after some seconds; return whether it had not ended before."""
    run = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        run.wait(after)
    except subprocess.TimeoutExpired:
        run.kill()
        run.wait()
        return True
    return False


def survives(kills: int, clock: random.Random, folder: Path) -> bool:
    """Return whether a run that is killed again and again ends with the bytes of one that is left alone."""
    config, alone, victim = folder / "soak.yaml", folder / "alone", folder / "killed"
    config.write_text((ROOT / "configs/smoke.yaml").read_text() + SMALL)
    command = [sys.executable, "-m", "lab", "run", str(config), "--out"]
    _, whole = timed(lambda: subprocess.run([*command, str(alone)], check=True, capture_output=True))
    killed = attempts = 0
    while killed < kills:
        attempts += 1
        if was_killed([*command, str(victim)], clock.uniform(EARLIEST, LATEST) * whole):
            killed += 1
        else:  # it ended by itself: begin again
            shutil.rmtree(victim)
        print(f"{killed} kills, {len(list(victim.rglob('*.nc')))} shards", flush=True)
    subprocess.run([*command, str(victim)], check=True, capture_output=True)
    equal = content(alone / "shards") == content(victim / "shards")
    print(f"{killed} kills in {attempts} attempts, equal: {equal}")
    return equal


def main() -> None:
    """Kill a run and compare."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=4)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        sys.exit(not survives(options.kills, random.Random(options.seed), Path(folder)))


if __name__ == "__main__":
    main()
