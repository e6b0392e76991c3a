"""What does one step of training consist of, and which operations take the time?

Command:   python -m experiments.benchmarks.step [--rounds 7] [--as before] [--out FILE]
Expected:  about a hundred operations; products are less than half of the time
Cost:      two minutes on one core

Trains a block of each task by `main` alone with the program that `lab run` uses. Operations are those that XLA
dispatches in a step (kernels, library calls and copies). JAX's own profiler says what each takes, and adds about 1 us
to each; the time of a step is measured without it. Rows of the same device, task and label (`--as`) are replaced.
"""

import argparse
import collections
import gzip
import json
import os
import re
import statistics
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import jax
import numpy as np

from experiments.benchmarks.records import device_name, store_rows, timed
from experiments.benchmarks.throughput import default_settings
from lab.tasks import TASKS, Task
from lab.tasks.settings import stacked
from lab.training.engine import use_all_cores
from lab.training.population import Trainer
from lab.words import Json

CHOSEN = ("scratchpad", "shortcut", "reasoner", "digits")
LANES, STEPS, PROFILED_STEPS, LARGEST = 32, 100, 50, 3
FREE = {"get-tuple-element", "parameter", "constant", "tuple", "bitcast", "while"}  # nothing that computes
WITHIN = "while/body/while/body"  # segments, and steps of a segment
INSTRUCTION = re.compile(r"^ *(?:ROOT )?%(?P<name>[\w.\-]+) = (?P<shapes>\(.*?\)|\S+) (?P<kind>[\w\-]+)\(")
SHAPE = re.compile(r"[a-z]+(?P<bits>\d+)\[(?P<sizes>[\d,]*)\]")


class Operation(NamedTuple):
    """An operation of the compiled program.

    Attributes:
        kind: fusion, dot, copy, and so on; "library" for a fusion that calls one.
        source: what of the program it comes from, as JAX names it.
        written: bytes of its output.
    """

    kind: str
    source: str
    written: int


def operations_of(text: str) -> dict[str, Operation]:
    """Return the operations of a step by name, from the text of a compiled program."""
    found: dict[str, Operation] = {}
    for computation in re.split(r"\n\n", text):
        if computation.startswith(("%fused", "%wrapped", "fused", "wrapped")) or WITHIN not in computation:
            continue
        for line in computation.splitlines():
            if not (match := INSTRUCTION.match(line)) or match["kind"] in FREE:
                continue
            source = re.search(r'op_name="([^"]*)"', line)
            shapes = SHAPE.finditer(match["shapes"])
            written = sum(
                int(s["bits"]) // 8 * int(np.prod([int(n) for n in s["sizes"].split(",") if n])) for s in shapes
            )
            kind = "library" if "kind=kCustom" in line else match["kind"]
            found[match["name"]] = Operation(kind, source[1] if source else "", written)
    return found


def profile(train: Callable[[], object]) -> dict[str, tuple[int, float]]:
    """Return how often each operation was run while something trained, and the microseconds that it took."""
    options = jax.profiler.ProfileOptions()
    options.host_tracer_level, options.python_tracer_level = 3, 0
    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder, profiler_options=options):
            train()
        (path,) = Path(folder).rglob("*.trace.json.gz")
        events = json.loads(gzip.decompress(path.read_bytes()))["traceEvents"]
    counts, took = collections.Counter[str](), collections.Counter[str]()
    for event in events:
        if event.get("ph") == "X":
            counts[event["name"]] += 1
            took[event["name"]] += event["dur"]
    return {name: (counts[name], took[name]) for name in counts}


def short(source: str) -> str:
    """Return the last parts of what JAX calls the source of an operation."""
    return "/".join([part for part in source.split(WITHIN)[-1].split("/") if part][-5:])


def measure(task: Task, rounds: int) -> Json:
    """Return a row about one step of a task."""
    trainer = Trainer(task, task.training, LANES, jax.devices()[:1], used=("main",))
    settings, seeds = default_settings(task), np.arange(LANES, dtype=np.uint32)
    start = trainer.init(seeds, settings)

    def train(steps: int) -> None:
        trainer.train(seeds, stacked([settings]), start, [0, steps])[1].block_until_ready()

    train(1)
    turns = [timed(lambda: train(1 + STEPS))[1] - timed(lambda: train(1))[1] for _ in range(rounds)]
    (text,) = (program.as_text() for (kind, _), program in trainer._compiled.items() if kind == "train")
    assert text is not None, "a program that was compiled here has a text"
    operations, ran = operations_of(text), profile(lambda: train(PROFILED_STEPS))
    often = {name: ran[name] for name in operations if ran.get(name, (0, 0))[0] >= PROFILED_STEPS}
    kinds = collections.Counter[str]()
    for name, (count, _) in often.items():
        kinds[operations[name].kind] += round(count / PROFILED_STEPS)
    largest = sorted(often, key=lambda name: -often[name][1])[:LARGEST]
    return {
        "task": task.name,
        "microseconds": round(1e6 * statistics.median(turns) / STEPS, 1),
        "operations": sum(kinds.values()),
        "kinds": dict(kinds.most_common()),
        "kib_written": round(sum(operations[name].written for name in often) / 1024),
        "largest": [
            [short(operations[name].source) or name, round(often[name][1] / PROFILED_STEPS, 1)] for name in largest
        ],
    }


def main() -> None:
    """Measure every task on one core."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--as", dest="label", default="now")
    parser.add_argument("--out", type=Path, default=Path("figures/step.json"))
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    use_all_cores()
    for name in CHOSEN:
        row = {"device": device_name(jax.devices()), "label": options.label, **measure(TASKS[name](), options.rounds)}
        print(row, flush=True)
        store_rows(options.out, [row], ("device", "label", "task"))


if __name__ == "__main__":
    main()
