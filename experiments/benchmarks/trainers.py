"""How fast is the lab beside other ways to train the same models?

Command:   python -m experiments.benchmarks.trainers [--rounds 5] [--out FILE]
Expected:  the engine somewhat slower than the bare function, twice as fast as torch.func, 100 times eager PyTorch
Cost:      about six minutes on 2 cores; without PyTorch (pip install 'proxy-lab[benchmark]') its rows are left out

The work is `main` of the task `scratchpad` with its defaults, the same in all of them: their losses are compared before
anything is timed. Everything runs on one core, in one process, taking turns; a rate is the median of the rounds.
Shared prefixes, all cores and one core are measured in processes of their own. Rows replace those of a device of the
same name.

    lab                 `lab.training.engine`: blocks, segments, scores and files, compiled before
    jit(vmap(scan))     one compiled function, as in purejaxrl, without scores and files
    jit                 the same for one model at a time
    torch.func          an ensemble under vmap with an Adam written by hand
    PyTorch             one model at a time, torch.optim.Adam

The share of the peak is that of a product of two 1024 x 1024 matrices in float32, measured in the same rounds.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from lab.results.store import publish

ROOT = Path(__file__).resolve().parents[2]
LANES, STEPS = 32, 100
CONFIG = """
name: trainers
task: scratchpad
seeds: {seeds}
training: {{steps: 800, segments: {segments}, block_width: 32}}
regimens:
  hold_out: [{{until: 1}}]
"""


EVEN = """
name: even-onsets
task: scratchpad
seeds: 32
training: {block_width: 32}
regimens:
  hold_out: [{until: 1}]
  push: [{until: 0}, {lasts: 0.05, weights: {test: 0.3}}, {until: 1}]
sweep:
  onset:
    key: "regimens.push[0].until"
    values: [0, 0.05, 0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.85, 0.9, 0.95]
"""
PROFILE = """
name: profile
task: scratchpad
seeds: 32
training: {block_width: 32}
regimens:
  hold_out: [{until: 1}]
"""


def experiment(seeds, segments=20):
    from lab.config.experiment import parse

    return parse(CONFIG.format(seeds=seeds, segments=segments))


def matrix_flops(task):
    """Floating-point operations in the products of one step of one model, forward and twice that backward."""
    rows, width, contexts = len(task.problems), task.width, 2**task.context_bits
    sender = rows * contexts * width * (rows.bit_length() - 1 + task.context_bits + task.symbols)
    receiver = task.symbols * 2 * contexts * width * (task.symbols + 1 + task.context_bits + 1)
    return 3 * 2 * (sender + receiver)


def jax_contenders():
    """Return name -> (function that trains, seed-steps it does)."""
    import jax
    import jax.numpy as jnp
    import numpy as np

    from lab.tasks import Scratchpad
    from lab.tasks.settings import Settings
    from lab.training import engine
    from lab.training.population import init, step

    task, plain = Scratchpad(), experiment(32 * LANES)
    training, own = task.training, plain.conditions[0].settings[0]
    used = tree.used_terms(plain)
    one = Settings(*(jnp.asarray(np.float32(leaf)) for leaf in own))
    many = Settings(*(jnp.broadcast_to(leaf, (LANES, *leaf.shape)) for leaf in one))

    def whole(seed, settings):
        key = jax.random.fold_in(jax.random.fold_in(jax.random.key(0), 1), seed)

        def advance(state, index):
            return step(task, training, jnp.float32(800), key, settings, index, state, used), None

        return jax.lax.scan(advance, init(task, training, seed, settings), jnp.arange(STEPS))[0]

    population, single = jax.jit(jax.vmap(whole)), jax.jit(whole)
    seeds = jnp.arange(LANES, dtype=jnp.uint32)
    matrix = jnp.ones((1024, 1024), jnp.float32)
    product = jax.jit(lambda a: a @ a)
    train = engine.local_trainer(plain)

    def lab():
        with tempfile.TemporaryDirectory() as folder:
            engine.run(plain, Path(folder, "run"), train=train)

    return {
        "lab": (lab, 32 * LANES * 800),
        "jit(vmap(scan))": (lambda: jax.block_until_ready(population(seeds, many)), LANES * STEPS),
        "jit": (lambda: [jax.block_until_ready(single(seed, one)) for seed in seeds[:4]], 4 * STEPS),
        "peak": (lambda: [product(matrix).block_until_ready() for _ in range(8)], 8 * 2 * 1024**3),
    }


def torch_contenders():
    """The same for PyTorch, after checking that its loss is the lab's."""
    import jax
    import jax.numpy as jnp
    import numpy as np
    import torch
    from torch.func import functional_call, grad, vmap

    from lab.tasks import Scratchpad

    torch.set_num_threads(1)
    task = Scratchpad()
    knobs = {name: jnp.float32(knob.default) for name, knob in task.knobs.items()}
    rows = torch.tensor(np.asarray(task.rows(knobs)))
    seen = np.asarray(task.contexts(knobs)[0])
    weights = torch.tensor(np.asarray(task.sample(jax.random.key(0), knobs)))
    truth = torch.tensor(np.where(task.hidden_bit > 0, 0, 1))[:, None, None].expand(-1, len(seen), 1)
    of_a = torch.tensor(np.stack([task.hidden_bit < 0, task.hidden_bit > 0]).astype(np.float32))
    sign = torch.tensor([-1.0, 1.0])
    asked = [[*np.eye(2)[s], b, *q] for s in (0, 1) for b in (-1, 1) for q in seen]
    asked = torch.tensor(np.array(asked, np.float32))

    class Model(torch.nn.Module):
        def __init__(self):
            super().__init__()
            self.sender = torch.nn.Sequential(torch.nn.Linear(5, 32), torch.nn.ReLU(), torch.nn.Linear(32, 2))
            self.receiver = torch.nn.Sequential(torch.nn.Linear(4, 32), torch.nn.ReLU(), torch.nn.Linear(32, 1))
            for name, own in self.named_parameters():
                torch.nn.init.zeros_(own) if "bias" in name else torch.nn.init.normal_(
                    own, 0, 0.3 * (2 / own.shape[1]) ** 0.5
                )

        def forward(self):
            messages = torch.softmax(self.sender(rows), -1).reshape(16, len(seen), 2)
            answers = self.receiver(asked).reshape(2, 2, len(seen))
            margins = answers[None] * (sign[:, None] * sign)[:, None, :, None]
            joint = torch.einsum("ax,xq,xqs->asq", of_a, weights, messages)
            loss = (joint[:, :, None] * torch.nn.functional.softplus(-margins)).sum() / 2
            read = torch.gather(messages, 2, truth)[..., 0]
            return loss + float(knobs["preference"]) * (weights * (1 - read)).sum()

    model = Model()
    own = {name: np.asarray(value.detach()) for name, value in model.named_parameters()}

    def layer(network, place):
        return {
            "kernel": jnp.asarray(own[f"{network}.{place}.weight"].T),
            "bias": jnp.asarray(own[f"{network}.{place}.bias"]),
        }

    params = task.init(jax.random.key(0), knobs)
    params["sender"] = {
        "params": {**params["sender"]["params"], "Dense_0": layer("sender", 0), "Dense_1": layer("sender", 2)}
    }
    params["receiver"] = {"params": {"Dense_0": layer("receiver", 0), "Dense_1": layer("receiver", 2)}}
    batch = task.sample(jax.random.key(0), knobs)
    ours = float(task.losses(params, batch, knobs, jnp.float32(0))["main"])
    if abs(ours - float(model().detach())) > 1e-5:
        raise SystemExit(f"not the same work: {ours} here, {float(model())} in PyTorch")

    optimizer = torch.optim.Adam(model.parameters(), lr=0.015, betas=(0.9, 0.99))

    def eager():
        for _ in range(30):
            optimizer.zero_grad()
            model().backward()
            optimizer.step()

    models = [Model() for _ in range(512)]
    stacked = {name: torch.stack([dict(m.named_parameters())[name].detach() for m in models]) for name in own}
    moments = [{name: torch.zeros_like(value) for name, value in stacked.items()} for _ in range(2)]
    slope = vmap(grad(lambda params: functional_call(model, params, ())))

    def ensemble():
        for index in range(1, 11):
            slopes = slope(stacked)
            for name, value in stacked.items():
                first, second = moments[0][name], moments[1][name]
                first.mul_(0.9).add_(slopes[name], alpha=0.1)
                second.mul_(0.99).addcmul_(slopes[name], slopes[name], value=0.01)
                rate = 0.015 / (1 - 0.9**index)
                value.sub_(rate * first / ((second / (1 - 0.99**index)).sqrt() + 1e-8))

    return {"torch.func": (ensemble, 512 * 10), "PyTorch": (eager, 30)}


def turns(contenders, rounds):
    """Return the median rate of each contender, all taking turns; the first turn is not counted."""
    rates = {name: [] for name in contenders}
    for turn in range(rounds + 1):
        for name, (train, work) in contenders.items():
            started = time.perf_counter()
            train()
            if turn:
                rates[name].append(work / (time.perf_counter() - started))
    return {name: statistics.median(own) for name, own in rates.items()}


def one_core(rounds):
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    from lab.tasks import Scratchpad
    from lab.training.engine import use_all_cores

    use_all_cores()
    contenders = jax_contenders()
    try:
        contenders |= torch_contenders()
    except ImportError:
        print("PyTorch is not installed: without it", file=sys.stderr)
    rates = turns(contenders, rounds)
    peak, flops = rates.pop("peak"), matrix_flops(Scratchpad())
    return [
        {
            "trainer": name,
            "seed_steps_per_second": round(rate),
            "share_of_peak": round(rate * flops / peak, 4),
            "ratio": round(rates["lab"] / rate, 3),
        }
        for name, rate in rates.items()
    ]


def rate(rounds):
    """Seed-steps per second of the engine on the cores that this process may use."""
    import jax

    from lab.training import engine

    engine.use_all_cores()
    devices = jax.devices()
    own = engine.Blocks(experiment(8 * LANES * len(devices)), LANES, devices)
    blocks = [LANES * index for index in range(8 * len(devices))]
    work = lambda: list(own.train({key: {0} for key in blocks}))  # noqa: E731
    return turns({"": (work, len(blocks) * LANES * 800)}, rounds)[""]


def one_core_rate(rounds):
    os.sched_setaffinity(0, {min(os.sched_getaffinity(0))})
    return rate(rounds)


def prefixes_of_all(_):
    """Shared prefixes against training every condition from the start."""
    import jax

    from lab.training import engine

    engine.use_all_cores()
    devices = jax.devices()
    return {
        "cores": len(devices),
        "shared_prefixes": [prefixes(name, devices) for name in ("critical_period", "even onsets", "profile")],
    }


def prefixes(name, devices):
    """What a sweep costs with shared prefixes, as a share of training every condition from the start."""
    import numpy as np

    from lab.config.experiment import load, parse
    from lab.studies import sensitivity
    from lab.training import engine

    sweep = load(ROOT / "configs/critical_period.yaml") if name == "critical_period" else parse(EVEN)
    if name == "profile":  # of `lab sensitivity`, without the pushes
        plain = parse(PROFILE)
        text = sensitivity.config(plain, plain.conditions[0], sensitivity.changes(plain.task, ["test"]))
        values = json.loads(text)
        values["regimens"] = {key: own for key, own in values["regimens"].items() if not key.startswith("push")}
        sweep = parse(json.dumps(values))
    sweep = sweep.with_seeds(2 * LANES * len(devices))
    tree, blocks = engine.Blocks(sweep, LANES, devices), [LANES * index for index in range(2 * len(devices))]
    leaves = sorted(set(engine.plan(sweep.conditions)[1]))
    found = {}

    def shared():
        found["shared"] = {key[:2]: key[2] for key in tree.train({start: set(leaves) for start in blocks})}

    def naive():
        found["naive"] = {}
        for leaf in leaves:
            found["naive"] |= {key[:2]: key[2] for key in tree.train({start: {leaf} for start in blocks})}

    rates = turns({"shared": (shared, 1), "naive": (naive, 1)}, 1)
    equal = all(
        np.array_equal(found["naive"][key][name][1], own[1], equal_nan=True)
        for key, block in found["shared"].items()
        for name, own in block.items()
    )
    steps = sum(tree.steps({leaf}) for leaf in leaves)
    return {
        "sweep": name,
        "conditions": len(leaves),
        "share_of_steps": round(tree.steps(set(leaves)) / steps, 3),
        "share_of_time": round(rates["naive"] / rates["shared"], 3),
        "same_bytes": equal,
    }


def child(which, rounds):
    command = [sys.executable, "-m", "experiments.benchmarks.trainers", "--part", which, "--rounds", str(rounds)]
    return json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout.splitlines()[-1])


PARTS = {"one": one_core, "prefixes": prefixes_of_all, "rate": rate, "one rate": one_core_rate}


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("figures/trainers.json"))
    parser.add_argument("--part", choices=list(PARTS), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.part:
        print(json.dumps(PARTS[options.part](options.rounds)))
    else:
        rows, cores = child("one", options.rounds), child("prefixes", options.rounds)
        # each in a process of its own: one device of a process that has several gets a share of all cores
        pairs = [(child("rate", 2), child("one rate", 2)) for _ in range(3)]
        cores["all_cores_over_one"] = round(statistics.median(every / one for every, one in pairs), 3)
        code = "from experiments.benchmarks.throughput import *; use_all_cores(); print(device_name(jax.devices()))"
        device = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout.strip()
        stored = json.loads(options.out.read_text()) if options.out.exists() else []
        stored = [own for own in stored if own["device"] != device]
        publish(
            options.out,
            (json.dumps([*stored, {"device": device, "one_core": rows, **cores}], indent=1) + "\n").encode(),
        )
        for row in rows:
            print(row)
        print(cores)
