"""Do verdicts survive fresh seeds, another width, optimiser, learning rate or pass mark?

    python -m experiments.studies.robustness fresh [NAME,...]     every claim once more on seeds from 9,000,000, as many
    python -m experiments.studies.robustness varied [NAME,...]    one thing changed, on a quarter of the seeds, from
                                                                  11,000,000

Of the verdicts that were decided, counts those that are the same, those that are other, and those that are not decided
any more. The counts go to figures/replication.json and figures/robustness.json. Both commands go on where they were
stopped. `race` has no width: its step is halved instead, at twice the steps; its other optimiser is momentum. One of
the variations changes nothing, so that what fewer and fresh seeds do can be told from what a variation does.
"""

import argparse
import functools
import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, cast

from lab import claims
from lab.cli.train import train
from lab.config.experiment import Experiment, load, parse
from lab.config.seeds import REPLICATION, ROBUSTNESS
from lab.config.source import read_yaml, select
from lab.results.store import publish
from lab.tasks import TASKS
from lab.words import Json

VARIED = (  # these share the configs of `four_regimens` or those of `implicit_proxies`, but for the last one
    "adult_tests",
    "anti_training",
    "budget",
    "early_rejection",
    "early_shaping",
    "four_regimens",
    "implicit_proxies",
    "by_construction",
)
VARIATIONS = ("nothing", "width", "optimiser", "learning rate", "pass mark")
SHARE, FEWEST = 4, 32  # a variation takes one seed in so many, but not fewer than these
WIDER, FASTER = 1.5, 1.25  # times the default of the task
MARK = 0.8  # of the test, which is .9 in every task
# Adam where the task takes SGD and the reverse, with rates at which models still do the job (seeds from 4,000,000)
OPTIMISER = {
    "scratchpad": {"optimizer": "sgd", "learning_rate": 0.3, "momentum": 0.9},
    "race": {"momentum": 0.5, "learning_rate": 0.01},
    "shortcut": {"optimizer": "adam", "learning_rate": 0.01},
    "reasoner": {"optimizer": "sgd", "learning_rate": 0.1, "momentum": 0.9},
}

Verdicts = dict[str, str]  # by task


def varied(text: str, task_name: str, variation: str) -> str:
    """Return the text of the config of a task with one thing changed."""
    values = cast(Json, select(read_yaml(text, "config"), task_name, "config").data)  # a config is a mapping
    task = values["task"] if isinstance(values["task"], dict) else {"name": values["task"]}
    name, training = task["name"], dict(values.get("training", {}))
    usual: Any = TASKS[name]  # of which some have a width
    if variation == "width" and name == "race":
        steps, rate = training.get("steps", usual.training.steps), usual.training.learning_rate
        training |= {"steps": 2 * steps, "learning_rate": rate / 2}
    elif variation == "width":
        task = {**task, "width": int(WIDER * usual.width)}
    elif variation == "optimiser":
        training |= OPTIMISER[name]
    elif variation == "learning rate":
        training |= {"learning_rate": FASTER * usual.training.learning_rate}
    elif variation == "pass mark":
        values["thresholds"] = {**values.get("thresholds", {}), "test": MARK}
    return json.dumps({**values, "task": task, **({"training": training} if training else {})})


def judge_anew(name: str, folder: Path, first: int, share: int = 1, variation: str = "nothing") -> Verdicts:
    """Return the verdicts of a claim on other seeds, in a varied world.

    Args:
        name: of the claim.
        folder: of runs and of what was counted; a claim that was counted there is only judged.
        first: seed.
        share: one in so many seeds of the config is taken.
        variation: one of `VARIATIONS`.
    """
    to = folder / variation
    path = to / f"{name}.json"

    def read(config: Path, task: str) -> Experiment:
        experiment = load(config, task=task)
        if variation != "nothing":
            experiment = parse(varied(experiment.source, task, variation))
        return experiment.with_seeds(max(len(experiment.seeds) // share, FEWEST), first)

    if path.exists():
        data = json.loads(path.read_text())
    else:
        data = claims.run(name, train, folders=claims.Folders(folder, to), read=read)
    return {task: verdict.verdict for task, verdict in claims.verdicts(name, data).items()}


def compare_verdicts(names: Sequence[str], judge: Callable[[str], Verdicts]) -> Json:
    """Return how many decided verdicts are the same, other and undecided now, and which are not the same.

    Args:
        names: of claims.
        judge: function of a name that returns the verdicts of now.
    """
    counts, changed = Counter(), []
    for name in names:
        stored = json.loads((claims.FIGURES / f"{name}.json").read_text())
        before = {task: verdict.verdict for task, verdict in claims.verdicts(name, stored).items()}
        for task, verdict in judge(name).items():
            if before[task] == claims.UNDECIDED:
                continue
            kind = "undecided" if verdict == claims.UNDECIDED else "other"
            counts["same" if verdict == before[task] else kind] += 1
            if verdict != before[task]:
                changed.append(f"`{name}` in `{task}`: {before[task]}, now {verdict}")
    return {
        "claims": list(names),
        **{kind: counts[kind] for kind in ("same", "other", "undecided")},
        "changed": changed,
    }


def replicate(names: Sequence[str] | None) -> tuple[str, Json]:
    """Judge claims on fresh seeds; return the name of the file and how many verdicts change."""
    first = REPLICATION.first
    judge = functools.partial(judge_anew, folder=Path("runs/replication"), first=first)
    return "replication", {"first_seed": first, **compare_verdicts(names or claims.names_with_counts(), judge)}


def vary(names: Sequence[str] | None) -> tuple[str, Json]:
    """Judge claims under every variation; return the name of the file and how many verdicts change."""
    rows, folder = {}, Path("runs/robustness")
    for variation in VARIATIONS:
        judge = functools.partial(judge_anew, folder=folder, first=ROBUSTNESS.first, share=SHARE, variation=variation)
        rows[variation] = compare_verdicts(names or VARIED, judge)
        print(f"{variation}: {json.dumps(rows[variation], indent=1)}", flush=True)
    return "robustness", {"first_seed": ROBUSTNESS.first, "share_of_seeds": 1 / SHARE, "variations": rows}


def main() -> None:
    """Judge claims anew and store how many verdicts change."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=["fresh", "varied"])
    parser.add_argument("names", nargs="?", help="of claims, with commas between; all by default")
    options = parser.parse_args()
    names = options.names.split(",") if options.names else None
    name, data = {"fresh": replicate, "varied": vary}[options.kind](names)
    text = json.dumps(data, indent=1)
    publish(claims.ROOT / f"figures/{name}.json", (text + "\n").encode())
    print(text)


if __name__ == "__main__":
    main()
