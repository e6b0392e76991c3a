"""Do verdicts survive fresh seeds, another width, optimiser, learning rate or pass mark?

    python -m experiments.studies.robustness fresh [NAME,...]     every claim once more on seeds from 9,000,000, as many
    python -m experiments.studies.robustness varied [NAME,...]    one thing changed, on a quarter of the seeds, from
                                                                  11,000,000

Of the verdicts that were decided, counts those that are the same, those that are other, and those that are not decided
any more. The counts go to figures/replication.json and figures/robustness.json. What is there of claims that are not
named, and of tasks that are not asked for (`--tasks`), stays unless the claim's rule or verdict is another one now.
Both commands go on where they were stopped. `race` has no width: its step is halved instead, at twice the steps; its
other optimiser is momentum. One of the variations changes nothing, so that what fewer and fresh seeds do can be told
from what a variation does.

On a quarter of the seeds, verdicts on `race`, `scratchpad` and `shortcut` that do not stay are mostly undecided, also
where nothing else is varied. Others turn because the worlds become others. With Adam in `shortcut` all misaligned
models pass the test from 10% of training on (.13 do there with SGD, and 1 at the end). So the test does not get worse
later, and rejecting early gains nothing: `adult_tests` depends and `early_rejection` is contradicted. In `race` with a
rate that is a quarter higher, the one world in which what hides hardly mattered is open: P(T|not A) rises by .09 [.06,
.13] there, instead of .03. The others decide then, and `implicit_proxies` and `adult_tests` are supported. So is
`early_shaping`: .50 of the misaligned pass a test that is held out instead of .20. By former rules two more verdicts
turned with another optimiser; `anti_training` and `by_construction` say why.
"""

import argparse
import functools
import json
from collections import Counter
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple, cast

from lab import claims
from lab.cli.train import train
from lab.config.experiment import Experiment, load, parse
from lab.config.seeds import REPLICATION, ROBUSTNESS
from lab.config.source import read_yaml, select
from lab.results.store import publish
from lab.tasks import TASKS
from lab.words import Json

VARIED = (  # six share the configs of `four_regimens` or those of `implicit_proxies`
    "adult_tests",
    "budget",
    "early_rejection",
    "early_shaping",
    "four_regimens",
    "implicit_proxies",
    "anti_training",
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


class Anew(NamedTuple):
    """Where and on which seeds a claim is judged anew.

    Attributes:
        folder: of runs and of what is counted.
        first: seed.
        share: one in so many seeds of the config is taken.
        tasks: all if there are none.
    """

    folder: Path
    first: int
    share: int = 1
    tasks: Sequence[str] = ()


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
        training |= OPTIMISER.get(name, {})  # no other one was looked for where none stands there
    elif variation == "learning rate":
        training |= {"learning_rate": FASTER * usual.training.learning_rate}
    elif variation == "pass mark":
        values["thresholds"] = {**values.get("thresholds", {}), "test": MARK}
    return json.dumps({**values, "task": task, **({"training": training} if training else {})})


def judge_anew(name: str, anew: Anew, variation: str = "nothing") -> Verdicts:
    """Return the verdicts of a claim on other seeds, in a varied world.

    Args:
        name: of the claim; what was counted of it before is only judged.
        anew: where, and on which seeds.
        variation: one of `VARIATIONS`.
    """
    to = anew.folder / variation
    path = to / f"{name}.json"

    def read(config: Path, task: str) -> Experiment:
        experiment = load(config, task=task)
        if variation != "nothing":
            experiment = parse(varied(experiment.source, task, variation))
        return experiment.with_seeds(max(len(experiment.seeds) // anew.share, FEWEST), anew.first)

    data = json.loads(path.read_text()) if path.exists() else {"tasks": {}}
    wanted = [task for task in claims.configs(name) if not anew.tasks or task in anew.tasks]
    if variation == "optimiser":
        wanted = [task for task in wanted if task in OPTIMISER]
    if missing := [task for task in wanted if task not in data["tasks"]]:
        data = claims.run(name, train, folders=claims.Folders(anew.folder, to), read=read, only=missing)
    return {task: verdict.verdict for task, verdict in claims.verdicts(name, data).items()}


def verdicts_stored(name: str) -> Verdicts:
    """Return the verdicts of a claim from the project's own counts."""
    stored = json.loads((claims.FIGURES / f"{name}.json").read_text())
    return {task: verdict.verdict for task, verdict in claims.verdicts(name, stored).items()}


def compare_verdicts(names: Sequence[str], judge: Callable[[str], Verdicts]) -> Json:
    """Return name of a claim -> its rule, and by task the stored verdict and that of now.

    Args:
        names: of claims.
        judge: function of a name that returns the verdicts of now.
    """
    compared = {}
    for name in names:
        before = verdicts_stored(name)
        by_task = {task: [before[task], verdict] for task, verdict in judge(name).items()}
        compared[name] = {"rule": claims.claim(name).rule, "tasks": by_task}
    return compared


def join(compared: Json, stored: Json) -> Json:
    """Return verdicts that were compared now beside those before, of other claims and tasks, that still stand.

    They stand if neither the claim's rule nor its own verdict has become another one.

    Args:
        compared: what `compare_verdicts` returned.
        stored: what it, or this function, returned before.
    """
    rules = {name: claims.claim(name).rule for name in claims.names_with_counts()}
    joined: Json = {}
    for name, row in stored.items():
        if rules.get(name) == row["rule"]:
            now = verdicts_stored(name)
            tasks = {task: pair for task, pair in row["tasks"].items() if now.get(task) == pair[0]}
            joined[name] = {**row, "tasks": tasks}
    for name, row in compared.items():
        joined[name] = {**row, "tasks": {**joined.get(name, {}).get("tasks", {}), **row["tasks"]}}
    return joined


def count_verdicts(by_claim: Json) -> Json:
    """Return how many decided verdicts are the same, other and undecided now, and which are not the same.

    Args:
        by_claim: what `join` returned.
    """
    counts, changed = Counter(), []
    for name, row in by_claim.items():
        for task, (before, now) in row["tasks"].items():
            if before == claims.UNDECIDED:
                continue
            kind = "undecided" if now == claims.UNDECIDED else "other"
            counts["same" if now == before else kind] += 1
            if now != before:
                changed.append(f"`{name}` in `{task}`: {before}, now {now}")
    return {
        "claims": list(by_claim),
        **{kind: counts[kind] for kind in ("same", "other", "undecided")},
        "changed": changed,
        "by_claim": by_claim,
    }


def replicate(names: Sequence[str], tasks: Sequence[str], stored: Json) -> Json:
    """Judge claims on fresh seeds; return how many verdicts change, those that are stored included."""
    anew = Anew(Path("runs/replication"), REPLICATION.first, tasks=tasks)
    compared = compare_verdicts(names or claims.names_with_counts(), lambda name: judge_anew(name, anew))
    return {"first_seed": anew.first, **count_verdicts(join(compared, stored.get("by_claim", {})))}


def vary(names: Sequence[str], tasks: Sequence[str], stored: Json) -> Json:
    """Judge claims under every variation; return how many verdicts change, those that are stored included."""
    rows, before = {}, stored.get("variations", {})
    anew = Anew(Path("runs/robustness"), ROBUSTNESS.first, SHARE, tasks)
    for variation in VARIATIONS:
        compared = compare_verdicts(names or VARIED, functools.partial(judge_anew, anew=anew, variation=variation))
        rows[variation] = count_verdicts(join(compared, before.get(variation, {}).get("by_claim", {})))
        print(f"{variation}: {json.dumps(rows[variation], indent=1)}", flush=True)
    return {"first_seed": ROBUSTNESS.first, "share_of_seeds": 1 / SHARE, "variations": rows}


KINDS = {"fresh": (replicate, "replication"), "varied": (vary, "robustness")}  # what a command does, name of its file


def main() -> None:
    """Judge claims anew and store how many verdicts change."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=list(KINDS))
    parser.add_argument("names", nargs="?", help="of claims, with commas between; all by default")
    parser.add_argument("--tasks", default="", help="with commas between; all by default")
    options = parser.parse_args()
    names, tasks = ([part for part in text.split(",") if part] for text in (options.names or "", options.tasks))
    judge, name = KINDS[options.kind]
    path = claims.ROOT / f"figures/{name}.json"
    stored = json.loads(path.read_text()) if (names or tasks) and path.exists() else {}
    text = json.dumps(judge(names, tasks, stored), indent=1)
    publish(path, (text + "\n").encode())
    print(text)


if __name__ == "__main__":
    main()
