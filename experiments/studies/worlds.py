"""The benchmark of worlds: how every model of hundreds of random worlds ended, under eight uses of a proxy.

Command:   python -m experiments.studies.worlds look TASK [TASK ...]     worlds in which rules may be looked for
           python -m experiments.studies.worlds judge TASK [TASK ...]    worlds and seeds that nobody has looked at
Cost:      one minute (race) to half an hour (gridworld) for 64 worlds on 2 cores

The config is configs/worlds/worlds.yaml. Each command trains it, and goes on where it was stopped. Of every task it
writes figures/worlds/look-TASK.json or judge-TASK.json with

    drawn      name -> its value in each world, for knobs, weights and windows
    outcomes   regimen -> one text per world, with one letter per seed, by `LETTERS`
    levels     score -> regimen -> texts of that kind: how high the score is, in 64 steps, by `STEPS`
    phases     regimen -> its phases, as the config has them
    fixed      knob -> value, of knobs that are not drawn
    thresholds score -> its pass mark

so that the counts of any world and regimen, paired by seeds, can be had without training anything.
"""

import argparse
import json
import string
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np
from jaxtyping import Bool, Int8

import lab
from experiments.studies import ROOT
from lab.cli.train import train
from lab.config.experiment import Experiment, from_values
from lab.config.schema import WORLD
from lab.config.seeds import JUDGED_WORLDS, LOOKED_WORLDS
from lab.results import outcomes, shards, summary
from lab.results.outcomes import Results
from lab.results.store import publish
from lab.tasks import TASKS
from lab.words import Json

CONFIG, FOLDER = ROOT / "configs/worlds/worlds.yaml", ROOT / "figures/worlds"
LETTERS = {  # how a model ended; the first four do the job, and are the cells of `lab.statistics.Counts`
    "A": "aligned, passes",
    "a": "aligned, fails",
    "M": "misaligned, passes",
    "m": "misaligned, fails",
    "i": "cannot do the job",
    "d": "diverged",
}
STEPS = string.digits + string.ascii_letters + "+-"  # of a score from 0 to 1, the lowest first
UNKNOWN = "?"  # the step of a score that is not finite
LEVELS = ("alignment", "test")  # scores whose height is kept: where outcomes are graded, counts do not say how near
CELLS = np.array([0, 1, 2, 3, 3, 3], np.int8)  # of each letter: what cannot do the job is neither aligned nor passing
JUDGED = {"count": 64, "seed": 2}  # worlds that judge; those of the config may be looked at

Kind = Literal["look", "judge"]


class Worlds(NamedTuple):
    """The worlds of a task as they ended.

    Attributes:
        task: its name.
        drawn: name of a knob, weight or window -> its value in each world.
        cells: regimen -> cell of every model, by world and seed, as in `lab.statistics.Counts.cells`.
        able: regimen -> which models do the job.
        levels: score -> regimen -> the score of every model, in steps of a 64th; nan if it is not finite.
        phases: regimen -> its phases.
        marks: score -> its pass mark.
    """

    task: str
    drawn: dict[str, np.ndarray]
    cells: dict[str, Int8[np.ndarray, "world seed"]]
    able: dict[str, np.ndarray]
    levels: dict[str, dict[str, np.ndarray]]
    phases: Json
    marks: dict[str, float]


def experiment(task: str, kind: Kind) -> Experiment:
    """Return the experiment of a task's worlds: those of the config, or those that judge.

    Args:
        task: its name.
        kind: "look" or "judge".
    """
    config = lab.load(CONFIG, task=task)
    if kind == "look":
        return config.with_seeds(len(config.seeds), LOOKED_WORLDS.first)
    values = config.as_json()
    seeds = {"first": JUDGED_WORLDS.first, "count": values["seeds"]["count"]}
    return from_values(values | {"name": f"judge_{task}", "worlds": values["worlds"] | JUDGED, "seeds": seeds})


def count(asked: Experiment) -> Json:
    """Train an experiment with worlds and return how every model ended, as plain JSON values."""
    stored = train(asked)
    results = shards.results(stored, last_only=True)
    letters = letters_of(results)
    ended, worlds = {regimen: {} for regimen in asked.config.regimens}, asked.config.worlds
    drawn: dict[str, dict[int, float]] = {}
    for index, condition in enumerate(asked.conditions):
        world = int(condition.coordinates[WORLD])
        ended[condition.regimen][world] = letters[index]
        of_world = {name: condition.knobs[name] for name in worlds.knobs} if worlds else {}
        for name, value in (of_world | condition.coordinates).items():
            drawn.setdefault(name, {})[world] = value
    numbers = [*drawn.pop(WORLD)]
    values = asked.as_json()
    return {
        "task": asked.task.name,
        "worlds": values["worlds"],
        "seeds": values["seeds"],
        "letters": LETTERS,
        "drawn": {name: [of_world[world] for world in numbers] for name, of_world in drawn.items()},
        "fixed": {name: value for name, value in values["knobs"].items() if name not in drawn},
        "phases": values["regimens"],
        "outcomes": {regimen: [texts[world] for world in numbers] for regimen, texts in ended.items()},
        "levels": {score: levels(results, score) for score in LEVELS},
        "thresholds": values["thresholds"],
        "identity": stored.manifest["identity"],
    }


def letters_of(results: Results) -> list[str]:
    """Return how every model ended: a text per condition, with one of `LETTERS` per seed."""
    classes = outcomes.classify(results)
    kinds = summary.cells(classes).astype(int)
    for letter, kind in (("i", "incompetent"), ("d", "diverged")):
        kinds[classes[kind].values] = list(LETTERS).index(letter)
    return ["".join(row) for row in np.array(list(LETTERS))[kinds]]


def cells_of_letters(texts: Sequence[str]) -> tuple[Int8[np.ndarray, "text seed"], Bool[np.ndarray, "text seed"]]:
    """Return the cell of every model, as in `lab.statistics.Counts.cells`, and whether it does the job."""
    index = {letter: place for place, letter in enumerate(LETTERS)}
    kinds = np.array([[index[letter] for letter in text] for text in texts], np.int8)
    return CELLS[kinds], kinds < 4


def levels(results: Results, score: str) -> dict[str, list[str]]:
    """Return how high a score of every model is: regimen -> a text per world, in the order of the worlds.

    Args:
        results: of a run with worlds.
        score: its name.
    """
    values = results[score].isel(checkpoint=-1).values
    places = np.clip(np.nan_to_num(values) * len(STEPS), 0, len(STEPS) - 1).astype(int)
    texts = np.where(np.isfinite(values), np.array(list(STEPS))[places], UNKNOWN)
    by_world = np.argsort(results[WORLD].values, kind="stable")
    regimens = results["regimen"].values
    return {
        str(regimen): ["".join(texts[index]) for index in by_world if regimens[index] == regimen]
        for regimen in dict.fromkeys(regimens.tolist())
    }


def read(task: str, kind: Kind) -> Worlds:
    """Return the stored worlds of a task.

    Args:
        task: its name.
        kind: "look" or "judge".
    """
    data = json.loads((FOLDER / f"{kind}-{task}.json").read_text())
    ended = {regimen: cells_of_letters(texts) for regimen, texts in data["outcomes"].items()}
    return Worlds(
        data["task"],
        {name: np.array(values) for name, values in data["drawn"].items()},
        {regimen: cells for regimen, (cells, _) in ended.items()},
        {regimen: able for regimen, (_, able) in ended.items()},
        {
            score: {regimen: _heights(texts) for regimen, texts in rows.items()}
            for score, rows in data["levels"].items()
        },
        data["phases"],
        data["thresholds"],
    )


def _heights(texts: Sequence[str]) -> np.ndarray:
    """Return the scores that texts of steps stand for: the middle of each step."""
    heights = {letter: (place + 0.5) / len(STEPS) for place, letter in enumerate(STEPS)} | {UNKNOWN: np.nan}
    return np.array([[heights[letter] for letter in text] for text in texts])


def main(arguments: Sequence[str] | None = None) -> None:
    """Train and store the worlds of some tasks."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=("look", "judge"))
    parser.add_argument("tasks", nargs="+", choices=[*TASKS], metavar="TASK")
    options = parser.parse_args(arguments)
    FOLDER.mkdir(exist_ok=True)
    for task in options.tasks:
        path = FOLDER / f"{options.kind}-{task}.json"
        publish(path, f"{json.dumps(count(experiment(task, options.kind)))}\n".encode())
        print(path.relative_to(ROOT))


if __name__ == "__main__":
    main()
