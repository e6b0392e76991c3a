"""How many models a second does this machine train, and at which block width?

Command:   python -m experiments.benchmarks.throughput [--out FILE]
Expected:  on a CPU the width hardly matters; on a GPU a block wants thousands of lanes
Cost:      about three minutes on 2 cores

Trains whole blocks with the compiled program that `lab run` uses for a config in which only `main` has a weight, on
every device of the kind JAX prefers, the widths taking turns. Each figure is the median of the rounds. Rows are added
to figures/throughput.json, replacing those of a device of the same name.

What a GPU could do, on paper, for `scratchpad` with its defaults on an H100 (3.35 TB/s, 67 TFLOP/s in float32, 228 KB
of shared memory for each of 132 multiprocessors):

* A lane's state, 568 parameters and two moments of each, is 6.8 KB, and a program's temporary arrays 15 KB a lane, so
  10^6 lanes take about 30 GB of the 80. `race` takes 40 bytes a lane. Several GPUs share nothing and add up.
* A step has about 48,000 floating-point operations in products. Run as separate kernels it moves its state once and
  its hidden layers (4 and 1 KB) some ten times each way, 60 to 100 KB in all: at most 30 to 60 million seed-steps a
  second by bandwidth, which is what is measured at 65,536 lanes, at 2% of the arithmetic.
* One kernel that kept a lane's state in shared memory for a whole segment (16 lanes per multiprocessor) would move
  nothing, and at a fifth of peak arithmetic do 280 million seed-steps a second. It is not built: it would take a
  backward pass written by hand for each model, and then a task could no longer be any flax module.
"""

import argparse
import json
import os
import platform
import statistics
import time
from pathlib import Path

import jax
import numpy as np

from lab.results.store import publish
from lab.tasks import TASKS
from lab.tasks.settings import Settings, stacked
from lab.training.engine import use_all_cores
from lab.training.population import Trainer

WIDTHS = {"cpu": (32, 64, 128, 256), "gpu": (256, 1_024, 4_096, 16_384, 65_536)}
ROUNDS = 3


def settings(task):
    """Return the defaults of a task, for all lanes."""
    knobs = np.array([knob.default for knob in task.knobs.values()], np.float32)
    weights = np.array([float(term == "main") for term in task.terms], np.float32)
    rates = (np.float32(task.training.learning_rate), np.float32(task.training.final_learning_rate))
    return Settings(weights, knobs, knobs, *rates)


def prepare(task, width, devices):
    """Return a function that trains one block of lanes to the end, the number of lanes and the compile time."""
    trainer = Trainer(task, task.training, width, devices, used=("main",))
    own = settings(task)
    seeds = np.arange(trainer.lanes, dtype=np.uint32)

    def train(last):
        state = trainer.init(seeds, own)
        trainer.train(seeds, stacked([own]), state, [0, last])[1].block_until_ready()

    started = time.perf_counter()
    train(1)
    return (lambda: train(task.training.steps)), trainer.lanes, time.perf_counter() - started


def device_name(devices):
    """Return what the machine is, in a few words."""
    if devices[0].platform != "cpu":
        return f"{len(devices)} x {devices[0].device_kind}"
    lines = Path("/proc/cpuinfo").read_text().splitlines() if Path("/proc/cpuinfo").exists() else []
    model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), platform.processor())
    return f"{len(devices)} cores of {model or platform.machine()}"


def measure(task, devices):
    """Return a row per block width that fits into memory."""
    kind = "cpu" if devices[0].platform == "cpu" else "gpu"
    ready = {width: prepare(task, width, devices) for width in WIDTHS[kind]}
    seconds = {width: [] for width in ready}
    for _ in range(ROUNDS):
        for width, (train, *_) in ready.items():
            started = time.perf_counter()
            train()
            seconds[width].append(time.perf_counter() - started)
    for width, (_, lanes, compiling) in ready.items():
        median = statistics.median(seconds[width])
        yield {
            "device": device_name(devices),
            "jax": jax.__version__,
            "task": task.name,
            "block_width": width,
            "lanes": lanes,
            "steps": task.training.steps,
            "models_per_second": round(lanes / median, 1),
            "seed_steps_per_second": round(lanes * task.training.steps / median),
            "compile_seconds": round(compiling, 1),
            "rounds": [round(value, 3) for value in seconds[width]],
        }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("figures/throughput.json"))
    out = parser.parse_args().out
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    use_all_cores()
    devices = jax.devices()
    rows = json.loads(out.read_text()) if out.exists() else []
    rows = [row for row in rows if row["device"] != device_name(devices)]
    for name in TASKS:
        for row in measure(TASKS[name](), devices):
            rows.append(row)
            print(row, flush=True)
            publish(out, (json.dumps(rows, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
