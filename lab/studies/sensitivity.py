"""What every moment of training does: derivatives of outcomes with respect to the weight of a loss term in a segment.

The counted way is an ordinary run: a regimen as it is and, for every segment, the same regimen with the weight of a
term a little higher and a little lower there, on shared seeds. Their difference over that of the weights is the
derivative, counted and true at that step, also where outcomes are bistable and differentiation through training gives
nothing. For comparison there is a push in each segment, as large as one would use. What comes before a segment is
shared, so all of it costs about half of what its conditions would by themselves. `lab.studies.estimators` has other
ways.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from jaxtyping import Float, Int

from lab import statistics
from lab.results import shards
from lab.results.outcomes import Results, attribute, classify
from lab.results.summary import paired_counts
from lab.statistics import Counts, Estimate, contrast, draw_pair, ln_likelihood_ratio, ln_odds
from lab.studies.regimens import column, config_head, find_condition, phases, values_by_segment
from lab.studies.study import About, StudyError, Train, read_config, train_here

if TYPE_CHECKING:
    from lab.config.experiment import Condition, Experiment
    from lab.tasks import Task

Shares = Float[np.ndarray, "4 ..."]  # counts or shares of the four cells

# quantity of `lab.statistics.QUANTITIES`, on its scale -> function of `Shares`
OF_SHARES: dict[str, Callable[[Shares], Float[np.ndarray, "..."]]] = {
    "base_rate": lambda shares: (shares[0] + shares[1]) / sum(shares),
    "pass_given_aligned": lambda shares: shares[0] / (shares[0] + shares[1]),
    "pass_given_misaligned": lambda shares: shares[2] / (shares[2] + shares[3]),
    "likelihood_ratio": ln_likelihood_ratio,
    "posterior_odds": ln_odds,
}
QUANTITIES = {name: statistics.QUANTITIES[name].scaled_symbol for name in OF_SHARES}
STEP, PUSH = 0.01, 0.1  # of the weight with which a proxy is usually trained on
LOST = 0.01  # share of a change that may be lost where weights are rounded to float32
AS_IS = "as-is"  # the regimen without any change

Estimator = Literal["counted", "evolution", "pathwise", "surrogate"]


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


@dataclass(frozen=True)
class Profile:
    """What the weights of some terms do at every moment of training.

    Attributes:
        about: the run of the counted way, with the number of seeds that the estimator took.
        condition: name of the condition that is looked at.
        estimator: the way it was estimated.
        quantities: quantity -> its heading.
        changes: term -> `Change`.
        moments: term -> the `Moment` of every segment.
        folder: of the run, or where one would be.
    """

    about: About
    condition: str
    estimator: Estimator
    quantities: dict[str, str]
    changes: dict[str, Change]
    moments: dict[str, list[Moment]]
    folder: Path


def changes(
    task: "Task", terms: Sequence[str], step: float | None = None, push: float | None = None
) -> dict[str, Change]:
    """Return term -> `Change`.

    Args:
        task: whose terms they are.
        terms: names of loss terms, or of knobs, which are changed as the losses see them in a segment (initial weights
            and scores go on seeing the condition's).
        step: of every term; by default a hundredth of the weight that its proxy suggests, of 1 where there is none. A
            knob has no default.
        push: the same, a tenth; of a knob ten steps.

    Raises:
        StudyError: there is no such term or knob, or a step or push that is missing or not a positive number.
    """
    change_of = {}
    for term in terms:
        if term in task.knobs:
            if step is None:
                raise StudyError(f"step: the knob {term} has no usual size; say by how much to change it")
            usual = step / STEP
        elif term in task.terms:
            usual = next((proxy.push for proxy in task.proxies.values() if term in proxy.terms), 1.0)
        else:
            known = ", ".join((*task.terms, *task.knobs))
            raise StudyError(f"terms: {task.name} has no loss term or knob {term!r}; known: {known}")
        change = Change(STEP * usual if step is None else step, PUSH * usual if push is None else push)
        for name, size in change._asdict().items():
            if not 0 < size < math.inf:
                raise StudyError(f"{name} must be a positive number, not {size:g}")
        change_of[term] = change
    return change_of


def regimen_names(term: str, segment: int) -> tuple[str, str, str]:
    """Return the names of the regimens in which a term is a step higher, a step lower and pushed in a segment."""
    up, down, push = (f"{side}-{term}-{segment:03d}" for side in ("up", "down", "push"))
    return up, down, push


def config(experiment: "Experiment", condition: "Condition", changed: dict[str, Change]) -> dict[str, Any]:
    """Return the values of the config of the counted way.

    Args:
        experiment: whose segments are the moments.
        condition: of the experiment, whose training is looked at.
        changed: term -> `Change`, as `changes` returns it.

    Raises:
        StudyError: a change takes a knob out of its range, or is lost where numbers are rounded to float32.
    """
    regimens = {AS_IS: phases(experiment, condition)}
    for term, change in changed.items():
        _check_change(experiment, condition, term, change)
        for segment in range(len(experiment.ends)):
            sizes = (change.step, -change.step, change.push)
            for name, size in zip(regimen_names(term, segment), sizes, strict=True):
                values = values_by_segment(condition)
                values[segment, column(experiment.task, term)] += size
                regimens[name] = phases(experiment, condition, values)
    question = f"What does the weight of a loss term do in each segment of {condition.name}?"
    head = config_head(experiment, condition, f"sensitivity-{experiment.name}", question)
    return {**head, "baseline": AS_IS, "regimens": regimens}


def _check_change(experiment: "Experiment", condition: "Condition", term: str, change: Change) -> None:
    """Raise a `StudyError` if a change is lost in float32 or takes a knob out of its range."""
    now = values_by_segment(condition)[:, column(experiment.task, term)]
    for name, size in change._asdict().items():
        trained = (now + size).astype(np.float32).astype(float) - now.astype(np.float32)
        if not np.allclose(trained, size, rtol=LOST, atol=0):
            raise StudyError(f"{name}: {size:g} is too small: {term} is {now.max():g} here, in float32")
    if term in experiment.task.knobs:
        knob = experiment.task.knobs[term]
        if now.min() - change.step < knob.low or now.max() + max(change) > knob.high:
            raise StudyError(
                f"step: {term} is {now.min():g} to {now.max():g} here and would leave its range, {knob.low:g} to "
                f"{knob.high:g}"
            )


def derivative(
    first: Counts, second: Counts, joint: Int[np.ndarray, "4 4"], difference: float, confidence: float = 0.95
) -> dict[str, Estimate]:
    """Return the derivative of every quantity of `QUANTITIES` between two regimens that differ in one number.

    Values are differences of plain estimates; limits are those of `lab.statistics.draws`, from the joint outcomes of
    shared seeds (`experiments/claims/sensitivity.py` measures the coverage).

    Args:
        first: counts at the higher value of the number.
        second: counts at the lower one.
        joint: joint counts of both on their shared seeds, as for `lab.statistics.compare`.
        difference: between the two values.
        confidence: of each interval.
    """
    draws = draw_pair(first, second, joint)
    contrasts = {name: contrast(draws, of, of, confidence) for name, of in OF_SHARES.items()}
    return {name: Estimate(*(limit / difference for limit in change)) for name, change in contrasts.items()}


def quantities(shares: Shares) -> dict[str, Float[np.ndarray, "..."]]:
    """Return every quantity of `QUANTITIES`."""
    with np.errstate(divide="ignore", invalid="ignore"):
        return {name: of(shares) for name, of in OF_SHARES.items()}


def read(results: Results, changed: dict[str, Change], ends: Sequence[float]) -> dict[str, list[Moment]]:
    """Return term -> the `Moment` of every segment, from the results of a run whose config `config` made.

    Args:
        results: what `lab.run` returned.
        changed: as given to `config`.
        ends: of the segments, as shares of training.
    """
    ended = classify(results)
    names = list(map(str, results.condition.values))
    confidence = attribute(results, "confidence")

    def between(first: str, second: str, difference: float) -> dict[str, Estimate]:
        return derivative(*paired_counts(ended, names.index(first), names.index(second)), difference, confidence)

    edges = [0.0, *ends]
    moments: dict[str, list[Moment]] = {}
    for term, change in changed.items():
        moments[term] = []
        for segment in range(len(ends)):
            up, down, push = regimen_names(term, segment)
            slopes, pushed = between(up, down, 2 * change.step), between(push, AS_IS, change.push)
            moments[term].append(Moment(edges[segment], edges[segment + 1], slopes, pushed))
    return moments


def run(
    experiment: "Experiment",
    condition: str | None = None,
    terms: Sequence[str] | Literal["all"] | None = None,
    *,
    step: float | None = None,
    push: float | None = None,
    estimator: Estimator = "counted",
    out: Path | None = None,
    train: Train = train_here,
    trust_code: bool = False,
) -> Profile:
    """Say what the weight of a loss term does to outcomes at every moment of training.

    Args:
        experiment: whose segments are the moments.
        condition: name of the one to look at; the first of the baseline by default.
        terms: loss terms or knobs, or all loss terms; by default the one that trains on the experiment's proxy.
        step: as for `changes`.
        push: as for `changes`.
        estimator: counted, or another of `lab.studies.estimators`.
        out: the run's folder; runs/NAME-DIGEST by default.
        train: what trains the run of the counted way.
        trust_code: run the Python file that the experiment names as its task.

    Raises:
        StudyError: no such condition or term, or a step or push that does not fit.
        Refused: differences contradict slopes through training.
    """
    looked_at = find_condition(experiment, condition)
    changed = changes(experiment.task, _names(experiment, terms), step, push)
    counted = read_config(config(experiment, looked_at, changed), trust_code)
    about = About.of_experiment(counted)
    if estimator == "counted":
        stored = train(counted, out)
        ends = [end / counted.training.steps for end in counted.ends]
        moments = read(shards.results(stored, last_only=True), changed, ends)
        return Profile(about, looked_at.name, estimator, QUANTITIES, changed, moments, stored.path)
    from lab.studies import estimators

    estimated = estimators.estimate_moments(estimator, experiment, looked_at, changed)
    return Profile(
        about=about._replace(seeds=estimated.seeds),
        condition=looked_at.name,
        estimator=estimator,
        quantities=estimated.quantities,
        changes=changed,
        moments=estimated.moments,
        folder=out or Path("runs") / f"{about.name}-{about.hash[:8]}-{estimator}",
    )


def _names(experiment: "Experiment", terms: Sequence[str] | Literal["all"] | None) -> list[str]:
    """Return the names of the terms that somebody asked for, each once."""
    if terms is None:
        return [experiment.task.proxies[experiment.config.proxy].term]
    return list(experiment.task.terms) if terms == "all" else list(dict.fromkeys(terms))


def per_percent(estimate: Estimate, start: float, end: float) -> Estimate:
    """Return what a change that lasts from one share of training to another comes to for each 1% of training."""
    percents = 100 * (end - start)
    return Estimate(*(limit / percents for limit in estimate))
