"""Regimens made from a condition: its weights and knobs segment by segment, changed and written as a config again."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from jaxtyping import Float

from lab.studies.study import StudyError

if TYPE_CHECKING:
    from lab.config.experiment import Condition, Experiment
    from lab.tasks import Task

KEPT = ("task", "proxy", "thresholds", "confidence", "stop_rejected")  # and no rule for stopping
LONGEST_NAME = 64  # characters of a config's name

Values = Float[np.ndarray, "segments terms_and_knobs"]


def find_condition(experiment: "Experiment", name: str | None = None) -> "Condition":
    """Return a condition by its name; the first of the baseline by default.

    Raises:
        StudyError: there is no such condition.
    """
    conditions = {condition.name: condition for condition in experiment.conditions}
    if name is None:
        return next(condition for condition in experiment.conditions if condition.regimen == experiment.baseline)
    if name not in conditions:
        raise StudyError(f"condition: {experiment.name} has no condition {name!r}; known: {', '.join(conditions)}")
    return conditions[name]


def values_by_segment(condition: "Condition") -> Values:
    """Return the weights of a condition, and then its knobs as the losses see them, a row for each segment."""
    return np.array([(*segment.weights, *segment.training_knobs) for segment in condition.settings])


def column(task: "Task", name: str) -> int:
    """Return the column of a loss term or knob in `values_by_segment`."""
    return [*task.terms, *task.knobs].index(name)


@dataclass(frozen=True)
class Subject:
    """The training of a condition as a function of some of its weights and knobs, by segment.

    Attributes:
        experiment: which the condition belongs to; its segments are those of training.
        condition: whose training it is.
        terms: names of the loss terms and knobs that vary.
    """

    experiment: "Experiment"
    condition: "Condition"
    terms: tuple[str, ...]

    @property
    def start(self) -> Float[np.ndarray, "segments terms"]:
        """The values that the terms have in the condition."""
        return values_by_segment(self.condition)[:, [column(self.experiment.task, term) for term in self.terms]]

    @property
    def lengths(self) -> Float[np.ndarray, " segments"]:
        """The share of training that each segment lasts."""
        return np.diff([0, *self.experiment.ends]) / self.experiment.training.steps


def config_head(experiment: "Experiment", condition: "Condition", name: str, question: str) -> dict[str, Any]:
    """Return what a config of regimens made from a condition says beside these: plain JSON values by key.

    Args:
        experiment: whose task, marks, seeds and training it keeps.
        condition: whose knobs and learning rates it keeps.
        name: of the config; what is too long is cut off.
        question: of the config.
    """
    training, values, segment = experiment.training, experiment.as_json(), condition.settings[0]
    return {
        "name": name[:LONGEST_NAME],
        "question": question,
        **{key: values[key] for key in KEPT if key in values},
        "knobs": condition.knobs,
        "seeds": values["seeds"],
        "training": {
            **values["training"],
            "segments": [end / training.steps for end in experiment.ends],
            "learning_rate": segment.learning_rate,
            "final_learning_rate": segment.final_learning_rate,
        },
    }


def phases(experiment: "Experiment", condition: "Condition", values: Values | None = None) -> list[dict[str, Any]]:
    """Return a condition's regimen as phases for a config; segments that are alike become one.

    Args:
        experiment: which the condition belongs to.
        condition: one of its conditions.
        values: of all weights and knobs, as `values_by_segment` returns them, instead of the condition's.
    """
    from lab.tasks.settings import parts

    task, regimen = experiment.task, []
    gates: dict[int, dict[str, float]] = {}
    values = values_by_segment(condition) if values is None else values
    for share, score, mark in condition.gates:
        gates.setdefault(round(share * experiment.training.steps), {})[score] = mark
    for end, segment, row in zip(experiment.ends, condition.settings, values.tolist(), strict=True):
        weights = dict(zip(task.terms, row[: len(task.terms)], strict=True))
        knobs = dict(zip(task.knobs, row[len(task.terms) :], strict=True))
        rates = segment.part_rates
        phase = {
            "weights": {name: weight for name, weight in weights.items() if weight != (name == "main")},
            "knobs": {name: value for name, value in knobs.items() if value != condition.knobs[name]},
            "rates": dict(zip(parts(task), rates, strict=True)) if isinstance(rates, tuple) else {},
        }
        if regimen and not regimen[-1]["gates"] and all(regimen[-1][key] == value for key, value in phase.items()):
            regimen.pop()
        regimen.append({"until": end / experiment.training.steps, **phase, "gates": gates.get(end, {})})
    return [{key: value for key, value in phase.items() if value != {}} for phase in regimen]
