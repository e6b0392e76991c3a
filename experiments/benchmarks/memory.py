"""Does memory stay flat in the number of seeds?

Command:   python -m experiments.benchmarks.memory [--out FILE]
Expected:  the peak of a run of 1,000,000 races is that of 1,000 and the few bytes per seed that its table needs
Cost:      about four minutes on 2 cores

Each run is a process of its own; its peak is the operating system's count of resident memory. Two more processes take
derivatives of 1,024 lanes, which need more memory than training. Writes figures/flat_memory.json.
"""

import argparse
import subprocess
import sys
import tempfile
from pathlib import Path

from experiments.benchmarks.records import disk_use, store, timed
from lab.words import Json

RUNS = [
    ("race", 1_000),
    ("race", 10_000),
    ("race", 100_000),
    ("race", 1_000_000),
    ("scratchpad", 1_000),
    ("scratchpad", 10_000),
]
CONFIG = "name: memory\ntask: {task}\nseeds: {seeds}\nregimens:\n  hold_out: [{{until: 1}}]\n"
RUN = """
import sys
from lab.cli import main
assert main(["run", sys.argv[1], "--out", sys.argv[2]]) == 0
"""

LANES = 1024
WIDE = """
name: wide
task: scratchpad
seeds: {lanes}
training: {{block_width: 512}}
regimens:
  hold_out: [{{until: 1}}]
"""
PROFILES = {  # code by what it does
    "profile of scratchpad, 1,024 lanes": """
import sys
from lab.cli import main
main(["sensitivity", sys.argv[1], "--seeds", "1024", "--out", sys.argv[2]])
""",
    "profile of scratchpad through training, 1,024 lanes": """
import sys
import numpy as np
from lab.studies import estimators
from lab.studies.regimens import Subject
from lab.config.experiment import load
experiment = load(sys.argv[1])
subject = Subject(experiment, experiment.conditions[0], ("test",))
estimators.pathwise(subject, np.arange(1024, dtype=np.uint32), lanes=1024)
""",
}
PEAK = """
import resource
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)
"""


def measure(task: str, seeds: int, config: str, code: str) -> Json:
    """Run code in a process of its own and return its peak memory and duration.

    Args:
        task: what the row is called.
        seeds: that are trained.
        config: text of the config, whose path is the first argument of the code; the second is that of the run.
        code: to run.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        path = folder / "memory.yaml"
        path.write_text(config)
        command = [sys.executable, "-c", code + PEAK, str(path), str(folder / "run")]
        child, seconds = timed(lambda: subprocess.run(command, check=True, capture_output=True, text=True))
        peak = int(child.stderr.strip().splitlines()[-1]) / 1024  # from KiB
        row = {"task": task, "seeds": seeds, "peak_mib": round(peak), "seconds": round(seconds, 1)}
        return row | disk_use(folder)


def main() -> None:
    """Measure every run and every profile."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("figures/flat_memory.json"))
    out = parser.parse_args().out
    work = [(task, seeds, CONFIG.format(task=task, seeds=seeds), RUN) for task, seeds in RUNS]
    work += [(task, LANES, WIDE.format(lanes=LANES), code) for task, code in PROFILES.items()]
    rows = []
    for task, seeds, config, code in work:
        rows.append(measure(task, seeds, config, code))
        print(rows[-1], flush=True)
    store(out, rows)


if __name__ == "__main__":
    main()
