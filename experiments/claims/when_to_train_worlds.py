"""Where training on the proxy beats holding it out depends on how hard alignment is and on how visible tests are.

Command:   lab experiment when_to_train_worlds
Expected:  supported
Cost:      about eight minutes on 2 cores

The map of `when_to_train` over how much the main objective prefers the aligned solution, and visibility of the test.

Rule: as in `when_to_train`, over these cells.
"""

from pathlib import Path

from experiments.claims import when_to_train
from lab import claims
from lab.config.experiment import Experiment
from lab.figures.style import Figure
from lab.words import Json

AXES = ("detectability", "preference")


def study(experiment: Experiment, folder: Path, train: claims.Train) -> Json:
    """Count every cell, and the two halves of the seeds."""
    return when_to_train.study(experiment, folder, train, AXES)


def judge(stored: claims.Stored) -> claims.Verdict:
    """Apply the rule to one task."""
    return when_to_train.judge_map(stored, AXES)


def plotted(stored: claims.Stored) -> Json:
    """Return what the maps of a task show."""
    return when_to_train.plotted(stored, AXES)


def draw(data: Json) -> Figure:
    """A map per task, window and budget."""
    return when_to_train.draw(data, ("visibility\nof the test", "how easy\nalignment is"))


CAPTION = when_to_train.CAPTION._replace(after=f"In the JSON beside, {when_to_train.WRONG}.")
finding = when_to_train.finding
