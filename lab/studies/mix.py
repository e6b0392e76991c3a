"""Which value of a knob gives a mixed world, one in which about half of the held-out models are aligned?

In a world whose models all end alike a proxy has nothing to tell apart. The search trains held-out models with a few
seeds at each of many values, and again at values between the two neighbours that enclose one half. What it finds was
chosen among many values, so whoever uses it measures the base rate there anew.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from lab.config.seeds import SEARCHES
from lab.results import shards, summary
from lab.results.outcomes import ABLE, share_between
from lab.statistics import Counts, Estimate, estimate
from lab.studies.study import StudyError, Train, read_config, task_named, train_here
from lab.words import setting

if TYPE_CHECKING:
    from lab.config.experiment import Experiment
    from lab.tasks.base import Knob

DECADES = 4  # below the largest value that the first values reach down to, two in each
ROUNDS, BETWEEN = 2, 5  # how often values are tried between two neighbours, and how many
HALF = 0.5  # what is looked for
MIXED = (0.1, 0.9)  # base rates between which both kinds are common enough to be told apart


class Trial(NamedTuple):
    """What a value of the knob gave.

    Attributes:
        value: of the knob.
        counts: of the held-out models there.
        graded: share of them that are neither clearly aligned nor clearly misaligned.
    """

    value: float
    counts: Counts
    graded: float

    @property
    def base_rate(self) -> Estimate:
        """P(A)."""
        return estimate(self.counts, "base_rate")

    @property
    def able(self) -> float:
        """Share of the models that do the job."""
        return 1 - (self.counts.incompetent + self.counts.diverged) / self.counts.seeds


@dataclass(frozen=True)
class Mix:
    """What a search found.

    Attributes:
        task, knob: that were searched.
        trials: of every value, ascending.
        best: the one whose base rate is nearest to one half among those whose models do the job; None if none of them
            has models of both kinds.
    """

    task: str
    knob: str
    trials: tuple[Trial, ...]
    best: Trial | None


def first_values(knob: "Knob") -> list[float]:
    """Return the values that a search begins with: 0, the default, and half decades downwards from the range's ends."""
    largest = max(abs(knob.low), abs(knob.high))
    sizes = [float(f"{largest * 10 ** (-step / 2):.1g}") for step in range(2 * DECADES + 1)]
    values = {0.0, knob.default, *sizes, *(-size for size in sizes)}
    return sorted(value for value in values if knob.low <= value <= knob.high)


def between(low: float, high: float) -> list[float]:
    """Return values between two, evenly spaced on a log scale where both have one sign."""
    steps = [(index + 1) / (BETWEEN + 1) for index in range(BETWEEN)]
    if low * high > 0:
        values = [low * (high / low) ** step for step in steps]
    else:
        values = [low + step * (high - low) for step in steps]
    return sorted({float(f"{value:.3g}") for value in values} - {low, high})


def enclosing(trials: Sequence[Trial]) -> tuple[Trial, Trial] | None:
    """Return the smallest neighbours that enclose one half, of values whose models do the job; None if none do."""
    usable = sorted((trial for trial in trials if trial.able >= ABLE), key=lambda trial: trial.value)
    pairs = [
        pair
        for pair in itertools.pairwise(usable)
        if (pair[0].base_rate.value < HALF) != (pair[1].base_rate.value < HALF)
    ]
    return min(pairs, key=lambda pair: abs(pair[0].value) + abs(pair[1].value), default=None)


def run(
    task: str,
    knob: str,
    *,
    seeds: int = 32,
    settings: Mapping[str, Any] | None = None,
    train: Train = train_here,
    trust_code: bool = False,
) -> Mix:
    """Search a knob for a value at which about half of the held-out models are aligned.

    Args:
        task: its name, or a Python file that defines trial.
        knob: one of its knobs.
        seeds: models per value.
        settings: other knob or size of the task -> value.
        train: what trains its runs, in runs/mix-TASK-KNOB-DIGEST.
        trust_code: run the Python file that is given as the task.

    Raises:
        StudyError: no such task, knob or size, a number out of range, or a file that does not define a task.
    """
    if seeds < 1:
        raise StudyError("a search needs at least 1 seed")
    kind, named, knobs = task_named(task, settings, trust_code)
    if knob in knobs:
        raise StudyError(f"{knob} is what is searched; it cannot have a value of its own")

    def experiment(sweep: Mapping[str, Any]) -> "Experiment":
        return read_config(
            {
                "name": f"mix-{kind.name}-{knob}".replace(".", "-"),
                "question": f"Which {knob} gives a mixed world?",
                "task": named,
                "seeds": {"first": SEARCHES.first, "count": seeds},
                "knobs": knobs,
                "baseline": "hold_out",
                "regimens": {"hold_out": [{"until": 1}]},
                "sweep": dict(sweep),
            },
            trust_code,
        )

    known = experiment({}).task.knobs
    if knob not in known:
        raise StudyError(f"{kind.name} has no knob {knob!r}; known: {', '.join(known)}")
    if known[knob].low == known[knob].high:
        raise StudyError(f"{knob} has one value alone, {setting(known[knob].low)}: there is nothing to search")

    def at(values: Sequence[float]) -> list[Trial]:
        asked = experiment({knob: list(values)})
        results = shards.results(train(asked, None), last_only=True)
        return [
            Trial(
                condition.coordinates[knob],
                summary.counts(results, condition.name),
                share_between(results.alignment.sel(condition=condition.name).values),
            )
            for condition in asked.conditions
        ]

    trials = at(first_values(known[knob]))
    for _ in range(ROUNDS):
        pair = enclosing(trials)
        values = between(pair[0].value, pair[1].value) if pair else []
        if not (new := sorted(set(values) - {trial.value for trial in trials})):
            break
        trials += at(new)
    usable = [trial for trial in trials if trial.able >= ABLE and MIXED[0] <= trial.base_rate.value <= MIXED[1]]
    best = min(usable, key=lambda trial: (abs(trial.base_rate.value - HALF), abs(trial.value)), default=None)
    return Mix(kind.name, knob, tuple(sorted(trials, key=lambda trial: trial.value)), best)
