"""Do verdicts survive fresh seeds, another width, optimiser, learning rate or pass mark?

    python -m experiments.studies.robustness fresh [NAME,...]     every claim once more on seeds from 9,000,000, as many
    python -m experiments.studies.robustness varied [NAME,...]    one thing changed, on a quarter of the seeds, from
    11,000,000

Counts the verdicts that are the same, that are other, and that are not decided any more, of those that were decided;
figures/replication.json and figures/robustness.json hold them. Both go on where they were stopped. `race` has no width:
its step is halved instead, at twice the steps; its other optimiser is momentum. Among the variations one row changes
nothing, so that what fewer and fresh seeds do can be told from what a variation does.
"""

import functools
import json
import sys
from collections import Counter
from pathlib import Path

from lab.claims import book as claims
from lab.cli.train import train
from lab.config.experiment import load, parse
from lab.config.source import read_yaml, select
from lab.results.store import publish

VARIED = (  # these share the configs of `four_regimens`, but for the last one
    "adult_tests", "anti_training", "budget", "early_rejection", "early_shaping", "four_regimens", "implicit_proxies",
    "by_construction",
)  # fmt: skip
FRESH, OTHERS, SHARE = 9_000_000, 11_000_000, 4
RATE = {"scratchpad": 0.015, "race": 0.02, "shortcut": 0.1, "reasoner": 0.003}
WIDTH = {"scratchpad": 48, "shortcut": 24, "reasoner": 24}
# Adam where the task takes SGD and the reverse, with rates at which models still do the job (seeds from 4,000,000)
OPTIMISER = {
    "scratchpad": {"optimizer": "sgd", "learning_rate": 0.3, "momentum": 0.9},
    "race": {"momentum": 0.5, "learning_rate": 0.01},
    "shortcut": {"optimizer": "adam", "learning_rate": 0.01},
    "reasoner": {"optimizer": "sgd", "learning_rate": 0.1, "momentum": 0.9},
}


def varied(text, task, variation):
    """Return the text of the config of a task with one thing changed."""
    values = select(read_yaml(text, "config"), task, "config").data
    task = values["task"] if isinstance(values["task"], dict) else {"name": values["task"]}
    name, training = task["name"], dict(values.get("training", {}))
    if variation == "width" and name == "race":
        training |= {"steps": 2 * training.get("steps", 1000), "learning_rate": RATE[name] / 2}
    elif variation == "width":
        task = {**task, "width": WIDTH[name]}
    elif variation == "optimiser":
        training |= OPTIMISER[name]
    elif variation == "learning rate":
        training |= {"learning_rate": 1.25 * RATE[name]}
    elif variation == "pass mark":
        values["thresholds"] = {**values.get("thresholds", {}), "test": 0.8}
    return json.dumps({**values, "task": task, **({"training": training} if training else {})})


def judged(name, folder, first, share=1, variation="nothing"):
    """Return task -> verdict of a claim on other seeds, in a varied world."""
    to = folder / variation
    path = to / f"{name}.json"

    def read(path, task):
        experiment = load(path, task=task)
        if variation != "nothing":
            experiment = parse(varied(experiment.source, task, variation))
        return experiment.with_seeds(max(len(experiment.seeds) // share, 32), first)

    data = json.loads(path.read_text()) if path.exists() else claims.run(name, train, runs=folder, to=to, read=read)
    return {task: own.verdict for task, own in claims.judged(name, data).items()}


def compared(names, now):
    """Return how many decided verdicts are the same, other and undecided now, and which are not the same.

    Args:
        names: of claims.
        now: function of a name that returns task -> verdict.
    """
    counts, changed = Counter(), []
    for name in names:
        stored = json.loads((claims.FIGURES / f"{name}.json").read_text())
        before = {task: own.verdict for task, own in claims.judged(name, stored).items()}
        for task, verdict in now(name).items():
            if before[task] == claims.UNDECIDED:
                continue
            kind = "same" if verdict == before[task] else "undecided" if verdict == claims.UNDECIDED else "other"
            counts[kind] += 1
            if kind != "same":
                changed.append(f"`{name}` in `{task}`: {before[task]}, now {verdict}")
    return {
        "claims": list(names),
        **{kind: counts[kind] for kind in ("same", "other", "undecided")},
        "changed": changed,
    }


def fresh(names):
    """Judge claims on fresh seeds and store how many verdicts change."""
    found = compared(names or claims.stored(), functools.partial(judged, folder=Path("runs/replication"), first=FRESH))
    return "replication", {"first_seed": FRESH, **found}


def robust(names):
    """Judge claims under every variation and store how many verdicts change."""
    rows, folder = {}, Path("runs/robustness")
    for variation in ("nothing", "width", "optimiser", "learning rate", "pass mark"):
        now = functools.partial(judged, folder=folder, first=OTHERS, share=SHARE, variation=variation)
        rows[variation] = compared(names or VARIED, now)
        print(f"{variation}: {json.dumps(rows[variation], indent=1)}", flush=True)
    return "robustness", {"first_seed": OTHERS, "share_of_seeds": 1 / SHARE, "variations": rows}


if __name__ == "__main__":
    kind, *names = sys.argv[1:]
    name, data = {"fresh": fresh, "varied": robust}[kind](names[0].split(",") if names else None)
    publish((claims.ROOT / f"figures/{name}.json"), (json.dumps(data, indent=1) + "\n").encode())
    print(json.dumps(data, indent=1))
