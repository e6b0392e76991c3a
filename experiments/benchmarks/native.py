"""Would a native operation for the dense stack pay? How much faster could training be if the stack ran at peak speed?

Command:   python -m experiments.benchmarks.native [--rounds 7] [--out FILE]
Expected:  "not worth it": below 2 on at least one of two tasks
Cost:      two minutes on 2 cores

Written before it was measured: such an operation (products, biases, ReLU and their backward pass of `lab.models.Heads`
in one call to compiled C++) is built if it can make training twice as fast on two tasks. The bound on what it can do:
training is timed as it is, and with the stack replaced by next to nothing, with the same parameters, optimiser, losses
and shapes; to the second is added the time that the products of the stack take at the measured peak of one core.
"""

import argparse
import json
import os
import statistics
import time
from pathlib import Path

TASKS = ("scratchpad", "shortcut")
LANES, STEPS = 32, 100
FLOPS = []


def stand_ins():
    """Return `Heads` as it is, noting its floating-point operations, and one that computes next to nothing."""
    import flax.linen as nn
    import jax.numpy as jnp

    from lab import models

    class Noted(models.Heads):
        @nn.compact
        def __call__(self, x):
            # forward, and twice that backward
            FLOPS.append(3 * 2 * len(x) * self.width * (x.shape[1] + sum(self.heads)))
            return super().__call__(x)

    class Layer(nn.Module):
        inputs: int
        outputs: int
        scale: float

        @nn.compact
        def __call__(self):
            kernel = self.param("kernel", models.scaled_normal(self.scale), (self.inputs, self.outputs))
            return kernel[0], self.param("bias", nn.initializers.zeros, (self.outputs,))

    class Nothing(nn.Module):
        width: int
        heads: tuple
        scale: float

        @nn.compact
        def __call__(self, x):
            first, start = Layer(x.shape[1], self.width, self.scale, name="Dense_0")()
            found = []
            for index, size in enumerate(self.heads):
                row, bias = Layer(self.width, size, self.scale, name=f"Dense_{index + 1}")()
                found.append(x[:, :1] * (row + first[0]) + bias + start[0])
            return jnp.broadcast_to(first, (len(x), self.width)), *found

    return Noted, Nothing


def trained(name, heads):
    """Return a function that trains a block of a task by the main objective, with a stand-in for `Heads`."""
    import jax
    import numpy as np

    from experiments.benchmarks.throughput import settings
    from lab.population import Trainer
    from lab.tasks import TASKS, messages, scratchpad, shortcut

    real = messages.Heads
    for module in (messages, scratchpad, shortcut):
        module.Heads = heads
    task = TASKS[name]()
    trainer = Trainer(task, task.training, LANES, jax.devices()[:1], used=("main",))
    own, seeds = settings(task), np.arange(LANES, dtype=np.uint32)
    start = trainer.init(seeds, own)
    own = jax.tree.map(lambda leaf: leaf[None], own)

    def train():
        trainer.train(seeds, own, start, [0, STEPS])[1].block_until_ready()

    train()  # traces with the stand-in
    for module in (messages, scratchpad, shortcut):
        module.Heads = real
    return train


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--out", type=Path, default=Path("figures/native.json"))
    options = parser.parse_args()
    if hasattr(os, "sched_setaffinity"):
        os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    import jax
    import jax.numpy as jnp

    from experiments.benchmarks.throughput import device_name
    from lab.engine import use_all_cores

    use_all_cores()
    noted, nothing = stand_ins()
    work, contenders = {}, {}
    for name in TASKS:
        FLOPS.clear()
        contenders[name, "as it is"] = trained(name, noted)
        # traced for the initial weights, the losses and the scores: the losses are what is differentiated
        work[name] = losses_flops(name, noted)
        contenders[name, "without"] = trained(name, nothing)
    matrix = jnp.ones((1024, 1024), jnp.float32)
    product = jax.jit(lambda a: a @ a)
    contenders["peak"] = lambda: product(matrix).block_until_ready()
    seconds = {key: [] for key in contenders}
    for turn in range(options.rounds + 1):
        for key, run in contenders.items():
            started = time.perf_counter()
            run()
            if turn:
                seconds[key].append(time.perf_counter() - started)
    median = {key: statistics.median(own) for key, own in seconds.items()}
    peak = 2 * 1024**3 / median["peak"]
    rows = []
    for name in TASKS:
        whole, rest = (1e6 * median[name, kind] / (LANES * STEPS) for kind in ("as it is", "without"))
        at_peak = 1e6 * work[name] / peak
        rows.append(
            {
                "task": name,
                "microseconds": round(whole, 2),
                "without_stack": round(rest, 2),
                "stack_at_peak": round(at_peak, 2),
                "at_most": round(whole / (rest + at_peak), 2),
            }
        )
        print(rows[-1])
    built = all(row["at_most"] >= 2 for row in rows)
    print("worth building" if built else "not worth it")
    data = {"device": device_name(jax.devices()), "gflops_at_peak": round(peak / 1e9, 1), "rows": rows}
    options.out.write_text(json.dumps(data, indent=1) + "\n")


def losses_flops(name, noted):
    """Floating-point operations of the stack in one step of one model."""
    import jax
    import jax.numpy as jnp

    from lab.tasks import TASKS, messages, scratchpad, shortcut

    real = messages.Heads
    for module in (messages, scratchpad, shortcut):
        module.Heads = noted
    task = TASKS[name]()
    knobs = {knob: jnp.float32(own.default) for knob, own in task.knobs.items()}
    params = task.init(jax.random.key(0), knobs)
    batch = task.sample(jax.random.key(0), knobs)
    FLOPS.clear()
    jax.eval_shape(lambda params: task.losses(params, batch, knobs, jnp.float32(0.5))["main"], params)
    for module in (messages, scratchpad, shortcut):
        module.Heads = real
    return sum(FLOPS)


if __name__ == "__main__":
    main()
