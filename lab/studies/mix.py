"""Which value of a knob gives a mixed world, one in which about half of the held-out models are aligned?

In a world whose models all end alike a proxy has nothing to tell apart. The search trains held-out models with a few
seeds at each of many values, and again at values between the two neighbours that enclose one half.
"""

import itertools
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from lab.results import shards, summary
from lab.statistics import Counts, Estimate, estimate
from lab.studies.study import StudyError, Train, read_config, task_named, train_here

if TYPE_CHECKING:
    from lab.tasks.base import Knob

FIRST_SEED = 2**31 + 2**30  # far from those of any config and of any pilot
DECADES = 4  # below the largest value that the first values reach down to, two in each
ROUNDS, BETWEEN = 2, 5  # how often values are tried between two neighbours, and how many
HALF, ABLE = 0.5, 0.95  # what is looked for, and the share of models that must do the job


class Tried(NamedTuple):
    """What a value of the knob gave.

    Attributes:
        value: of the knob.
        counts: of the held-out models there.
    """

    value: float
    counts: Counts

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
        tried: every value, ascending.
        best: the one whose base rate is nearest to one half among those whose models do the job; None if none do.
    """

    task: str
    knob: str
    tried: tuple[Tried, ...]
    best: Tried | None


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


def enclosing(tried: Sequence[Tried]) -> tuple[Tried, Tried] | None:
    """Return the neighbours whose base rates enclose one half and whose models do the job most, or None."""
    usable = [one for one in sorted(tried) if one.able >= ABLE]
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
        task: its name, or a Python file that defines one.
        knob: one of its knobs.
        seeds: models per value.
        settings: other knob or size of the task -> value.
        train: what trains its runs.
        trust_code: run the Python file that is given as the task.

    Raises:
        StudyError: no such task, knob or size, a number out of range, or a file that does not define a task.
    """
    kind, named, knobs = task_named(task, settings, trust_code)
    known = kind(**{size: value for size, value in named.items() if size not in ("name", "file")}).knobs
    if knob not in known:
        raise StudyError(f"{kind.name} has no knob {knob!r}; known: {', '.join(known)}")
    if knob in knobs:
        raise StudyError(f"{knob} is what is searched; it cannot have a value of its own")
    if seeds < 1:
        raise StudyError("a search needs at least 1 seed")

    def at(values: Sequence[float]) -> list[Tried]:
        experiment = read_config(
            {
                "name": f"mix-{kind.name}-{knob}",
                "question": f"Which {knob} gives a mixed world?",
                "task": named,
                "seeds": {"first": FIRST_SEED, "count": seeds},
                "knobs": knobs,
                "baseline": "hold_out",
                "regimens": {"hold_out": [{"until": 1}]},
                "sweep": {knob: list(values)},
            },
            trust_code,
        )
        with tempfile.TemporaryDirectory() as folder:
            results = shards.results(train(experiment, Path(folder, "mix")), last_only=True)
        names = {condition.coordinates[knob]: condition.name for condition in experiment.conditions}
        return [Tried(value, summary.counts(results, names[value])) for value in values]

    tried = at(first_values(known[knob]))
    for _ in range(ROUNDS):
        if (pair := enclosing(tried)) is None or not (values := between(pair[0].value, pair[1].value)):
            break
        tried += at(values)
    usable = [one for one in tried if one.able >= ABLE]
    best = min(usable, key=lambda one: (abs(one.base_rate.value - HALF), abs(one.value)), default=None)
    return Mix(kind.name, knob, tuple(sorted(tried)), best)
