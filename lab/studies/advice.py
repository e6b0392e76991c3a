"""Advice: which use of a proxy is best for a budget of runs, from a card of three short populations and the law.

The card is an ordinary run: held out, a push on the proxy at the start, and one at 40% of training, each a tenth of
training long. `lab.studies.law` foresees from it what longer pushes do. Probabilities are those of the posterior of the
card's counts under Jeffreys' prior; the law itself is taken as exact, and `experiments/studies/law.py` measures how
often what has probability p comes true.
"""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from lab.config.seeds import ADVICE
from lab.decision import accepted_aligned
from lab.results import shards
from lab.results.outcomes import Results, are_graded, attribute
from lab.results.summary import counts
from lab.statistics import Counts, Estimate
from lab.studies import law
from lab.studies.law import EARLY, LATE, PILOT, USES, Pilots
from lab.studies.study import StudyError, Train, read_config, task_named, train_here
from lab.words import number

if TYPE_CHECKING:
    from lab.config.experiment import Experiment  # noqa: F401, which pdoc needs to read `Train`
    from lab.tasks import Task

BUDGETS = (1, 3, 10, 100)
REGIMENS = ("hold_out", "early", "late")  # of the card: the fields of `Pilots`
FEWEST, MOST = 64, 1024  # seeds per population: the card doubles them until the answer is clear
CLEAR = 0.9  # probability from which on no more seeds are trained
DRAWS = 4_000
NUMBERS = ("base_rate", "pass_given_aligned", "pass_given_misaligned")
LARGEST_SHIFT, SHIFTS = 5.0, 101  # nats by which a number is changed to see what would change the advice; of so many
TINY = 1e-12  # share below which a drawn one is not taken
ABLE = 0.95  # least share of models that do the job
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
        use: "hold_out", "early", "late", "throughout" or "anti".
        probability: that this use is better than holding out; for "hold_out", that no other use is.
        gain: in P(accepted is aligned) over holding out, an `Estimate`; for "hold_out", that of the best way to train.
        because: one sentence with the numbers that decide.
        turn: the smallest change of one number that would change the advice; None if none does.
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
        folder: of the card's run, if there is one.
    """

    choices: dict[int, Choice]
    card: dict[str, Counts]
    inside: bool
    outside: tuple[str, ...]
    not_asked: tuple[str, ...]
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
        weight: of the proxy's loss term in the pilots; what the proxy suggests by default.
        knobs: knob -> value of the world.

    Raises:
        StudyError: a weight that trains against the proxy or not at all, or fewer than one seed.
    """
    asked = task.proxies[proxy]
    weight = asked.push if weight is None else weight
    if not 0 < weight < math.inf:
        raise StudyError("the weight must be a positive number: the pilots of an advice train on the proxy")
    if seeds < 1:
        raise StudyError("an advice needs at least 1 seed")
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


# --- the advice ---------------------------------------------------------------------------------------------------


def advise(
    card: Mapping[str, Counts], budgets: Sequence[int] = BUDGETS, confidence: float = 0.95, graded: bool = False
) -> Advice:
    """Return the `Advice` of a card.

    Args:
        card: "hold_out", "early" and "late" -> `Counts`: of models that never saw the proxy, of those pushed at the
            start for a tenth of training, and of those pushed as long at 40%.
        budgets: numbers of runs.
        confidence: of the intervals of gains.
        graded: whether alignment is graded (`lab.results.outcomes.are_graded`), where the law is known to fail.

    Raises:
        StudyError: a population is missing, or has no models.
    """
    if missing := [name for name in REGIMENS if name not in card or not card[name].seeds]:
        raise StudyError(f"an advice needs the counts of {', '.join(REGIMENS)}; there are none of {missing[0]}")
    pilots = Pilots(*(np.array(card[name].cells, float) for name in REGIMENS))
    random = np.random.default_rng(0)
    drawn = Pilots(*(posterior(cells, random) for cells in pilots))
    choices = {runs: _choice(pilots, drawn, runs, confidence) for runs in budgets}
    outside = _outside(pilots, card, graded)
    not_asked = ("Can SGD hack it though the model cannot tell a test?",)
    return Advice(choices, dict(card), not outside, outside, not_asked)


def posterior(
    cells: Float[np.ndarray, "4"], random: np.random.Generator, draws: int = DRAWS
) -> Float[np.ndarray, "draw 4"]:
    """Return draws of the shares of one population from their posterior under Jeffreys' prior.

    Args:
        cells: counts.
        random: draws them.
        draws: how many.
    """
    return np.maximum(random.dirichlet(cells + law.HALF, draws), TINY)


def _best(pilots: Pilots, runs: int) -> str:
    """Return the use with the largest gain; holding out where none has any."""
    gains = {use: float(law.gain(pilots, push, runs)) for use, push in USES.items()}
    use = max(gains, key=lambda name: gains[name])
    return use if gains[use] > 0 else "hold_out"


def _choice(pilots: Pilots, drawn: Pilots, runs: int, confidence: float) -> Choice:
    """Return what is best for one budget."""
    use = _best(pilots, runs)
    of_use = {name: law.gain(drawn, push, runs, added=0.0) for name, push in USES.items()}
    if use == "hold_out":
        trains = [name for name, push in USES.items() if push.weight > 0]
        shown = max(trains, key=lambda name: float(law.gain(pilots, USES[name], runs)))
        probability = float(np.mean(np.max(list(of_use.values()), axis=0) <= 0))
    else:
        shown = use
        probability = float(np.mean(of_use[use] > 0))
    value = float(law.gain(pilots, USES[shown], runs))
    low, high = np.quantile(of_use[shown], [(1 - confidence) / 2, (1 + confidence) / 2])
    gain = Estimate(value, min(float(low), value), max(float(high), value))
    return Choice(use, probability, gain, _because(pilots, use, shown, runs), _turn(pilots, use, runs))


def _because(pilots: Pilots, use: str, shown: str, runs: int) -> str:
    """Return in one sentence what decides: P(A) for a single run, else what base rate and test gain and lose."""
    before, trained = law.held_out(pilots), law.after(pilots, USES[shown])
    aligned = [float(cells[0] + cells[1]) for cells in (before, trained)]
    accepted = [float(accepted_aligned(cells[:, None], runs)[0]) for cells in (before, trained)]
    base, test = (float(part) for part in law.parts(pilots, USES[shown]))
    words = {"early": "a push at the start", "late": "a push from 40% on", "throughout": "training on it throughout"}
    what = words.get(shown, "training against it")
    if runs == 1:
        change = f"from {aligned[0]:.2f} to {aligned[1]:.2f}"
        return f"with one run only P(A) counts, and {what} is foreseen to take it {change}"
    verb = "outweighs" if use != "hold_out" else "does not outweigh"
    return (
        f"{what} is foreseen to change ln o(A) by {base:+.1f} and ln LR by {test:+.1f}; with {runs} runs the first "
        f"{verb} the second: P(accepted is aligned) {accepted[0]:.2f} held out, {accepted[1]:.2f} so"
    )


def _turn(pilots: Pilots, use: str, runs: int) -> Turn | None:
    """Return the smallest change, in nats, of one of the held-out numbers that would change the advice."""
    symbols = ("P(A)", "P(T|A)", "P(T|not A)")
    before = law.log_odds(pilots.hold_out)
    effects = [law.log_odds(pilot) - before for pilot in (pilots.early, pilots.late)]
    for size in np.linspace(0, LARGEST_SHIFT, SHIFTS)[1:]:
        for index, symbol in enumerate(symbols):
            for shift in (size, -size):
                moved = before + shift * np.eye(3)[index]
                changed = Pilots(*(law.shares(moved + effect) for effect in (np.zeros(3), *effects)))
                other = _best(_as_counts(changed), runs)
                if other != use:
                    now, then = (float(1 / (1 + np.exp(-odds[index]))) for odds in (before, moved))
                    return Turn(f"{symbol} held out", now, then, other)
    return None


def _as_counts(pilots: Pilots) -> Pilots:
    """Return shares as so many models that what is added to every cell does not count."""
    return Pilots(*(cells * 1e9 for cells in pilots))


def _outside(pilots: Pilots, card: Mapping[str, Counts], graded: bool) -> tuple[str, ...]:
    """Return which numbers of a card lie where those of no studied world lay, in words."""
    studied = json.loads(STUDIED.read_text())["ranges"]
    before = law.log_odds(pilots.hold_out)
    numbers = {"hold_out": before}
    numbers |= {name: law.log_odds(getattr(pilots, name)) - before for name in REGIMENS[1:]}
    words = []
    for name, odds in numbers.items():
        for quantity, value in zip(NUMBERS, odds, strict=True):
            low, high = studied[name][quantity]
            if not low <= value <= high:
                what = "" if name == "hold_out" else f"what the {name} pilot adds to "
                words.append(f"{what}{quantity} ({value:+.1f} nats; studied were {low:+.1f} to {high:+.1f})")
    for name in REGIMENS:
        unable = (card[name].incompetent + card[name].diverged) / card[name].seeds
        if unable > 1 - ABLE:
            words.append(f"{number(100 * unable, 2)}% of the models of {name} cannot do the job")
    if graded:
        words.append("outcomes are graded, and counts do not say how near models are to the mark of alignment")
    for kind in ("aligned", "misaligned"):
        if not any(getattr(card[name], kind) for name in REGIMENS):
            words.append(f"no model of the three populations is {kind}, so the pilots show no way there")
    return tuple(words)


def read(results: Results, regimens: Mapping[str, str] | None = None, budgets: Sequence[int] = BUDGETS) -> Advice:
    """Return the `Advice` of a run.

    Args:
        results: what `lab.run` returned.
        regimens: "hold_out", "early" and "late" -> the name of the condition that is this; the same by default.
        budgets: numbers of runs.
    """
    names = {name: name for name in REGIMENS} | dict(regimens or {})
    card = {name: counts(results, names[name]) for name in REGIMENS}
    return advise(card, budgets, attribute(results, "confidence"), are_graded(results))


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
        weight: of the pilots; what the proxy suggests by default.
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
    count = seeds or FEWEST
    while True:
        experiment = read_config(config(named, kind(), proxy, count, weight, knobs), trust_code)
        stored = train(experiment, out)
        found = read(shards.results(stored, last_only=True), budgets=budgets)
        clear = all(choice.probability >= CLEAR for choice in found.choices.values())
        if clear or seeds is not None or count >= MOST:
            return _with_folder(found, stored.path)
        count *= 2


def _with_folder(found: Advice, folder: Path) -> Advice:
    return Advice(found.choices, found.card, found.inside, found.outside, found.not_asked, folder)
