"""Claims: a sentence, a rule written before its run, and a verdict computed from stored counts every time it is asked.

A claim is a module of `experiments/claims/` with its name. Its docstring holds the sentence (first paragraph) and the
rule (the paragraph that begins with "Rule"); its `judge` applies the rule to one task's `Stored` counts. Its config is
`configs/claims/NAME.yaml`, with a part for each task; what was counted lies in `figures/claims/NAME.json`. A module may
also have

    CONFIGS                            the name of another config, which several claims then share
    study(experiment, folder, train)   what to do with a config instead of training it and counting (`counted`)
    shown(stored)                      the conditions that the figure shows; all by default
    draw(data), caption(data, ...)     a figure and words of its own instead of `lab.figures.claim_figure`
"""

import functools
import importlib
import inspect
import itertools
import json
import math
import sys
from pathlib import Path
from typing import NamedTuple

import numpy as np

from lab import figures, statistics
from lab.config.source import read_file, read_yaml, tasks_in
from lab.decision import budget_from_shares
from lab.results import outcomes, summary
from lab.results.store import publish
from lab.statistics import CELLS, Counts
from lab.studies.sensitivity import OF_SHARES
from lab.words import with_interval

ROOT = Path(__file__).resolve().parents[2]
FIGURES = ROOT / "figures/claims"
SUPPORTED, CONTRADICTED, DEPENDS, UNDECIDED = VERDICTS = ("supported", "contradicted", "depends", "undecided")
NOT_RUN = "not run"


class ClaimError(ValueError):
    """There is no such claim, or no experiments at all."""


class Verdict(NamedTuple):
    """What a rule says of one task.

    Attributes:
        verdict: one of `VERDICTS`.
        why: the numbers that decided, in words.
    """

    verdict: str
    why: str


class Stored:
    """Counts of one task as a claim's rule sees them: quantities of conditions and differences on shared seeds.

    Intervals of `rate` hold one by one. Those of `change` and `net` hold together at the config's confidence if the
    rule says how many it looks at (`of`).
    """

    def __init__(self, task, data):
        """`data` is what `counted` returned."""
        self.task, self.data = task, data
        self.names = list(data.get("order", data["conditions"]))

    def values(self, axis):
        """Return the values of an axis of the sweep, ascending."""
        return sorted(
            {own["coordinates"][axis] for own in self.data["conditions"].values() if axis in own["coordinates"]}
        )

    def coordinates(self, name):
        """Return axis -> value of a condition."""
        return self.data["conditions"][name]["coordinates"]

    def at(self, regimen, **where):
        """Return the name of the condition of a regimen at values of the sweep."""
        (name,) = (
            name
            for name, own in self.data["conditions"].items()
            if own["regimen"] == regimen and where.items() <= own["coordinates"].items()
        )
        return name

    def counts(self, name):
        """Return the `Counts` of a condition."""
        return Counts(*self.data["conditions"][name]["cells"])

    def rate(self, name, quantity, of=1):
        """Return the `Estimate` of a quantity of `lab.statistics.QUANTITIES`."""
        return statistics.estimate(self.counts(name), quantity, self._confidence(of))

    def change(self, first, second, quantity, of=1):
        """Return by how much a quantity of `lab.studies.sensitivity.QUANTITIES` is larger in the first condition."""
        own = OF_SHARES[quantity]
        return statistics.contrast(self._draws(first, second), own, own, self._confidence(of))

    def impact(self, first, second, of=1):
        """Return the `LogImpact` of the first condition over the second."""
        return statistics.compare(*self.pair(first, second), self._confidence(of))

    def difference(self, first, one, second, other, of=1):
        """Return the `Estimate` of a quantity of the first condition less that of the second, on shared seeds.

        Args:
            first: name of a condition.
            one: function of the shares of its four cells, arrays on the first axis.
            second: name of the other.
            other: the same for it.
            of: how many such intervals hold together.
        """
        return statistics.contrast(self._draws(first, second), one, other, self._confidence(of))

    # a rule looks at the same pairs for several quantities or budgets, and is short
    @functools.lru_cache(maxsize=96)  # noqa: B019
    def _draws(self, first, second):
        return statistics.draw_pair(*self.pair(first, second))

    def _confidence(self, of):
        return statistics.family_wise(self.data["confidence"], of)

    def pair(self, first, second):
        """Return the `Counts` of two conditions and their joint counts, as `lab.statistics.compare` takes them."""
        one, other = (self.names.index(name) for name in (first, second))
        joint = np.reshape(self.data["joints"][f"{min(one, other)},{max(one, other)}"], (4, 4))
        return self.counts(first), self.counts(second), joint if one <= other else joint.T


def decide(*signed):
    """Return supported if every estimate is above 0, contradicted if one is below, undecided otherwise."""
    if any(estimate.high < 0 for estimate in signed):
        return CONTRADICTED
    return SUPPORTED if all(estimate.low > 0 for estimate in signed) else UNDECIDED


def flipped(estimate):
    """Return the estimate of the negative."""
    return statistics.Estimate(-estimate.value, -estimate.high, -estimate.low)


def said(what, estimate):
    """Return a quantity with its interval in words."""
    return f"{what} {with_interval(estimate)}"


def overall(verdicts):
    """Return the verdict over tasks: theirs if they agree, depends if some support it and some contradict it."""
    seen = set(verdicts)
    if not seen or len(seen) == 1:
        return next(iter(seen), NOT_RUN)
    return DEPENDS if DEPENDS in seen or {SUPPORTED, CONTRADICTED} <= seen else UNDECIDED


def accepted(runs):
    """Return P(accepted is aligned) within so many runs, as a function of shares for `Stored.difference`."""
    return lambda shares: budget_from_shares(*shares[:3], runs).accepted_aligned


def counted(results, pairs=None, **marks):
    """Return the counts of every condition and the joint counts of pairs of them as plain JSON values.

    Args:
        results: what `lab.run` returned.
        pairs: of indices of conditions; all by default.
        marks: as for `lab.results.outcomes.classify`.
    """
    ended = outcomes.classify(outcomes.common(results), **marks)
    about = {
        str(name): {"regimen": str(regimen), "coordinates": {k: v for k, v in own.items() if math.isfinite(v)},
                    "incompetent": int(unable)}
        for name, (regimen, own), unable in zip(
            results.condition.values, summary.places(results), ended["incompetent"].values.sum(1), strict=True
        )
    }  # fmt: skip
    return tabulate(summary.cells(ended), about, outcomes.attribute(results, "confidence"), pairs)


def tabulate(cells, about, confidence, pairs=None):
    """Return counts and joint counts as plain JSON values.

    Args:
        cells: index into `CELLS` of every model, shape (conditions, seeds).
        about: name of each condition -> its regimen and coordinates, and what else to keep.
        confidence: of intervals.
        pairs: of indices of conditions; all by default.
    """
    cells = np.asarray(cells, int)
    pairs = itertools.combinations_with_replacement(range(len(cells)), 2) if pairs is None else pairs
    return {
        "confidence": confidence,
        "seeds": cells.shape[1],
        "order": list(about),  # which the keys of `joints` count in, whatever becomes of the order of `conditions`
        "conditions": {
            name: {**own, "cells": np.bincount(row, minlength=len(CELLS)).tolist()}
            for (name, own), row in zip(about.items(), cells, strict=True)
        },
        "joints": {
            f"{one},{other}": np.bincount(4 * cells[one] + cells[other], minlength=16).tolist() for one, other in pairs
        },
    }


@functools.cache
def names():
    """Return the names of all claims: modules of experiments/claims/ that have a `judge`. Raises `ClaimError`."""
    folder = ROOT / "experiments/claims"
    if not folder.is_dir():
        raise ClaimError(
            "claims are experiments of the project's own folder, which an installed package lacks: clone it"
        )
    return sorted(path.stem for path in folder.glob("*.py") if "\ndef judge(stored)" in path.read_text())


def module(name):
    """Return the module of a claim. Raises `ClaimError`."""
    if name not in names():
        raise ClaimError(f"no claim {name!r}; known: {', '.join(names())}")
    if str(ROOT) not in sys.path:
        sys.path.insert(0, str(ROOT))
    return importlib.import_module(f"experiments.claims.{name}")


def sentence(claim):
    """Return the claim of a module, its first paragraph, as one line."""
    return " ".join(inspect.getdoc(claim).split("\n\n")[0].split())


def rule(claim):
    """Return the rule of a module as one line."""
    return " ".join(next(part for part in inspect.getdoc(claim).split("\n\n") if part.startswith("Rule")).split())


def configs(name):
    """Return task -> path of the file that holds its config, in the order of that file."""
    path = ROOT / f"configs/claims/{getattr(module(name), 'CONFIGS', name)}.yaml"
    return dict.fromkeys(tasks_in(read_yaml(read_file(path), str(path))), path)


def run(name, train, seeds=None, first=None, runs=None, to=None, only=None, read=None):
    """Train what a claim is counted on, judge it and draw its figure.

    Args:
        name: of the claim.
        train: function of an experiment and a folder that trains it and returns a `lab.results.store.Run`.
        seeds: per condition at most, instead of the configs'.
        first: the first seed instead of the configs', for a replication.
        runs: folder of runs; runs/ by default.
        to: folder of what was counted and drawn; figures/claims/ by default.
        only: tasks to run; what is stored of the others is kept.
        read: function of a config's path and a task that returns the experiment; as `lab.config.experiment.load` does
            by default.

    Returns:
        The data of the figure, whose path is `to`/NAME.png.
    """
    from lab.config.experiment import load

    claim, paths, to = module(name), configs(name), Path(to or FIGURES)
    if unknown := [task for task in only or () if task not in paths]:
        raise ClaimError(f"{name} has no task {unknown[0]!r}; known: {', '.join(paths)}")
    study = getattr(claim, "study", _train_and_count)
    path = to / f"{name}.json"
    whole = seeds is None and first is None  # what is stored of other tasks is then on the configs' seeds too
    kept = json.loads(path.read_text())["tasks"] if only and whole and path.exists() else {}
    tasks = {}
    for task, config in paths.items():
        experiment = read(config, task) if read else load(config, task=task)
        if only and task not in only:
            if task in kept:
                tasks[task] = kept[task]
            continue
        own = experiment.seeds
        experiment = experiment.with_seeds(
            len(own) if seeds is None else min(seeds, len(own)), own[0] if first is None else first
        )
        folder = Path(runs or "runs") / experiment.folder_name
        data = study(experiment, folder, train)
        about = {"config": str(config.relative_to(ROOT)), "hash": experiment.hash, "first_seed": experiment.seeds[0]}
        tasks[task] = {**about, "baseline": experiment.baseline, **data}
    data = {"name": name, "claim": sentence(claim), "rule": rule(claim), "tasks": tasks}
    return redraw(name, data, to)


def stored():
    """Return the names of the claims whose counts are stored."""
    return [name for name in names() if (FIGURES / f"{name}.json").exists()] if (ROOT / "experiments").is_dir() else []


def redraw(name, data=None, to=None):
    """Judge what is stored again and draw the figure of a claim, its caption and a LaTeX table. Returns its data."""
    claim, to = module(name), Path(to or FIGURES)
    data = json.loads((FIGURES / f"{name}.json").read_text()) if data is None else data
    data |= {"claim": sentence(claim), "rule": rule(claim)}
    verdicts = judged(name, data)
    if hasattr(claim, "shown"):
        for task, own in data["tasks"].items():
            own["shown"] = claim.shown(Stored(task, own))
    data["caption"] = getattr(claim, "caption", caption)(data, verdicts)
    figures.save(getattr(claim, "draw", figures.claim_figure), data, to, name)
    publish(to / f"{name}.txt", (data["caption"] + "\n").encode())
    publish(to / f"{name}.tex", latex(verdicts).encode())
    return data


def latex(verdicts):
    """Return a table (booktabs) of verdicts by task with the numbers that decided them."""
    signs = {letter: f"\\{letter}" for letter in "%_&#${}"} | {"<": r"$<$", ">": r"$>$"}
    signs |= {"\\": r"\textbackslash{}", "~": r"\textasciitilde{}", "^": r"\textasciicircum{}"}

    def safe(text):
        return "".join(signs.get(letter, letter) for letter in text)

    rows = [f"{safe(task)} & {own.verdict} & {safe(own.why)} \\\\\n" for task, own in verdicts.items()]
    head = "\\begin{tabular}{llp{.65\\linewidth}}\n\\toprule\ntask & verdict & measured \\\\\n\\midrule\n"
    return head + "".join(rows) + "\\bottomrule\n\\end{tabular}\n"


def _train_and_count(experiment, folder, train):
    """What most claims do with a config."""
    return counted(outcomes.results(train(experiment, folder), last_only=True))


def judged(name, data):
    """Return task -> `Verdict` from stored data."""
    claim = module(name)
    return {task: claim.judge(Stored(task, own)) for task, own in data["tasks"].items()}


def caption(data, verdicts):
    """Return the claim, the verdict and what decided it, with every number."""
    own = " ".join(f"{task}: {verdict.verdict} ({verdict.why})." for task, verdict in verdicts.items())
    seeds = ", ".join(f"{row['seeds']:,} ({task})" for task, row in data["tasks"].items())
    return (
        f"Claim: {data['claim']} Verdict: {overall(v.verdict for v in verdicts.values())}. {own} {data['rule']} "
        f"Models per condition: {seeds}; 95% intervals; hollow: the interval holds no difference."
    )


def table(to=None):
    """Return a row for every claim: name, claim, verdict, task -> `Verdict`, from stored counts alone."""
    if to and not Path(to).is_dir():
        raise ClaimError(f"{to}: no such folder")
    rows = []
    for name in names():
        path = Path(to or FIGURES) / f"{name}.json"
        verdicts = judged(name, json.loads(path.read_text())) if path.exists() else {}
        rows.append(
            {
                "name": name,
                "claim": sentence(module(name)),
                "rule": rule(module(name)),
                "verdict": overall(own.verdict for own in verdicts.values()),
                "tasks": {task: own._asdict() for task, own in verdicts.items()},
            }
        )
    return rows
