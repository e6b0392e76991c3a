"""A differentiable toy-training lab: when is it better to train on an alignment proxy than to hold it out?

From Python:

    import lab

    experiment = lab.load("quickstart")               # or a file of your own
    results = lab.run(experiment)                     # xarray.Dataset, dims (condition, seed, checkpoint)
    summary = lab.summarise(results)                  # one row per condition
    impact = lab.compare(results, "train_early", "hold_out")
    results = lab.observe("my_runs.csv")              # the same of runs that were trained elsewhere
"""

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:  # each function imports what it needs: reading results needs no JAX
    from pathlib import Path

    from lab.config.experiment import Experiment
    from lab.results.outcomes import Results
    from lab.results.store import PathLike
    from lab.results.summary import Summary
    from lab.statistics.comparison import LogImpact


def load(path: "str | Path", **options: Any) -> "Experiment":
    """Read an experiment from a YAML file; see `lab.config.experiment.load`.

    Args:
        path: of the file, or the name of a config that comes with the lab, such as "quickstart".
        options: those of `lab.config.experiment.load`.
    """
    from lab.config import experiment as config

    return config.load(path, **options)


def run(experiment: "Experiment", out: "PathLike | None" = None, **options: Any) -> "Results":
    """Train an experiment, or what is missing of it, and return its results; see `lab.training.engine.run`.

    Args:
        experiment: what `load` returned.
        out: the run's folder; runs/NAME-DIGEST by default, the digest being of what is trained.
        options: those of `lab.training.engine.run`.
    """
    from lab.results import shards, summary
    from lab.training import engine

    return shards.results(engine.run(experiment, out, **{"still_open": summary.still_open(), **options}))


def observe(table: Any, **options: Any) -> "Results":
    """Return a table of runs that were trained elsewhere as results; see `lab.results.observed.observe`.

    Args:
        table: a path, a frame of pandas or polars, or a dict of columns.
        options: those of `lab.results.observed.observe`, such as marks={"monitor": 0.9}.
    """
    from lab.results import observed

    return observed.observe(table, **options)


def summarise(results: "Results", **options: Any) -> "tuple[Summary, ...]":
    """Return one `lab.results.summary.Summary` per condition; see `lab.results.summary.summarise`.

    Args:
        results: what `run` returned.
        options: those of `lab.results.summary.summarise`, such as thresholds={"test": 0.99}.
    """
    from lab.results import summary

    return summary.summarise(results, **options)


def compare(results: "Results", first: str, second: str, **options: Any) -> "LogImpact":
    """Return the log impact of one condition over another; see `lab.results.summary.compare_conditions`.

    Args:
        results: what `run` returned.
        first: name of a condition, or of a regimen that has only one.
        second: the same, of the one it is compared with.
        options: those of `lab.results.summary.compare_conditions`.
    """
    from lab.results import summary

    return summary.compare_conditions(results, first, second, **options)
