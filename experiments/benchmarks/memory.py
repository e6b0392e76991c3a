"""Does memory stay flat in the number of seeds?

Command:   python -m experiments.benchmarks.memory
Expected:  the peak of a run of 1,000,000 races is that of 1,000 and the few bytes per seed that its table needs
Cost:      about four minutes on 2 cores

Each run is a process of its own; its peak is the operating system's count of resident memory. Writes
figures/flat_memory.json.
"""

import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from lab.results.store import publish

RUNS = [
    ("race", 1_000),
    ("race", 10_000),
    ("race", 100_000),
    ("race", 1_000_000),
    ("scratchpad", 1_000),
    ("scratchpad", 10_000),
]
CONFIG = "name: memory\ntask: {task}\nseeds: {seeds}\nregimens:\n  hold_out: [{{until: 1}}]\n"
CHILD = """
import json, resource, sys
from lab.cli import main
code = main(["run", sys.argv[1], "--out", sys.argv[2]])
print(json.dumps(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss), file=sys.stderr)
sys.exit(code)
"""


WIDE = """
name: wide
task: scratchpad
seeds: 1024
training: {block_width: 512}
regimens:
  hold_out: [{until: 1}]
"""
PROFILES = {
    "profile of scratchpad, 1,024 lanes": """
import sys
from lab.cli import main
main(["sensitivity", sys.argv[1], "--seeds", "1024", "--out", sys.argv[2]])
""",
    "profile of scratchpad through training, 1,024 lanes": """
import sys
import numpy as np
from lab.studies import estimators as derivatives
from lab.studies.regimens import Subject
from lab.config.experiment import load
experiment = load(sys.argv[1])
subject = Subject(experiment, experiment.conditions[0], ("test",))
derivatives.pathwise(subject, np.arange(1024, dtype=np.uint32), lanes=1024)
""",
}


def profile(task):
    """Measure what derivatives at 1,024 lanes take."""
    code = (
        PROFILES[task] + "import resource\nprint(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, file=sys.stderr)\n"
    )
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "wide.yaml")
        config.write_text(WIDE)
        started = time.monotonic()
        command = [sys.executable, "-c", code, str(config), str(Path(folder, "run"))]
        child = subprocess.run(command, check=True, capture_output=True, text=True)
        seconds = time.monotonic() - started
        files = [path.stat().st_size for path in Path(folder).rglob("*.nc")]
    peak = int(child.stderr.strip().splitlines()[-1]) / 1024
    row = {"task": task, "seeds": 1024, "peak_mib": round(peak), "seconds": round(seconds, 1)}
    return {**row, "files": len(files), "mib_on_disk": round(sum(files) / 2**20, 1)}


def measure(task, seeds):
    """Run one population in a process of its own and return its peak memory and duration."""
    with tempfile.TemporaryDirectory() as folder:
        config = Path(folder, "memory.yaml")
        config.write_text(CONFIG.format(task=task, seeds=seeds))
        command = [sys.executable, "-c", CHILD, str(config), str(Path(folder, "run"))]
        started = time.monotonic()
        child = subprocess.run(command, check=True, capture_output=True, text=True)
        seconds = time.monotonic() - started
        files = [path.stat().st_size for path in Path(folder, "run", "shards").iterdir()]
    peak = int(child.stderr.strip().splitlines()[-1]) / 1024
    row = {"task": task, "seeds": seeds, "peak_mib": round(peak), "seconds": round(seconds, 1)}
    return {**row, "files": len(files), "mib_on_disk": round(sum(files) / 2**20, 1)}


def main():
    rows = []
    for task, seeds in RUNS:
        rows.append(measure(task, seeds))
        print(rows[-1], flush=True)
    for task in PROFILES:
        rows.append(profile(task))
        print(rows[-1], flush=True)
    publish(Path("figures/flat_memory.json"), (json.dumps(rows, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
