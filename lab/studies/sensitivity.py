"""What every moment of training does: derivatives of outcomes with respect to the weight of a loss term in a segment.

A profile is an ordinary run: a regimen as it is and, for every segment, the same regimen with the weight of a term a
little higher and a little lower there, on shared seeds. Their difference over that of the weights is the derivative,
counted and true at that step, also where outcomes are bistable and differentiation through training gives nothing. For
comparison there is a push in each segment, as large as one would use. What comes before a segment is shared, so a
profile costs about half of what its conditions would by themselves.
"""

import json
import math
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from lab.results.outcomes import attribute, classify
from lab.results.summary import paired_counts
from lab.statistics import Estimate, contrast, draw_pair, ln_likelihood_ratio, ln_odds

QUANTITIES = {
    "base_rate": "P(A)",
    "pass_given_aligned": "P(T|A)",
    "pass_given_misaligned": "P(T|not A)",
    "likelihood_ratio": "ln LR",
    "posterior_odds": "ln o(A|T)",
}
KEPT = ("task", "proxy", "thresholds", "confidence", "stop_rejected")  # and no rule for stopping
STEP, PUSH = 0.01, 0.1  # of the weight with which a proxy is usually trained on


@dataclass(frozen=True)
class Moment:
    """What a weight does in one segment.

    Attributes:
        start, end: of the segment, as shares of training.
        derivative: quantity -> `Estimate` of its derivative with respect to the weight of the term in this segment;
            ratios and odds in natural logs.
        pushed: quantity -> `Estimate` of its change over the weight of a whole push in this segment; only if counted.
    """

    start: float
    end: float
    derivative: dict[str, Estimate]
    pushed: dict[str, Estimate]


class Change(NamedTuple):
    """By how much the weight of a term is changed: a small step up and down, and for comparison a whole push."""

    step: float
    push: float


def changes(task, terms, step=None, push=None):
    """Return term -> `Change`.

    Args:
        task: a `lab.tasks.Task`.
        terms: names of loss terms, or of knobs, which are changed as the losses see them in a segment (initial weights
            and scores go on seeing the condition's).
        step: of every term; by default a hundredth of the weight that its proxy suggests, of 1 where there is none. A
            knob has no default.
        push: the same, a tenth; of a knob ten steps.

    Raises:
        ValueError: there is no such term or knob, or a step or push that is missing or not a positive number.
    """
    found = {}
    for term in terms:
        if term in task.knobs:
            if step is None:
                raise ValueError(f"step: the knob {term} has no usual size; say by how much to change it")
        elif term not in task.terms:
            known = ", ".join((*task.terms, *task.knobs))
            raise ValueError(f"terms: {task.name} has no loss term or knob {term!r}; known: {known}")
        usual = next((proxy.push for proxy in task.proxies.values() if term in proxy.terms), 1.0)
        if term in task.knobs:
            usual = step / STEP
        found[term] = Change(STEP * usual if step is None else step, PUSH * usual if push is None else push)
        for name, value in found[term]._asdict().items():
            if not 0 < value < math.inf:
                raise ValueError(f"{name} must be a positive number, not {value:g}")
    return found


def config(experiment, condition, changed):
    """Return the text of the config of a profile.

    Args:
        experiment: a `lab.config.experiment.Experiment`.
        condition: the `lab.config.experiment.Condition` whose training is looked at.
        changed: term -> `Change`, as `changes` returns it.

    Raises:
        ValueError: a change takes a knob out of its range, or is lost where numbers are rounded to float32.
    """
    for term, own in changed.items():
        now = settings(condition)[:, place(experiment.task, term)]
        for name, change in own._asdict().items():
            trained = (now + change).astype(np.float32).astype(float) - now.astype(np.float32)
            if not np.allclose(trained, change, rtol=0.01, atol=0):
                raise ValueError(f"{name}: {change:g} is too small: {term} is {now.max():g} here, in float32")
        if term in experiment.task.knobs:
            knob = experiment.task.knobs[term]
            if now.min() - own.step < knob.low or now.max() + max(own) > knob.high:
                raise ValueError(
                    f"step: {term} is {now.min():g} to {now.max():g} here and would leave its range, {knob.low:g} to "
                    f"{knob.high:g}"
                )
    regimens = {"as-is": phases(experiment, condition)}
    for term, own in changed.items():
        for index in range(len(experiment.ends)):
            for name, change in (("up", own.step), ("down", -own.step), ("push", own.push)):
                table = settings(condition)
                table[index, place(experiment.task, term)] += change
                regimens[f"{name}-{term}-{index:03d}"] = phases(experiment, condition, table)
    question = f"What does the weight of a loss term do in each segment of {condition.name}?"
    head = around(experiment, condition, f"sensitivity-{experiment.name}", question)
    return json.dumps({**head, "baseline": "as-is", "regimens": regimens}, indent=1)


def around(experiment, condition, name, question):
    """Return what a config of regimens made from a condition says beside these: plain JSON values by key."""
    training, values, own = experiment.training, experiment.as_json(), condition.settings[0]
    return {
        "name": name[:64],
        "question": question,
        **{key: values[key] for key in KEPT if key in values},
        "knobs": condition.knobs,
        "seeds": values["seeds"],
        "training": {
            **values["training"],
            "segments": [end / training.steps for end in experiment.ends],
            "learning_rate": own.learning_rate,
            "final_learning_rate": own.final_learning_rate,
        },
    }


def settings(condition):
    """Return weights of a condition and then knobs as losses see them, shape (segments, terms + knobs)."""
    return np.array([(*own.weights, *own.training_knobs) for own in condition.settings])


def place(task, name):
    """Return the column of a loss term or knob in `settings`."""
    return [*task.terms, *task.knobs].index(name)


def phases(experiment, condition, values=None):
    """Return a condition's regimen as phases for a config; segments that are alike become one.

    Args:
        experiment: a `lab.config.experiment.Experiment`.
        condition: one of its `lab.config.experiment.Condition`s.
        values: of all weights and knobs, as `settings` returns them, in the place of its own.
    """
    from lab.tasks.settings import parts

    task, found, gates = experiment.task, [], {}
    values = settings(condition) if values is None else values
    for share, score, mark in condition.gates:
        gates.setdefault(round(share * experiment.training.steps), {})[score] = mark
    for end, own, row in zip(experiment.ends, condition.settings, values.tolist(), strict=True):
        given = dict(zip(task.terms, row[: len(task.terms)], strict=True))
        knobs = dict(zip(task.knobs, row[len(task.terms) :], strict=True))
        rates = dict(zip(parts(task), own.part_rates, strict=True)) if isinstance(own.part_rates, tuple) else {}
        phase = {
            "weights": {name: weight for name, weight in given.items() if weight != (name == "main")},
            "knobs": {name: value for name, value in knobs.items() if value != condition.knobs[name]},
            "rates": rates,
        }
        alike = found and not found[-1].get("gates") and all(found[-1][key] == value for key, value in phase.items())
        if alike:
            found.pop()
        found.append({"until": end / experiment.training.steps, **phase, "gates": gates.get(end, {})})
    return [{key: value for key, value in phase.items() if value != {}} for phase in found]


def derivative(first, second, joint, difference, confidence=0.95):
    """Return the derivative of every quantity between two regimens that differ in one number.

    Values are differences of plain estimates; limits are those of `lab.statistics.draws`, from the joint outcomes of
    shared seeds (`experiments/claims/sensitivity.py` measures the coverage).

    Args:
        first: `Counts` at the higher value of the number.
        second: `Counts` at the lower one.
        joint: joint counts of both on their shared seeds, as for `lab.statistics.compare`.
        difference: between the two values.
        confidence: of each interval.

    Returns:
        Quantity -> `Estimate`.
    """
    draws = draw_pair(first, second, joint)
    changes = {name: contrast(draws, of, of, confidence) for name, of in OF_SHARES.items()}
    return {name: Estimate(*(limit / difference for limit in change)) for name, change in changes.items()}


# quantity of `QUANTITIES` -> function of counts or shares of the four cells, which are the first axis
OF_SHARES = {
    "base_rate": lambda cells: (cells[0] + cells[1]) / sum(cells),
    "pass_given_aligned": lambda cells: cells[0] / (cells[0] + cells[1]),
    "pass_given_misaligned": lambda cells: cells[2] / (cells[2] + cells[3]),
    "likelihood_ratio": ln_likelihood_ratio,
    "posterior_odds": ln_odds,
}


def of_shares(cells):
    """Return every quantity of `QUANTITIES` from counts or shares of the four cells, which are the first axis."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return {name: of(cells) for name, of in OF_SHARES.items()}


def profile(results, changed, ends):
    """Return term -> the `Moment` of every segment, from the results of a run whose config `config` made.

    Args:
        results: what `lab.run` returned.
        changed: as given to `config`.
        ends: of the segments, as shares of training.
    """
    outcomes = classify(results)
    names = list(map(str, results.condition.values))
    confidence = attribute(results, "confidence")

    def between(first, second, difference):
        return derivative(*paired_counts(outcomes, names.index(first), names.index(second)), difference, confidence)

    edges = [0.0, *ends]
    return {
        term: [
            Moment(
                edges[index],
                edges[index + 1],
                between(f"up-{term}-{index:03d}", f"down-{term}-{index:03d}", 2 * own.step),
                between(f"push-{term}-{index:03d}", "as-is", own.push),
            )
            for index in range(len(edges) - 1)
        ]
        for term, own in changed.items()
    }


def per_percent(estimate: Estimate, start: float, end: float) -> Estimate:
    """Return what a change that lasts from one share of training to another comes to for each 1% of training."""
    percents = 100 * (end - start)
    return Estimate(*(limit / percents for limit in estimate))
