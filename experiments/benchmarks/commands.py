"""How long does a person wait for each command?

Command:   python -m experiments.benchmarks.commands [--rounds 5] [--out FILE]
Expected:  `lab --help` within twice the time of importing NumPy, `lab claims` in half a second
Cost:      about three minutes on 2 cores

Each command is a process of its own, and all take turns with `python -c "import numpy"`. What stands is the median of
the rounds, and the median of its ratio to NumPy in the same round. The stored runs are quickstart with few seeds, and
a sweep of the race with as many conditions as a run may reasonably have. Rows replace those of a device of the same
name.
"""

import argparse
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from experiments.benchmarks.records import local_device, store_rows, timed

NUMPY = "python -c 'import numpy'"
RUN, SWEEP = "QUICKSTART", "SWEEP"
EVERY_ROUND = [
    *("--help", "tasks", "schema", "claims", "doctor"),
    *(f"{name} {RUN}" for name in ("show", "compare", "plan", "figures", "report")),
]
FIRST_ROUND = [f"{name} {SWEEP}" for name in ("show", "figures", "report")]  # they take long
THOUSAND = """
name: thousand
task: race
seeds: 128
training: {steps: 100, segments: 2}
regimens:
  hold_out: [{until: 1}]
  train: [{until: 1, weights: {test: 0.1}}]
  late: [{until: 0.5}, {until: 1, weights: {test: 0.1}}]
  early: [{until: 0.5, weights: {test: 0.1}}, {until: 1}]
sweep:
  preference: [VALUES]
  detectability: [VALUES]
""".replace("VALUES", ", ".join(f"{0.1 * step:.1f}" for step in range(1, 17)))


def call(command: Sequence[str]) -> None:
    """Run a command to its end; what it says is left out unless it fails."""
    ended = subprocess.run(command, capture_output=True, text=True, check=False)
    if ended.returncode:
        raise SystemExit(f"{' '.join(command)}: {ended.stderr}")


def main() -> None:
    """Measure every command, and store the rows."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("figures/commands.json"))
    options = parser.parse_args()
    lab = [str(Path(sys.executable).with_name("lab"))]
    with tempfile.TemporaryDirectory() as folder:
        config, places = Path(folder, "thousand.yaml"), {RUN: f"{folder}/{RUN}", SWEEP: f"{folder}/{SWEEP}"}
        config.write_text(THOUSAND)
        call([*lab, "run", "quickstart", "--seeds", "256", "--out", places[RUN]])
        call([*lab, "run", str(config), "--out", places[SWEEP]])
        seconds: dict[str, list[float]] = {command: [] for command in (NUMPY, *EVERY_ROUND, *FIRST_ROUND)}
        ratios: dict[str, list[float]] = {command: [] for command in seconds}
        for turn in range(options.rounds):
            numpy = timed(lambda: call([sys.executable, "-c", "import numpy"]))[1]
            seconds[NUMPY].append(numpy)
            ratios[NUMPY].append(1.0)
            for command in (*EVERY_ROUND, *([] if turn else FIRST_ROUND)):
                words = [places.get(word, word) for word in command.split()]
                taken = timed(lambda words=words: call([*lab, *words]))[1]
                seconds[command].append(taken)
                ratios[command].append(taken / numpy)
    device, rows = local_device(), []
    for command, taken in seconds.items():
        ratio = round(statistics.median(ratios[command]), 2)
        name = command if command == NUMPY else f"lab {command}"
        row = {"device": device, "command": name, "seconds": round(statistics.median(taken), 2), "ratio": ratio}
        rows.append(row | {"rounds": len(taken)})
        print(rows[-1], flush=True)
    store_rows(options.out, rows)


if __name__ == "__main__":
    main()
