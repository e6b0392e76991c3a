"""What studies share: which run one is about, what trains for it, and how it refuses what does not fit."""

import dataclasses
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from lab.config.problems import nearest, shown
from lab.config.source import ConfigError
from lab.results.outcomes import Results, attribute
from lab.results.store import Run
from lab.results.summary import still_open

if TYPE_CHECKING:
    from lab.config.experiment import Experiment
    from lab.tasks.base import Task


class Train(Protocol):
    """Trains what is missing of an experiment in a folder, or in runs/NAME-DIGEST, and returns the run."""

    def __call__(self, experiment: "Experiment", out: Path | None, /) -> Run:
        """Train it."""
        ...


class StudyError(ValueError):
    """What was asked of a study does not fit; the message says what would."""


class Refused(ValueError):
    """Numbers that a study will not give, because they would not be those of the population."""


class About(NamedTuple):
    """The run that a study is about.

    Attributes:
        name: of its config.
        hash: of its config.
        question: that it asks.
        proxy: whose pass is T.
        thresholds: score -> pass mark.
        confidence: of every interval.
        seeds: models per condition.
    """

    name: str
    hash: str
    question: str
    proxy: str
    thresholds: dict[str, float]
    confidence: float
    seeds: int

    @classmethod
    def of_results(cls, results: Results) -> "About":
        """Return what results say of their run."""
        return cls(
            name=attribute(results, "name"),
            hash=attribute(results, "hash"),
            question=attribute(results, "question"),
            proxy=attribute(results, "proxy"),
            thresholds=attribute(results, "thresholds"),
            confidence=attribute(results, "confidence"),
            seeds=results.sizes["seed"],
        )

    @classmethod
    def of_experiment(cls, experiment: "Experiment") -> "About":
        """Return what the run of an experiment will say."""
        config = experiment.config
        return cls(
            name=experiment.name,
            hash=experiment.hash,
            question=config.question,
            proxy=config.proxy,
            thresholds=experiment.thresholds,
            confidence=config.confidence,
            seeds=len(experiment.seeds),
        )


def train_here(experiment: "Experiment", out: Path | None = None) -> Run:
    """Train what is missing of a run in this process, as `lab.run` does, and return the run."""
    from lab.training import engine

    return engine.run(experiment, out, still_open=still_open())


def task_named(
    task: str, settings: Mapping[str, Any] | None, trust_code: bool
) -> tuple[type["Task"], dict[str, Any], dict[str, Any]]:
    """Return the class of a task, the value of `task` in a config, and the settings that are knobs.

    Args:
        task: its name, or a Python file that defines one.
        settings: knob or size of the task -> value.
        trust_code: run that file.

    Raises:
        StudyError: no such task, or a file that does not define one.
    """
    from lab.tasks import TASKS
    from lab.tasks.outside import TaskFileError, find_task

    if not task.endswith(".py") and task not in TASKS:
        near = nearest(task, TASKS)
        meant = f"did you mean {near!r}? " if near else ""
        raise StudyError(f"unknown task {shown(task)}; {meant}known: {', '.join(TASKS)}")
    try:
        kind = find_task(task, trust_code)
    except TaskFileError as error:
        raise StudyError(str(error)) from None
    knobs = dict(settings or {})
    named = {"file": str(Path(task).resolve())} if task.endswith(".py") else {}
    named |= {"name": kind.name}
    sizes = [field.name for field in dataclasses.fields(kind)] if dataclasses.is_dataclass(kind) else []
    named |= {size: knobs.pop(size) for size in sizes if size in knobs}
    return kind, named, knobs


def push_weight(task: "Task", proxy: str, weight: float | None, seeds: int, study: str) -> float:
    """Return the weight at which a study trains on a proxy: what the proxy suggests, unless one is given.

    Args:
        task: which has the proxy.
        proxy: its name.
        weight: that somebody gave.
        seeds: models per condition.
        study: what asks, with its article, for the message.

    Raises:
        StudyError: the weight trains against the proxy or not at all, or there is not one seed.
    """
    weight = task.proxies[proxy].push if weight is None else weight
    if not 0 < weight < math.inf:
        raise StudyError(f"the weight must be a positive number: {study} is about training on a proxy")
    if seeds < 1:
        raise StudyError(f"{study} needs at least 1 seed")
    return weight


def read_config(values: dict[str, Any], trust_code: bool = False) -> "Experiment":
    """Return the experiment of a config that a study has made.

    Args:
        values: of the config, by key.
        trust_code: run the Python file that the config names as its task, if it names one.

    Raises:
        StudyError: the config does not fit; the lines of a config that nobody wrote help nobody, so none is named.
    """
    from lab.config.experiment import from_values

    try:
        return from_values(values, trust_code)
    except ConfigError as error:
        raise StudyError("\n".join(problem.split(": ", 1)[1] for problem in error.problems)) from None
