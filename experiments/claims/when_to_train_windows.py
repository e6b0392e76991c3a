"""Where training on the proxy beats holding it out depends on when in training it is trained on, and how hard.

Command:   lab experiment when_to_train_windows
Expected:  supported where values settle early
Cost:      about eight minutes on 2 cores

The map of `when_to_train` over the onset of a push on the test that lasts a tenth of training, and its weight.

Rule: as in `when_to_train`, over these cells.
"""

from pathlib import Path

from experiments.claims import when_to_train
from lab import claims
from lab.config.experiment import Experiment
from lab.figures.style import Figure
from lab.words import Json

AXES = ("onset", "weight")


def study(experiment: Experiment, folder: Path, train: claims.Train) -> Json:
    """Count every cell, refine where the gain changes sign, and count the two halves of the seeds."""
    return when_to_train.study(experiment, folder, train, AXES)


def judge(stored: claims.Stored) -> claims.Verdict:
    """Apply the rule to one task."""
    return when_to_train.judge_map(stored, AXES)


def plotted(stored: claims.Stored) -> Json:
    """Return what the maps of a task show."""
    return when_to_train.plotted(stored, AXES)


def draw(data: Json) -> Figure:
    """A map per task and budget."""
    return when_to_train.draw(data, ("onset of\nthe push", "weight of the push"))


CAPTION = when_to_train.CAPTION
finding = when_to_train.finding
