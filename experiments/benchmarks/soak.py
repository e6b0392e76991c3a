"""Kill a run fifty times at random moments: does it end with the same bytes as one that was left alone?

Command:   python -m experiments.benchmarks.soak [--kills 50] [--seed 4]
Expected:  "equal: True"
Cost:      about eight minutes on 2 cores

Runs configs/smoke.yaml in small blocks, so that there is always something being written. Each attempt is killed by
SIGKILL after a random time, from a seeded clock; the last one is left alone.
"""

import argparse
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def content(folder):
    files = (path for path in sorted(folder.rglob("*")) if path.is_file() and not path.name.startswith(".lock"))
    return {path.name: path.read_bytes() for path in files}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=50)
    parser.add_argument("--seed", type=int, default=4)
    options = parser.parse_args()
    clock = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as place:
        config = Path(place, "soak.yaml")
        text = (ROOT / "configs/smoke.yaml").read_text()
        config.write_text(text + "training: {block_width: 16}\n")
        command = [sys.executable, "-m", "lab", "run", str(config), "--out"]
        started = time.monotonic()
        subprocess.run([*command, f"{place}/alone"], check=True, capture_output=True)
        whole = time.monotonic() - started
        kills = attempts = 0
        while kills < options.kills:
            attempts += 1
            victim = subprocess.Popen(
                [*command, f"{place}/killed"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            try:
                victim.wait(clock.uniform(0.3, 0.9) * whole)
            except subprocess.TimeoutExpired:
                victim.kill()
                victim.wait()
                kills += 1
            else:  # it ended by itself: begin again
                subprocess.run(["rm", "-rf", f"{place}/killed"], check=True)
            shards = len(list(Path(place, "killed").rglob("*.nc")))
            print(f"{kills} kills, {shards} shards", flush=True)
        subprocess.run([*command, f"{place}/killed"], check=True, capture_output=True)
        equal = content(Path(place, "alone", "shards")) == content(Path(place, "killed", "shards"))
        print(f"{kills} kills in {attempts} attempts, equal: {equal}")
        sys.exit(not equal)
