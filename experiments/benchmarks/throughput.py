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
import os
import statistics
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from experiments.benchmarks.records import Device, device_name, store_rows, timed
from lab.tasks import TASKS, Task
from lab.tasks.settings import Settings, stacked
from lab.training.engine import use_all_cores
from lab.training.population import Trainer
from lab.words import Json

WIDTHS = {"cpu": (32, 64, 128, 256), "gpu": (256, 1_024, 4_096, 16_384, 65_536)}
ROUNDS = 3


def default_settings(task: Task) -> Settings:
    """Return the defaults of a task with `main` alone, for all lanes."""
    knobs = np.array([knob.default for knob in task.knobs.values()], np.float32)
    weights = np.array([float(term == "main") for term in task.terms], np.float32)
    rate, final_rate = task.training.learning_rate, task.training.final_learning_rate
    return Settings(weights, knobs, knobs, np.array(rate, np.float32), np.array(final_rate, np.float32))


class Block(NamedTuple):
    """A compiled program that trains one block.

    Attributes:
        train: trains the block to the end.
        lanes: number of models in it.
        compiling: seconds that compiling took.
    """

    train: Callable[[], None]
    lanes: int
    compiling: float


def prepare(task: Task, width: int, devices: Sequence[Device]) -> Block:
    """Compile the program that trains blocks of a width."""
    trainer = Trainer(task, task.training, width, devices, used=("main",))
    settings = default_settings(task)
    seeds = np.arange(trainer.lanes, dtype=np.uint32)

    def train(last: int) -> None:
        state = trainer.init(seeds, settings)
        trainer.train(seeds, stacked([settings]), state, [0, last])[1].block_until_ready()

    _, compiling = timed(lambda: train(1))
    return Block(lambda: train(task.training.steps), trainer.lanes, compiling)


def measure(task: Task, devices: Sequence[Device]) -> Iterator[Json]:
    """Return a row per block width that fits into memory."""
    kind = "cpu" if devices[0].platform == "cpu" else "gpu"
    blocks = {width: prepare(task, width, devices) for width in WIDTHS[kind]}
    turns = [{width: timed(block.train)[1] for width, block in blocks.items()} for _ in range(ROUNDS)]
    for width, block in blocks.items():
        seconds = [turn[width] for turn in turns]
        median = statistics.median(seconds)
        yield {
            "device": device_name(devices),
            "jax": jax.__version__,
            "task": task.name,
            "block_width": width,
            "lanes": block.lanes,
            "steps": task.training.steps,
            "models_per_second": round(block.lanes / median, 1),
            "seed_steps_per_second": round(block.lanes * task.training.steps / median),
            "compile_seconds": round(block.compiling, 1),
            "rounds": [round(value, 3) for value in seconds],
        }


def main() -> None:
    """Measure every task at every width, and store the rows of each task as soon as they are there."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, default=Path("figures/throughput.json"))
    out = parser.parse_args().out
    os.environ.setdefault("XLA_PYTHON_CLIENT_PREALLOCATE", "false")
    use_all_cores()
    devices, rows = jax.devices(), []
    for name in TASKS:
        for row in measure(TASKS[name](), devices):
            rows.append(row)
            print(row, flush=True)
            store_rows(out, rows)


if __name__ == "__main__":
    main()
