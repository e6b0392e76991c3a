"""Where training on the proxy beats holding it out depends on how hard alignment is and on how visible tests are.

Command:   lab experiment when_to_train_worlds
Expected:  supported
Cost:      about eight minutes on 2 cores

The map of `when_to_train` over how much the main objective prefers the aligned solution, and visibility of the test.

Rule: as in `when_to_train`, over these cells.
"""

from experiments.claims import when_to_train

AXES = ("detectability", "preference")


def study(experiment, folder, train):
    """Count every cell, and the two halves of the seeds."""
    return when_to_train.study(experiment, folder, train, AXES)


def judge(stored):
    """Apply the rule to one task."""
    return when_to_train.judged(stored, AXES)


def draw(data):
    """A map per task, window and budget."""
    return when_to_train.draw(data, AXES, ("visibility of the test", "preference"))


def caption(data, verdicts):
    """Return the caption."""
    return when_to_train.caption(data, verdicts).replace(
        "; black bars, the boundary lies in between (cells trained there alone are not drawn)", ""
    )
