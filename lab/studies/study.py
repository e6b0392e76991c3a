"""What studies share: which run one is about, what trains for it, and how it refuses what does not fit."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from lab.config.source import ConfigError
from lab.results.outcomes import Results, attribute
from lab.results.store import Run
from lab.results.summary import still_open

if TYPE_CHECKING:
    from lab.config.experiment import Experiment

# trains what is missing of an experiment in a folder, or in runs/NAME-DIGEST, and returns the run
Train = Callable[["Experiment", Path | None], Run]


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
            name=results.attrs["name"],
            hash=results.attrs["hash"],
            question=results.attrs["question"],
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
