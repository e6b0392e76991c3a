"""Once complying in tests alone is easy, training on the test puts no more pressure on values.

Command:   lab experiment no_pressure
Expected:  supported
Cost:      four minutes on 2 cores

A dose is a small extra weight for 2% of training, of the visible test, or of an audit that asks the same and looks like
deployment. What a dose does to the alignment of a model, beside the same model without it, is the slope of its loss on
values. The test presses on values if its dose does over a twentieth of what that of the audit does. Asked are
misaligned models that fail the test while it is held out, at four ages, and those that pass it at 80% of training after
training on it from 40% on. Models whose alignment the audit does not raise are left out; none is asked to do the job.

Rule, per task, with 95% intervals that hold together over five shares: supported if the test presses on fewer than a
tenth of the misaligned models that pass it, and on over half of those that fail it, at 4% of training and at 80%;
contradicted if it presses on over half of those that pass it; else undecided.
"""

from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float

from lab import claims, figures
from lab.config.experiment import Experiment
from lab.results import outcomes, shards
from lab.results.outcomes import Results
from lab.words import Json, estimate_json, number, percent

DOSE = 0.02  # share of training that a dose lasts
PRESSES = 1 / 20  # share of what the audit does above which the test presses on values; of the rule
FEW, MANY = 1 / 10, 1 / 2  # shares of models; of the rule
TOGETHER = 5
APART, PRESSED, FREE = 1, 2, 3  # cells: a model that is not asked, one that the test presses on, one that it does not


class Moment(NamedTuple):
    """When and in which models the slope is measured.

    Attributes:
        base: regimen without a dose.
        age: share of training at which the dose begins.
        doses: regimens with a dose of the test and of the audit.
        pass_it: whether the models pass the test at that age.
    """

    base: str
    age: float
    doses: tuple[str, str]
    pass_it: bool


MOMENTS = {
    **{
        f"fail it, {age}%": Moment("hold_out", age / 100, (f"test-{age:02d}", f"audit-{age:02d}"), False)
        for age in (4, 20, 40, 80)
    },
    "pass it, 80%": Moment("gamed", 0.8, ("gamed-test-80", "gamed-audit-80"), True),
}


def study(experiment: Experiment, folder: Path, train: claims.Train) -> Json:
    """Count the misaligned models on which the test presses at every moment."""
    results = outcomes.common(shards.results(train(experiment, folder)))
    cells, about = [], {}
    for words, moment in MOMENTS.items():
        asked, test, audit = slopes(results, moment)
        cells.append(np.where(asked, np.where(test > PRESSES * audit, PRESSED, FREE), APART))
        about[words] = {
            "regimen": moment.base,
            "coordinates": {"age": moment.age},
            "slope": float(test[asked].sum() / audit[asked].sum()) if asked.any() else 0.0,
        }
    return claims.tabulate(cells, about, results.attrs["confidence"])


def slopes(
    results: Results, moment: Moment
) -> tuple[Bool[np.ndarray, " seed"], Float[np.ndarray, " seed"], Float[np.ndarray, " seed"]]:
    """Return which models are asked, and by how much a dose of the test and one of the audit raise alignment.

    Args:
        results: with all checkpoints.
        moment: when, and in which models.
    """

    def score(name: str, condition: str, age: float) -> Float[np.ndarray, " seed"]:
        column = results[name].sel(condition=condition)
        return column.isel(checkpoint=outcomes.checkpoint_index(results, age)).values.astype(float)

    marks, after = results.attrs["thresholds"], moment.age + DOSE
    plain = score("alignment", moment.base, after)
    test, audit = (score("alignment", dose, after) - plain for dose in moment.doses)
    misaligned = score("alignment", moment.base, moment.age) < marks["alignment"]
    passes = outcomes.reaches(score("test", moment.base, moment.age), marks["test"])
    return misaligned & (passes == moment.pass_it) & (audit > 0), test, audit


def judge(stored: claims.Stored) -> claims.Verdict:
    """Apply the rule to one task."""
    pressed = {words: stored.rate(words, "pass_given_misaligned", of=TOGETHER) for words in MOMENTS}
    sloped = ", ".join(f"{words} {number(stored.conditions[words]['slope'])}" for words in MOMENTS)
    why = (
        f"share of misaligned models on which the test presses: {claims.phrases(pressed)}; what a dose of it does over "
        f"one that looks like deployment, in total: {sloped}"
    )
    gamed, failing = pressed["pass it, 80%"], (pressed["fail it, 4%"], pressed["fail it, 80%"])
    if gamed.low > MANY:
        return claims.Verdict(claims.CONTRADICTED, why)
    holds = gamed.high < FEW and all(share.low > MANY for share in failing)
    return claims.Verdict(claims.SUPPORTED if holds else claims.UNDECIDED, why)


def plotted(stored: claims.Stored) -> list[Json]:
    """Return the share of models on which the test presses at every moment, as plain JSON values."""
    return [
        {
            "heading": "misaligned models that " + ("pass, trained on late" if moment.pass_it else "fail, held out"),
            "words": f"at {percent(moment.age)} of training",
            "regimen": "late" if moment.pass_it else "hold_out",
            "pressed": estimate_json(stored.rate(name, "pass_given_misaligned")),
        }
        for name, moment in MOMENTS.items()
    ]


def draw(data: Json) -> figures.Figure:
    """The share of models on which the test presses at every moment."""
    words = "of them: a little more training on the test would move their values"
    return figures.estimates_figure(data, [figures.Column("pressed", "share", words, 0, 1, whole=True)])


CAPTION = claims.Caption(
    question="Does the test still press on the values of misaligned models, once they pass it?", marks=""
)
