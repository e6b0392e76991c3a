"""Advice: which use of a proxy is best for a budget of runs, from a card of three short populations and the law.

The card is an ordinary run: held out, a push on the proxy at the start, and one at 40% of training, each a tenth of
training long. `lab.studies.law` foresees from it what longer pushes do. Probabilities are those of the joint posterior
of the card's outcomes, whose populations share seeds (`lab.statistics.shared_posterior`); from counts alone, of each
population by itself under Jeffreys' prior. The law itself is taken as exact, and `experiments/studies/law.py` measures
how often what has probability p comes true.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from jaxtyping import Float, Int8

from lab.config.seeds import ADVICE
from lab.decision import accepted_aligned
from lab.results import shards
from lab.results.outcomes import ABLE, Results, attribute, classify, is_observed, share_between
from lab.results.summary import check_plain, counts
from lab.statistics import Counts, Estimate, shared_posterior
from lab.studies import law
from lab.studies.law import EARLY, LATE, PILOT, USES, Cells, Pilots, Scores
from lab.studies.regimens import find_condition
from lab.studies.study import StudyError, Train, push_weight, read_config, task_named, train_here
from lab.words import number, quantity_words

if TYPE_CHECKING:
    from lab.config.experiment import Experiment
    from lab.tasks import Task

BUDGETS = (1, 3, 10, 100)
REGIMENS = ("hold_out", "early", "late")  # of the card: the fields of `Pilots`
FEWEST, MOST = 64, 1024  # seeds per population: the card doubles them until the answer is clear
CLEAR = 0.9  # probability from which on no more seeds are trained
DRAWS = 4_000
NUMBERS = ("base_rate", "pass_given_aligned", "pass_given_misaligned")
LARGEST_SHIFT, SHIFTS = 5.0, 101  # nats by which a number is changed to see what would change the advice; of so many
FEW_DRAWS = 400  # of which those are asked that see what would change the advice
STUDIED_PROXY = "test"  # that of the studied worlds
FEW_MODELS = 32  # models of a population in the worlds of the smallest runs
TINY = 1e-12  # share below which a drawn one is not taken
LEAST = 0.01  # gain in P(accepted is aligned) below which holding out is simpler, and as good
STUDIED = files("lab.studies") / "studied.json"


@dataclass(frozen=True)
class Turn:
    """The change of one number that would change an advice.

    Attributes:
        number: in words.
        now: the number.
        then: where another use becomes the best.
        use: that one.
    """

    number: str
    now: float
    then: float
    use: str


@dataclass(frozen=True)
class Choice:
    """What is best for one budget.

    Attributes:
        use: "hold_out", "early" (a push for the first tenth), "late" (from 40% to the end) or "throughout". Training
            against the proxy is never foreseen to help, so it is none of them.
        probability: that this use is better than holding out; for "hold_out", that no other use gains `LEAST`.
        gain: in P(accepted is aligned) over holding out, an `Estimate`; for "hold_out", that of the best way to train.
        because: one sentence with the numbers that decide.
        turn: the smallest change of one number that would change the advice; None if none does. JSON calls it
            `would_change`.
    """

    use: str
    probability: float
    gain: Estimate
    because: str
    turn: Turn | None


@dataclass(frozen=True)
class Advice:
    """Which use of a proxy for which budget.

    Attributes:
        choices: budget -> `Choice`.
        card: "hold_out", "early" or "late" -> `Counts`.
        inside: whether worlds like this one were studied.
        outside: the numbers that lie where no world lay, in words.
        not_asked: questions of the card that this advice does not rest on.
        weight: of the pushes of the pilots, at which the uses are foreseen; None if only counts are known.
        folder: of the card's run, if there is one.
    """

    choices: dict[int, Choice]
    card: dict[str, Counts]
    inside: bool
    outside: tuple[str, ...]
    not_asked: tuple[str, ...]
    weight: float | None = None
    folder: Path | None = None


# --- its config ---------------------------------------------------------------------------------------------------


def config(
    named: str | dict[str, Any],
    task: "Task",
    proxy: str,
    seeds: int,
    weight: float | None = None,
    knobs: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Return the values of the config that an advice needs.

    Args:
        named: the value of `task` in the config, a name or a mapping of sizes.
        task: the task itself.
        proxy: name of one of its proxies.
        seeds: models per population.
        weight: of the proxy's loss term in the pilots; as for `pilots_weight`.
        knobs: knob -> value of the world.

    Raises:
        StudyError: a weight that trains against the proxy or not at all, or fewer than one seed.
    """
    asked, weight = task.proxies[proxy], pilots_weight(task, proxy, weight, seeds)
    push = {"weights": {asked.term: weight}}
    return {
        "name": f"advice-{task.name}-{proxy}".replace(".", "-"),
        "question": f"What is the proxy {proxy} of {task.name} best used for?",
        "task": named,
        "seeds": {"first": ADVICE.first, "count": seeds},
        "proxy": proxy,
        "knobs": dict(knobs or {}),
        "weights": dict(asked.alongside),
        "baseline": "hold_out",
        "regimens": {
            "hold_out": [{"until": 1}],
            "early": [{"until": EARLY}, {"lasts": PILOT, **push}, {"until": 1}],
            "late": [{"until": LATE}, {"lasts": PILOT, **push}, {"until": 1}],
        },
    }


def pilots_weight(task: "Task", proxy: str, weight: float | None, seeds: int) -> float:
    """Return the weight of the pilots: that of the studied worlds by default, or else what the proxy suggests.

    Args:
        task: which has the proxy.
        proxy: its name.
        weight: that somebody gave.
        seeds: models per population.

    Raises:
        StudyError: the weight trains against the proxy or not at all, or there is not one seed.
    """
    if weight is None and proxy == STUDIED_PROXY:
        weight = json.loads(STUDIED.read_text())["weights"].get(task.name)
    return push_weight(task, proxy, weight, seeds, "an advice")


# --- the advice ---------------------------------------------------------------------------------------------------


class Foreseen(NamedTuple):
    """Shares of the four cells of held-out models, and of those after each use, or draws of these shares."""

    before: Cells
    after: dict[str, Cells]

    def gains(self, runs: int) -> dict[str, Float[np.ndarray, "..."]]:
        """Return use -> by how much it changes P(accepted is aligned) with at most so many runs."""
        before = accepted_aligned(np.moveaxis(self.before, -1, 0), runs)
        return {use: accepted_aligned(np.moveaxis(cells, -1, 0), runs) - before for use, cells in self.after.items()}


def advise(
    card: Mapping[str, Counts],
    budgets: Sequence[int] = BUDGETS,
    confidence: float = 0.95,
    scores: Scores | None = None,
) -> Advice:
    """Return the `Advice` of a card.

    Args:
        card: "hold_out", "early" and "late" -> `Counts`: of models that never saw the proxy, of those pushed at the
            start for a tenth of training, and of those pushed as long at 40%.
        budgets: numbers of runs.
        confidence: of the intervals of gains.
        scores: how far above the marks the same models are; where outcomes are graded, counts are a poor guide.

    Raises:
        StudyError: a population is missing, or has no models; the confidence is no share; or the scores are not those
            of the models that were counted.
    """
    if not 0 < confidence < 1:
        raise StudyError(f"the confidence must lie between 0 and 1, not {confidence:g}")
    if missing := [name for name in REGIMENS if name not in card or not card[name].seeds]:
        raise StudyError(f"an advice needs the counts of {', '.join(REGIMENS)}; there are none of {missing[0]}")
    if scores is not None:
        _check_scores(card, scores)
    expected, drawn = foresee(card, scores)
    choices = {runs: _choice(expected, drawn, runs, confidence) for runs in budgets}
    outside = _outside(card)
    not_asked = ("Can SGD hack it though the model cannot tell a test?",)
    if scores is None:
        not_asked += ("How near to the mark of alignment are the models?",)
    return Advice(choices, dict(card), not outside, outside, not_asked)


def _check_scores(card: Mapping[str, Counts], scores: Scores) -> None:
    """Refuse scores that are not those of the models that were counted. Raises `StudyError`."""
    if not 0 <= float(scores.graded) <= 1:
        raise StudyError(f"scores: `graded` is a share of the models, not {float(scores.graded):g}")
    for name, heights in zip(REGIMENS, scores, strict=False):
        if np.isnan(heights).any():
            raise StudyError(f"scores of {name}: some are not numbers")
        if law.counted(law.kinds(heights)).tolist() != list(card[name].cells):
            raise StudyError(f"scores of {name}: as they lie above and below the marks, they give other counts")


def foresee(card: Mapping[str, Counts], scores: Scores | None = None) -> tuple[Foreseen, Foreseen]:
    """Return what the law foresees of each use: from the counts as they are, and in draws from their posterior.

    Args:
        card: as for `advise`.
        scores: as for `advise`.
    """
    pilots = Pilots(*(np.array(card[name].cells, float) for name in REGIMENS))
    by_scores: dict[str, Cells | None] = dict.fromkeys(USES)
    drawn_by_scores, graded = dict(by_scores), 0.0
    if scores is None:
        random = np.random.default_rng(0)
        drawn = Pilots(*(np.maximum(random.dirichlet(cells + law.HALF, DRAWS), TINY) for cells in pilots))
    else:
        graded = float(scores.graded)
        after = {use: law.kinds(law.moved(scores, push)) for use, push in USES.items()}
        of_pilots = [law.kinds(heights) for heights in scores[: len(REGIMENS)]]
        shares = posterior([*of_pilots, *after.values()])
        drawn = Pilots(*shares[: len(REGIMENS)])
        by_scores |= {use: law.counted(kinds) for use, kinds in after.items()}
        drawn_by_scores |= dict(zip(USES, shares[len(REGIMENS) :], strict=True))
    expected = {use: law.after(pilots, push, law.HALF, by_scores[use], graded) for use, push in USES.items()}
    of_draws = {use: law.after(drawn, push, 0.0, drawn_by_scores[use], graded) for use, push in USES.items()}
    return Foreseen(law.held_out(pilots), expected), Foreseen(drawn.hold_out, of_draws)


def posterior(kinds: Sequence[Int8[np.ndarray, " model"]], draws: int = DRAWS) -> list[Float[np.ndarray, "draw 4"]]:
    """Return draws of the shares of populations whose models share seeds (`lab.statistics.shared_posterior`).

    Args:
        kinds: the cell of every model, of each population.
        draws: how many.
    """
    shares = np.maximum(shared_posterior(np.array(kinds), draws), TINY)
    return list(np.moveaxis(shares, 1, 0))


def _best(means: Mapping[str, float]) -> str:
    """Return the use with the largest expected gain; holding out where none is above `LEAST`."""
    use = max(means, key=lambda name: means[name])
    return use if means[use] > LEAST else "hold_out"


def _means(drawn: Foreseen, runs: int) -> dict[str, float]:
    """Return the gain of each way to train on the proxy that is expected over the posterior."""
    return {use: float(np.mean(gains)) for use, gains in drawn.gains(runs).items()}


def _choice(expected: Foreseen, drawn: Foreseen, runs: int, confidence: float) -> Choice:
    """Return what is best for one budget."""
    means, of_use = _means(drawn, runs), drawn.gains(runs)
    use = _best(means)
    if use == "hold_out":
        shown = max(means, key=lambda name: means[name])
        probability = float(np.mean(np.max(list(of_use.values()), axis=0) <= LEAST))
    else:
        shown = use
        probability = float(np.mean(of_use[use] > 0))
    value = float(expected.gains(runs)[shown])
    low, high = np.quantile(of_use[shown], [(1 - confidence) / 2, (1 + confidence) / 2])
    gain = Estimate(value, min(float(low), value), max(float(high), value))
    return Choice(use, probability, gain, _because(expected, shown, runs), _turn(drawn, use, runs))


def _because(expected: Foreseen, shown: str, runs: int) -> str:
    """Return in one sentence what decides: P(A) for a single run, else what base rate and test gain and lose."""
    before, trained = expected.before, expected.after[shown]
    words = {"early": "a push at the start", "late": "a push from 40% on", "throughout": "training on it throughout"}
    if runs == 1:
        change = f"from {before[0] + before[1]:.2f} to {trained[0] + trained[1]:.2f}"
        return f"with one run only P(A) counts, and {words[shown]} is foreseen to take it {change}"
    accepted = [float(accepted_aligned(cells[:, None], runs)[0]) for cells in (before, trained)]
    base, test = (float(part) for part in law.parts(before, trained))
    return (
        f"{words[shown]} is foreseen to change ln o(A) by {base:+.1f} and ln LR by {test:+.1f}; with {runs} runs that "
        f"takes P(accepted is aligned) from {accepted[0]:.2f} to {accepted[1]:.2f}"
    )


def _turn(drawn: Foreseen, use: str, runs: int) -> Turn | None:
    """Return the smallest change, in nats, of one of the held-out numbers that would change the advice.

    What the pushes add to the three numbers stays as it is.
    """
    symbols = ("P(A)", "P(T|A)", "P(T|not A)")
    before = law.log_odds(drawn.before[:FEW_DRAWS], 0.0)
    after = {name: law.log_odds(np.maximum(cells[:FEW_DRAWS], TINY), 0.0) for name, cells in drawn.after.items()}
    for size in np.linspace(0, LARGEST_SHIFT, SHIFTS)[1:]:
        for index, symbol in enumerate(symbols):
            for shift in (size, -size):
                by = shift * np.eye(3)[index]
                moved = Foreseen(law.shares(before + by), {name: law.shares(odds + by) for name, odds in after.items()})
                other = _best(_means(moved, runs))
                if other != use:
                    now, then = (float(np.mean(law.probability(odds[:, index]))) for odds in (before, before + by))
                    return Turn(f"{symbol} held out", now, then, other)
    return None


def _outside(card: Mapping[str, Counts]) -> tuple[str, ...]:
    """Return which numbers of a card lie where those of no studied world lay, in words."""
    studied = json.loads(STUDIED.read_text())["ranges"]
    pilots = Pilots(*(np.array(card[name].cells, float) for name in REGIMENS))
    before = law.log_odds(pilots.hold_out)
    numbers = {"hold_out": before}
    numbers |= {name: law.log_odds(getattr(pilots, name)) - before for name in REGIMENS[1:]}
    words = []
    for name, odds in numbers.items():
        for column, (quantity, value) in enumerate(zip(NUMBERS, odds, strict=True)):
            low, high = studied[name][quantity]
            empty = [min(_cells_behind(cells, column)) == 0 for cells in (pilots.hold_out, getattr(pilots, name))]
            if not any(empty) and not low <= value <= high:  # with an empty cell it only says how many models there are
                what = f"the {'logit' if column else 'log odds'} of {quantity_words(quantity)}"
                what = what if name == "hold_out" else f"what the {name} pilot adds to {what}"
                words.append(f"{what}: {value:+.1f}; studied were {low:+.1f} to {high:+.1f}")
    if (fewest := min(card[name].seeds for name in REGIMENS)) < FEW_MODELS:
        words.append(f"a population has {fewest} models; studied were {FEW_MODELS} and more")
    for name in REGIMENS:
        unable = (card[name].incompetent + card[name].diverged) / card[name].seeds
        if unable > 1 - ABLE:
            words.append(f"{number(100 * unable, 2)}% of the models of {name} cannot do the job")
    for kind in ("aligned", "misaligned"):
        if not any(getattr(card[name], kind) for name in REGIMENS):
            words.append(f"no model of the three populations is {kind}, so the pilots show no way there")
    return tuple(words)


def _cells_behind(cells: Float[np.ndarray, "4"], column: int) -> tuple[float, float]:
    """Return the two counts whose ratio one of the three numbers of a population is."""
    aligned_pass, aligned_fail, misaligned_pass, misaligned_fail = cells.tolist()
    return (
        (aligned_pass + aligned_fail, misaligned_pass + misaligned_fail),
        (aligned_pass, aligned_fail),
        (misaligned_pass, misaligned_fail),
    )[column]


def pilot_weight(experiment: "Experiment", regimens: Mapping[str, str]) -> float:
    """Return the weight of the pushes of a run's pilots.

    Args:
        experiment: that the run trained.
        regimens: "hold_out", "early" and "late" -> the name of the condition that is this.

    Raises:
        StudyError: a condition is not that pilot, or the two push with unlike weights.
    """
    task, asked = experiment.task, experiment.task.proxies[experiment.config.proxy]
    columns = [list(task.terms).index(term) for term in asked.terms]
    starts = {"hold_out": None, "early": EARLY, "late": LATE}
    weights = {}
    for name, start in starts.items():
        condition = find_condition(experiment, regimens[name])
        if condition.gates:
            raise StudyError(f"{condition.name} has gates, and an advice is about models that nothing rejected")
        found = {
            (round(end / experiment.training.steps, 9), segment.weights[column])
            for end, segment in zip(experiment.ends, condition.settings, strict=True)
            for column in columns
            if segment.weights[column]
        }
        ends = {end for end, _ in found}
        wanted = {
            round(end / experiment.training.steps, 9)
            for end in experiment.ends
            if start is not None and start < round(end / experiment.training.steps, 9) <= round(start + PILOT, 9)
        }
        pushes = {weight for _, weight in found}
        what = "never trains on the proxy" if start is None else f"trains on it from {start:.0%} for {PILOT:.0%}"
        fits = ends == wanted and (start is None or max(wanted) == round(start + PILOT, 9))
        if not fits or len(pushes) != (start is not None) or any(weight < 0 for weight in pushes):
            raise StudyError(f"{condition.name} is no pilot: {name} is a condition that {what}, at one weight above 0")
        weights[name] = max(pushes, default=0.0)
    if weights["early"] != weights["late"]:
        raise StudyError(f"the pilots push with unlike weights, {weights['early']:g} and {weights['late']:g}")
    return weights["early"]


def read(results: Results, regimens: Mapping[str, str] | None = None, budgets: Sequence[int] = BUDGETS) -> Advice:
    """Return the `Advice` of a run.

    Args:
        results: what `lab.run` returned.
        regimens: "hold_out", "early" and "late" -> the name of the condition that is this; the same by default.
        budgets: numbers of runs.

    Raises:
        StudyError: gates have stopped runs.
    """
    names = {name: name for name in REGIMENS} | dict(regimens or {})
    card = {name: counts(results, names[name]) for name in REGIMENS}
    if stopped := [names[name] for name in REGIMENS if card[name].unjudged]:
        raise StudyError(f"gates have stopped runs of {stopped[0]}, and nobody knows what they would have become")
    if is_observed(results):  # their scores have scales of their own, so counts have to do
        check_plain(results, "an advice")
        return advise(card, budgets, attribute(results, "confidence"))
    return advise(card, budgets, attribute(results, "confidence"), scores(results, [names[name] for name in REGIMENS]))


def scores(results: Results, conditions: Sequence[str]) -> Scores:
    """Return how far above the marks the models of a card are, of the seeds that are trained in all three populations.

    Args:
        results: what `lab.run` returned.
        conditions: names of those that are held out, pushed early and pushed late.
    """
    ended = classify(results).sel(condition=list(conditions))
    everywhere = ended["trained"].values.all(0)
    last = results.isel(checkpoint=-1).sel(condition=list(conditions))
    marks, proxy = attribute(results, "thresholds"), attribute(results, "proxy")
    reached = {"alignment": ended["aligned"].values, proxy: ended["passes"].values}
    hold_out, early, late = np.stack(
        [
            law.heights(last[score].values[:, everywhere], marks[score], passes[:, everywhere])
            for score, passes in reached.items()
        ],
        -1,
    )
    return Scores(hold_out, early, late, np.array(share_between(last["alignment"].values[:, everywhere])))


def run(
    task: str,
    proxy: str = "test",
    *,
    seeds: int | None = None,
    weight: float | None = None,
    settings: Mapping[str, Any] | None = None,
    budgets: Sequence[int] = BUDGETS,
    out: Path | None = None,
    train: Train = train_here,
    trust_code: bool = False,
) -> Advice:
    """Measure the card of a proxy with as few seeds as the answer needs, and say what the proxy is best used for.

    Args:
        task: its name, or a Python file that defines one.
        proxy: one of its proxies.
        seeds: models per population; by default 64, doubled until every advice has a probability of .9 or there are
            1,024.
        weight: of the pilots; as for `pilots_weight`.
        settings: knob or size of the task -> value.
        budgets: numbers of runs.
        out: the card's folder; runs/advice-TASK-PROXY-DIGEST by default.
        train: what trains its run.
        trust_code: run the Python file that is given as the task.

    Raises:
        StudyError: no such task, proxy, knob or size, a number out of range, or a file that does not define a task.
    """
    kind, named, knobs = task_named(task, settings, trust_code)
    if proxy not in kind.proxies:
        raise StudyError(f"{kind.name} has no proxy {proxy!r}; known: {', '.join(kind.proxies)}")
    count = FEWEST if seeds is None else seeds
    while True:
        experiment = read_config(config(named, kind(), proxy, count, weight, knobs), trust_code)
        stored = train(experiment, out)
        found = read(shards.results(stored, last_only=True), budgets=budgets)
        clear = all(choice.probability >= CLEAR for choice in found.choices.values())
        if clear or seeds is not None or count >= MOST:
            pushed = pilots_weight(kind(), proxy, weight, count)
            return replace(found, folder=stored.path, weight=pushed)
        count *= 2
