"""In which share of random worlds does a claim hold, and which knob tells where?

Command:   python -m experiments.studies.claims_over_worlds plan [TASK ...]       how many models that is
           python -m experiments.studies.claims_over_worlds train NAME TASK       a claim, a config of claims, or all
           python -m experiments.studies.claims_over_worlds judge [--redraw]      of every task that is stored
Cost:      one minute (race) to half an hour (gridworld) on 2 cores; judging takes some minutes

The config of a claim is trained once per task, in worlds whose knobs are drawn from the ranges of
configs/worlds/worlds.yaml. Regimens, weights and sweeps stay those of the claim, and so does a knob that the claim
sweeps or sets in a phase. All conditions are trained; claims with one config share its models. Two configs of a task
draw their worlds apart, because they draw other knobs. The claim's own study and rule then see one world at a time, as
if somebody had chosen it. figures/worlds/claims-TASK.json keeps one letter per claim and world, by `LETTERS`.

A world counts for a claim unless fewer than 95% of its held-out models do the job. A claim holds in a world if its rule
says supported there, and does not if the rule says anything else. The share of worlds in which it holds is that of all
that count. Beside it stands its share of those that are decided, which are all but the undecided ones. Both have
Wilson's 95% interval over worlds.

Rule for what it depends on, per claim and task, committed before any of these worlds was trained. It looks at decided
worlds alone, so that a knob which only makes verdicts undecided tells nothing. A decision tree of depth two, no leaf of
which is smaller than a tenth of these worlds, tells from the drawn knobs where the claim holds. Its accuracy is that of
stratified five-fold cross-validation, repeated five times. The tree is told in words if its accuracy is at least .05
above the share of the larger kind, and if fewer than 5% of 199 permutations of the labels give as much. It is not grown
where fewer than five worlds are of one kind. Balanced accuracy is stored beside it and decides nothing.

The claims of `FORMER` (in `claims_over_worlds_figure`) were judged by their former rules, in the worlds of their former
configs. Training their configs of today replaces what is stored of them.

`--look FOLDER` tries all this on four other worlds and 16 seeds from 4,000,000, and writes into that folder alone.
"""

import argparse
import copy
import json
import math
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float
from sklearn.metrics import balanced_accuracy_score
from sklearn.model_selection import StratifiedKFold
from sklearn.tree import DecisionTreeClassifier

import lab
from experiments.studies import ROOT
from experiments.studies.claims_over_worlds_figure import HEADER, NAME, figure_of, line, rows, words
from experiments.studies.worlds import CONFIG
from lab import claims
from lab.cli.train import train
from lab.config.experiment import Experiment, from_values
from lab.config.schema import WORLD
from lab.config.seeds import CLAIMED_WORLDS, LOOKS
from lab.figures.style import save
from lab.results import outcomes, shards
from lab.results.store import Run, publish
from lab.statistics import Estimate, wilson_interval
from lab.tasks import TASKS
from lab.words import Json, estimate_json, setting

CLAIMS = (
    "four_regimens",
    "critical_period",
    "early_rejection",
    "adult_tests",
    "implicit_proxies",
    "anti_training",
    "weight_response",
    "early_shaping",
    "restart_or_continue",
)
LETTERS = {  # what a claim's rule says of a world
    "s": claims.SUPPORTED,
    "d": claims.DEPENDS,
    "u": claims.UNDECIDED,
    "c": claims.CONTRADICTED,
    "x": "held-out models cannot do the job",
}
UNABLE = "x"
UNDECIDED = ("u", UNABLE)
SEEDS = {"race": 1024, "scratchpad": 64, "shortcut": 64, "reasoner": 32, "digits": 32, "gridworld": 32}

# of the rule
DEPTH, LEAF = 2, 0.1  # of the tree, and the least share of worlds in a leaf
FOLDS, REPEATS = 5, 5  # of cross-validation; as many worlds of each kind as folds are needed
GAIN = 0.05  # least accuracy above the share of the larger kind
PERMUTATIONS, LEVEL = 199, 0.05


class Draw(NamedTuple):
    """Which worlds and seeds are trained, and where what comes of them is kept.

    Attributes:
        worlds: how many.
        seed: that draws them.
        first: seed of the models.
        seeds: models per condition at most.
        runs: folder of the runs.
        stored: folder of the letters.
        figures: folder of the figure.
    """

    worlds: int = 48
    seed: int = 3
    first: int = CLAIMED_WORLDS.first
    seeds: int = max(SEEDS.values())
    runs: Path = Path("runs")
    stored: Path = ROOT / "figures/worlds"
    figures: Path = ROOT / "figures"

    def file(self, task: str) -> Path:
        """Return where the letters of a task are kept."""
        return self.stored / f"claims-{task}.json"


DECIDING = Draw()


def look(folder: Path) -> Draw:
    """Return worlds that may be looked at before any of those that decide, and a folder for all that comes of them."""
    return Draw(4, 1, LOOKS.first, 16, folder / "runs", folder, folder)


# --- training and judging world by world ------------------------------------------------------------------------------


def configs(task: str) -> dict[str, list[str]]:
    """Return the configs of a task that claims are counted on, each with its claims."""
    by_config: dict[str, list[str]] = {}
    for name in CLAIMS:
        if task in claims.configs(name):
            by_config.setdefault(claims.claim(name).config, []).append(name)
    return by_config


def held_fixed(values: Json) -> set[str]:
    """Return the knobs that a config sweeps or sets in a phase.

    Args:
        values: of the config, as `Experiment.as_json` has them.
    """
    knobs = {knob for phases in values["regimens"].values() for phase in phases for knob in phase["knobs"]}
    for name, axis in values["sweep"].items():
        keys = axis["key"] if isinstance(axis, dict) else f"knobs.{name}"
        for parts in (key.split(".") for key in ([keys] if isinstance(keys, str) else keys)):
            knobs |= {parts[-1]} if parts[-2] == "knobs" else set()
    return knobs


def experiment(config: str, task: str, draw: Draw = DECIDING) -> Experiment:
    """Return a config of claims with worlds drawn around it.

    Args:
        config: its name.
        task: whose part of the config is taken.
        draw: which worlds and seeds.
    """
    values = lab.load(ROOT / f"configs/claims/{config}.yaml", task=task).as_json()
    ranges = lab.load(CONFIG, task=task).as_json()["worlds"]["knobs"]
    knobs = {knob: entry for knob, entry in ranges.items() if knob not in held_fixed(values)}
    seeds = min(SEEDS[task], draw.seeds)
    width = min(seeds, TASKS[task].training.block_width["cpu"])
    return from_values(
        values
        | {
            "name": f"{config}_over_worlds_{task}",
            "worlds": {"count": draw.worlds, "seed": draw.seed, "knobs": knobs},
            "seeds": {"first": draw.first, "count": seeds},
            "training": values["training"] | {"block_width": width},
        }
    )


def of_world(run: Run, world: int) -> Run:
    """Return a run as if it were of one of its worlds alone, which somebody had chosen; its folder stays as it is."""
    conditions = []
    for condition in run.manifest["conditions"]:
        coordinates = dict(condition["coordinates"])
        if coordinates.pop(WORLD) == world:
            name = " ".join(part for part in condition["name"].split(" ") if not part.startswith(f"{WORLD}="))
            conditions.append({**condition, "name": name, "coordinates": coordinates})
    config = {key: value for key, value in run.manifest["config"].items() if key != "worlds"}
    alone = copy.copy(run)
    alone.manifest = run.manifest | {"conditions": conditions, "config": config}
    return alone


def able(run: Run) -> bool:
    """Return whether in every condition of the baseline enough models do the job."""
    results = shards.results(run, last_only=True)
    classes = outcomes.classify(results).sel(condition=results["regimen"].values == results.attrs["baseline"])
    doing = ~(classes["incompetent"] | classes["diverged"]).values
    return bool((doing.mean(1) >= outcomes.ABLE).all())


def letter(claim: claims.Claim, asked: Experiment, run: Run) -> str:
    """Return what the rule of a claim says of a run of one world, as one of `LETTERS`."""
    counts = claim.study(asked, run.path, lambda *_: run)
    verdict = claim.judge(claims.Stored(asked.task.name, {"baseline": asked.baseline, **counts})).verdict
    return next(key for key, words in LETTERS.items() if words == verdict)


def letters(names: Iterable[str], asked: Experiment, run: Run) -> dict[str, str]:
    """Return claim -> what its rule says of every world, a letter each.

    Args:
        names: of the claims.
        asked: what was trained.
        run: its run.
    """
    texts = dict.fromkeys(names, "")
    worlds = dict.fromkeys(int(condition["coordinates"][WORLD]) for condition in run.manifest["conditions"])
    for world in worlds:
        alone = of_world(run, world)
        counts = able(alone)
        for name in texts:
            texts[name] += letter(claims.claim(name), asked, alone) if counts else UNABLE
    return texts


def count(config: str, task: str, draw: Draw = DECIDING) -> Json:
    """Train a config of claims over worlds, and return what its claims come to as plain JSON values."""
    asked = experiment(config, task, draw)
    run = train(asked, draw.runs / asked.folder_name)
    knobs = asked.config.worlds.knobs if asked.config.worlds else {}
    of_worlds = {condition.coordinates[WORLD]: condition.knobs for condition in asked.conditions}
    return {
        "worlds": {"count": draw.worlds, "seed": draw.seed},
        "seeds": {"first": asked.seeds.start, "count": len(asked.seeds)},
        "hash": asked.hash,
        "drawn": {name: [values[name] for values in of_worlds.values()] for name in knobs},
        "claims": letters(configs(task)[config], asked, run),
        "identity": run.manifest["identity"],
    }


def train_and_store(name: str, task: str, draw: Draw = DECIDING) -> Path:
    """Train what a claim is counted on, or all claims, and add it to what is stored of a task. Returns the file.

    Args:
        name: of a claim, of a config, or all.
        task: its name.
        draw: which worlds and seeds.
    """
    of_task = configs(task)
    chosen = [config for config, names in of_task.items() if name in ("all", config, *names)]
    if not chosen:
        known = ", ".join(("all", *of_task, *(claim for names in of_task.values() for claim in names)))
        raise SystemExit(f"{name}: no claim and no config of {task}; known: {known}")
    path = draw.file(task)
    for config in chosen:
        before = json.loads(path.read_text())["configs"] if path.exists() else {}
        data = {"task": task, "letters": LETTERS, "configs": before | {config: count(config, task, draw)}}
        path.parent.mkdir(parents=True, exist_ok=True)
        publish(path, f"{json.dumps(data)}\n".encode())
    return path


def plan(tasks: Iterable[str], draw: Draw = DECIDING) -> list[str]:
    """Return lines of text on how many models each task is."""
    lines = []
    for task in tasks:
        every = {config: experiment(config, task, draw) for config in configs(task)}
        models = {config: len(asked.conditions) * len(asked.seeds) for config, asked in every.items()}
        lines.append(f"{task}: {sum(models.values()):,} models")
        for config, asked in every.items():
            conditions = len(asked.conditions) // draw.worlds
            of_worlds = f"{conditions} conditions x {draw.worlds} worlds x {len(asked.seeds)} seeds"
            steps = f"of {asked.training.steps:,} steps"
            lines.append(f"  {config:<20} {of_worlds} = {models[config]:,} models {steps}")
    return lines


# --- what the worlds come to ------------------------------------------------------------------------------------------


def share(holds: int, worlds: int) -> Estimate:
    """Return the `Estimate` of a share of worlds, with Wilson's 95% interval."""
    return Estimate(holds / worlds if worlds else math.nan, *wilson_interval(holds, worlds))


def grow(knobs: Float[np.ndarray, "world knob"], holds: Bool[np.ndarray, " world"]) -> DecisionTreeClassifier:
    """Return the tree of the rule: from the knobs of a world to whether the claim holds there."""
    smallest = math.ceil(LEAF * len(holds))
    return DecisionTreeClassifier(max_depth=DEPTH, min_samples_leaf=smallest, random_state=0).fit(knobs, holds)


def cross_validate(knobs: Float[np.ndarray, "world knob"], holds: Bool[np.ndarray, " world"]) -> tuple[float, float]:
    """Return accuracy and balanced accuracy of trees on worlds that they were not grown on, means over repeats."""
    marks = []
    for repeat in range(REPEATS):
        foreseen = np.zeros_like(holds)
        for known, unknown in StratifiedKFold(FOLDS, shuffle=True, random_state=repeat).split(knobs, holds):
            foreseen[unknown] = grow(knobs[known], holds[known]).predict(knobs[unknown])
        marks.append((np.mean(foreseen == holds), balanced_accuracy_score(holds, foreseen)))
    accuracy, balanced = np.mean(marks, axis=0)
    return float(accuracy), float(balanced)


def chance_of(accuracy: float, knobs: Float[np.ndarray, "world knob"], holds: Bool[np.ndarray, " world"]) -> float:
    """Return the p value of an accuracy: how often permuted labels are foreseen as well, with the labels as they are.

    Args:
        accuracy: cross-validated.
        knobs: of every world.
        holds: whether the claim holds there.
    """
    random = np.random.default_rng(0)
    permuted = (cross_validate(knobs, random.permutation(holds))[0] for _ in range(PERMUTATIONS))
    return (1 + sum(other >= accuracy for other in permuted)) / (1 + PERMUTATIONS)


Bound = tuple[str, bool, float]  # knob, whether it is above, threshold


class Region(NamedTuple):
    """A box of worlds.

    Attributes:
        bounds: what its knobs keep to.
        foreseen: whether the tree says that the claim holds there.
        holds: number of worlds in which it does.
        worlds: number of worlds.
    """

    bounds: tuple[Bound, ...]
    foreseen: bool
    holds: int
    worlds: int


def regions(tree: DecisionTreeClassifier, names: Sequence[str], node: int = 0) -> list[Region]:
    """Return the boxes of a tree below a node; two that say the same are one.

    Args:
        tree: that was grown.
        names: of the knobs.
        node: 0 is the root.
    """
    grown = tree.tree_
    worlds = int(grown.n_node_samples[node])
    sizes = grown.value[node][0] * worlds  # of either kind; there are shares in `value`
    holds = round(float(sizes[list(tree.classes_).index(True)]))
    below, above = int(grown.children_left[node]), int(grown.children_right[node])
    if below < 0:
        return [Region((), 2 * holds > worlds, holds, worlds)]
    split = names[grown.feature[node]], float(grown.threshold[node])
    found = [
        region._replace(bounds=((split[0], side, split[1]), *region.bounds))
        for side, child in ((False, below), (True, above))
        for region in regions(tree, names, child)
    ]
    if len({region.foreseen for region in found}) == 1:
        return [Region((), found[0].foreseen, holds, worlds)]
    return found


def in_words(bounds: Iterable[Bound]) -> str:
    """Return what the knobs of a box keep to.

    >>> in_words([("preference", True, 0.00123456), ("depth", False, 2.5)])
    'preference > 0.0012 and depth <= 2.5'
    """
    return " and ".join(
        f"{name} {'>' if above else '<='} {setting(float(f'{value:.2g}'))}" for name, above, value in bounds
    )


def without_repeats(found: Sequence[Region]) -> list[Region]:
    """Return boxes of a tree in as few words, the shortest first: "A, or not A and B" is "A, or B"."""
    whole = [region.bounds[0] for region in found if len(region.bounds) == 1]
    implied = {(name, not above, value) for name, above, value in whole}
    shorter = [
        region._replace(bounds=tuple(bound for bound in region.bounds if bound not in implied)) for region in found
    ]
    return sorted(shorter, key=lambda region: len(region.bounds))


def told(found: Sequence[Region]) -> Json | None:
    """Return where a claim holds by the boxes of a tree, with numbers; None if the tree says the same everywhere."""
    inside, outside = ([region for region in found if region.foreseen is side] for side in (True, False))
    if not inside or not outside:
        return None
    counts = {
        name: {"holds": sum(region.holds for region in part), "worlds": sum(region.worlds for region in part)}
        for name, part in (("inside", inside), ("outside", outside))
    }
    return {"where": ", or ".join(in_words(region.bounds) for region in without_repeats(inside)), **counts}


def depends_on(drawn: dict[str, list[float]], text: str) -> Json:
    """Return by the rule above which knobs tell where a claim holds.

    Args:
        drawn: knob -> its value in each world.
        text: a letter per world.

    Returns:
        `majority`, the share of the larger kind; `accuracy`, `balanced_accuracy` and `p` as far as they were worked
        out; and `tree`, where the claim holds, or None where the rule tells nothing.
    """
    counts = np.array([kind not in UNDECIDED for kind in text], bool)
    holds = np.array([kind == "s" for kind in text], bool)[counts]
    knobs = np.array(list(drawn.values()), float).T[counts]
    kinds = np.bincount(holds, minlength=2)
    found: Json = {"majority": float(kinds.max() / len(holds)) if len(holds) else None}
    found |= dict.fromkeys(("accuracy", "balanced_accuracy", "p", "tree"))
    if kinds.min() < FOLDS:
        return found
    accuracy, balanced = cross_validate(knobs, holds)
    found |= {"accuracy": accuracy, "balanced_accuracy": balanced}
    if accuracy < found["majority"] + GAIN:
        return found
    found["p"] = chance_of(accuracy, knobs, holds)
    if found["p"] < LEVEL:
        found["tree"] = told(regions(grow(knobs, holds), list(drawn)))
    return found


def summarise(drawn: dict[str, list[float]], text: str) -> Json:
    """Return what a claim comes to over the worlds of a task.

    Args:
        drawn: knob -> its value in each world.
        text: a letter per world.
    """
    kinds = Counter(text)
    counted = len(text) - kinds[UNABLE]
    return {
        "worlds": len(text),
        "counted": counted,
        **{LETTERS[key]: kinds[key] for key in "sduc"},
        "share": estimate_json(share(kinds["s"], counted)),
        "share_of_decided": estimate_json(share(kinds["s"], counted - kinds["u"])),
        **depends_on(drawn, text),
    }


def judge(draw: Draw = DECIDING) -> Json:
    """Return what every claim comes to in every task that is stored, with the verdict in the chosen world."""
    chosen = {row["name"]: row["tasks"] for row in claims.table()}
    cells: Json = {name: {} for name in CLAIMS}
    for task in TASKS:
        if not draw.file(task).exists():
            continue
        for of_config in json.loads(draw.file(task).read_text())["configs"].values():
            for name, text in of_config["claims"].items():
                cell = summarise(of_config["drawn"], text)
                verdict = chosen[name].get(task, {"verdict": claims.NOT_RUN})["verdict"]
                cells[name][task] = cell | {"seeds": of_config["seeds"]["count"], "chosen": verdict}
                print("  ".join(line(name, task, cells[name][task])), flush=True)
    return {"claims": {name: by_task for name, by_task in cells.items() if by_task}}


def main(arguments: Sequence[str] | None = None) -> None:
    """Plan, train, or judge what is stored."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--look", type=Path, metavar="FOLDER", help="try a few worlds, and keep all in this folder")
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("plan").add_argument("tasks", nargs="*", choices=[*TASKS, []], metavar="TASK")
    training = commands.add_parser("train")
    training.add_argument("name", help="of a claim, of a config of claims, or all")
    training.add_argument("task", choices=[*TASKS])
    commands.add_parser("judge").add_argument("--redraw", action="store_true", help="only draw again what is stored")
    options = parser.parse_args(arguments)
    draw = look(options.look) if options.look else DECIDING
    if options.command == "plan":
        print("\n".join(plan(options.tasks or TASKS, draw)))
    elif options.command == "train":
        print(train_and_store(options.name, options.task, draw))
    else:
        stored = draw.figures / f"{NAME}.json"
        data = json.loads(stored.read_text()) if options.redraw else judge(draw)
        print(save(figure_of, data | words(data), draw.figures, NAME))
        print("\n".join("  ".join(row) for row in (HEADER, *rows(data))))


if __name__ == "__main__":
    main()
