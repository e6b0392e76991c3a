"""Where does differentiation through training work, and where does it lie? Four estimators beside counted differences.

Command:   python -m experiments.studies.derivatives [--scale SHARE] [--tasks TASK ...] [--redraw]
Expected:  counted differences and evolution strategies agree everywhere; derivatives through training agree where
           alignment is a matter of degree, and give next to nothing where seeds change basin, whatever the activation
           and precision; the surrogate sees the first moments and claims effects later that are not there
Cost:      about twenty minutes on 2 cores

What is estimated is the derivative of P(A) with respect to the weight of the test, in each of 20 segments of holding
out. The worlds are those where a held-out test is itself imperfect. The estimators are

    counted     central differences of counted outcomes on shared seeds (`lab.studies.sensitivity`), the truth here
    evolution   antithetic pairs with all segments moved at once, on seeds of their own
    pathwise    the mean slope of the alignment score at the end, through all of training in reverse mode
    pathwise64  the same in float64
    surrogate   the slope of a margin read at the end of the segment

Each is tried with the activation that the tasks have (relu, which is kinked) and with gelu, which is smooth; `race` has
none. Inside a basin pathwise is compared with differences as well: there the derivative is that of the mean test score
of those models that end misaligned whatever the weight.

The rule was written before the deciding seeds (from 6,000,000) were trained. An estimator *agrees* with the counts in a
stretch of training (early: the first three segments; late: the rest) if at most one segment in ten there differs by
more than three joint standard errors, and the sum over the stretch does not; else it *disagrees*. It is *blind* if it
disagrees and its sum is less than a fifth of the counted one, and *noisy* if it agrees but the standard error of its
sum is more than ten times that of the counts. Its cost is what the same precision costs, as a multiple of counting: the
processor time it took, compiling included, times the mean squared standard error over segments. The default of `lab
sensitivity` is the estimator that agrees everywhere, in all tasks, with the lowest cost (geometric mean over tasks and
activations).
"""

import argparse
import contextlib
import json
import math
import tempfile
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple
from unittest import mock

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
import xarray as xr
from jaxtyping import Bool, Float

from experiments.studies import ROOT
from lab.config.experiment import Condition, Experiment, from_values, parse
from lab.config.seeds import DERIVATIVES
from lab.figures import save
from lab.figures.palette import BLACK, GREEN, GREY, SKY, VERMILION
from lab.figures.style import Axes, Figure, Line, grid
from lab.results import outcomes, shards
from lab.studies import estimators, sensitivity
from lab.studies.regimens import Subject
from lab.training import engine
from lab.words import Json

SEGMENTS, PERCENT_EACH = 20, 5  # of training, and how many percent of it each is
STRETCHES = {"early": slice(0, 3), "late": slice(3, None)}
CONFIG = """
name: derivatives
task: {task}
seeds: {{first: {first}, count: {seeds}}}
knobs: {{{knobs}}}
training: {{segments: {segments}}}
regimens:
  hold_out: [{{until: 1}}]
"""


class Setting(NamedTuple):
    """How a task is looked at; the settings were chosen on seeds from 3,000,000.

    Attributes:
        knobs: of the task.
        step: of the weight, for counted differences.
        sigma: width of evolution strategies.
        seeds: per condition.
    """

    knobs: str
    step: float
    sigma: float
    seeds: int


SETTINGS = {
    "race": Setting("preference: 0, implicit_proxy: 0.1, detectability: 2", 0.02, 0.01, 16384),
    "scratchpad": Setting("preference: -0.006, implicit_proxy: 0.03, implicit_onset: 0.4", 0.002, 0.002, 2048),
    "shortcut": Setting("detectability: 3", 0.01, 0.01, 4096),
}
ACTIVATIONS = {"race": ("none",), "scratchpad": ("relu", "gelu"), "shortcut": ("relu", "gelu")}
TERM = "test"
FEWEST = 256  # seeds in a look
LANES, MOST_PATHWISE, SHARE_PATHWISE = 32, 512, 4  # derivatives through training take one seed in four, at most 512
# the rule above
APART, MAY_BE_APART = 3, 0.1  # standard errors, and the share of segments that may differ by more
BLIND, NOISY = 0.2, 10
NO_LESS = 1e-12  # in the place of a standard error or a cost of 0, before it is divided by or its logarithm taken

Curve = Float[np.ndarray, " segments"]


class Derivative(NamedTuple):
    """A derivative in every segment, or in those of one stretch of training.

    Attributes:
        values: per unit of weight.
        errors: their standard errors.
    """

    values: Curve
    errors: Curve

    def where(self, segments: slice | Bool[np.ndarray, " segments"]) -> "Derivative":
        """Return the part in some segments."""
        return Derivative(self.values[segments], self.errors[segments])


# --- measuring ----------------------------------------------------------------------------------------------------


class Differences(NamedTuple):
    """Outcomes with the weight raised, and lowered, in one segment each.

    Attributes:
        aligned: whether a model ends aligned, by segment, side (raised, lowered) and seed.
        tested: its test score in the end, likewise.
        base_rate: P(A) with the weight as it is.
    """

    aligned: Bool[np.ndarray, "segments 2 seeds"]
    tested: Float[np.ndarray, "segments 2 seeds"]
    base_rate: float


class Clock:
    """Processor seconds by what they were spent on."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def timed(self, name: str) -> Iterator[None]:
        """Add what is done here under a name."""
        started = time.process_time()
        yield
        self.seconds[name] = time.process_time() - started


def count_differences(experiment: Experiment, condition: Condition, step: float) -> Differences:
    """Train with the weight raised and lowered in every segment, on shared seeds."""
    changed = sensitivity.changes(experiment.task, [TERM], step)
    values = sensitivity.config(experiment, condition, changed)
    values["regimens"] = {name: phases for name, phases in values["regimens"].items() if not name.startswith("push")}
    with tempfile.TemporaryDirectory() as folder:
        run = engine.run(from_values(values), Path(folder, "run"))
        results = shards.results(run, last_only=True)
    aligned: xr.DataArray = outcomes.classify(results)["aligned"]
    names = list(map(str, results.condition.values))
    sides = np.array(
        [
            [names.index(f"{side}-{TERM}-{segment:03d}") for side in ("up", "down")]
            for segment in range(len(experiment.ends))
        ]
    )
    tested = results["test"].values[:, :, -1].astype(float)
    base_rate = float(aligned.values[names.index("as-is")].mean())
    return Differences(aligned.values[sides], tested[sides], base_rate)


def counted(differences: Differences, step: float) -> Derivative:
    """Return the derivative of P(A) by central differences."""
    raised, lowered = np.moveaxis(differences.aligned.astype(float), 1, 0)
    slopes = (raised - lowered) / (2 * step)
    seeds = slopes.shape[1]
    # where no seed changed side one might have: that is what the counts cannot tell from nothing
    return Derivative(slopes.mean(1), np.maximum(slopes.std(1) / math.sqrt(seeds), 1 / (2 * step * seeds)))


def verdict(truth: Derivative, estimated: Derivative) -> str:
    """Return agrees, noisy, disagrees or blind for one stretch of training."""
    known = np.isfinite(estimated.values)
    truth, estimated = truth.where(known), estimated.where(known)
    apart = np.abs(estimated.values - truth.values) / np.maximum(np.hypot(truth.errors, estimated.errors), NO_LESS)
    counted_noise, noise = np.linalg.norm(truth.errors), np.linalg.norm(estimated.errors)
    counted_sum, total = truth.values.sum(), estimated.values.sum()
    sums_apart = abs(total - counted_sum) / max(math.hypot(counted_noise, noise), NO_LESS)
    if (apart > APART).mean() <= MAY_BE_APART and sums_apart <= APART:
        return "noisy" if noise > NOISY * counted_noise else "agrees"
    return "blind" if abs(total) < BLIND * abs(counted_sum) else "disagrees"


def measure(task: str, scale: float, first: int) -> Json:
    """Return everything about one task with the activation that flax has now.

    Args:
        task: its name.
        scale: share of the seeds.
        first: seed.
    """
    setting, clock = SETTINGS[task], Clock()
    seeds = max(FEWEST, int(setting.seeds * scale))
    experiment = parse(CONFIG.format(task=task, first=first, seeds=seeds, knobs=setting.knobs, segments=SEGMENTS))
    subject = Subject(experiment, experiment.conditions[0], (TERM,))
    most = max(LANES, min(MOST_PATHWISE, seeds // SHARE_PATHWISE) // LANES * LANES)
    fewer = first + np.arange(most, dtype=np.uint32)

    with clock.timed("counted"):
        differences = count_differences(experiment, experiment.conditions[0], setting.step)
    rows = {"counted": counted(differences, setting.step)}
    with clock.timed("evolution"):
        evolved = estimators.evolution(subject, setting.sigma, seeds, first + 10 * seeds)["base_rate"]
    rows["evolution"] = Derivative(evolved.values[:, 0], evolved.errors[:, 0])
    slopes = {}
    for name, dtype in (("pathwise", jnp.float32), ("pathwise64", jnp.float64)):
        with clock.timed(name):
            slopes[name] = estimators.pathwise(subject, fewer, dtype=dtype)[:, :, 0].astype(float)
        rows[name] = Derivative(slopes[name].mean(0), slopes[name].std(0) / math.sqrt(len(fewer)))
    with clock.timed("surrogate"):
        early = estimators.surrogate(subject, fewer)
    rows["surrogate"] = Derivative(early.slopes.values[:, 0], early.slopes.errors[:, 0])
    return {
        "step": setting.step,
        "seeds": seeds,
        "base_rate": differences.base_rate,
        "estimators": compared(rows, clock.seconds, float(np.abs(slopes["pathwise64"]).max())),
        "decides": plain(early.decides),
        "basin": basin(differences, setting.step, estimators.pathwise(subject, fewer, "test")[:, :, 0].astype(float)),
    }


def compared(rows: Mapping[str, Derivative], seconds: Mapping[str, float], largest: float) -> Json:
    """Return what every estimator gives, costs and is worth beside the counts.

    Args:
        rows: the derivative by every estimator.
        seconds: of processor time that each took.
        largest: slope of a single seed through training in float64.
    """
    spent = {name: seconds[name] * float((row.errors**2).mean()) for name, row in rows.items()}
    return {
        name: {
            "values": plain(row.values),
            "errors": plain(row.errors),
            "processor_seconds": round(seconds[name], 1),
            "cost": spent[name] / spent["counted"],
            "largest": largest if name == "pathwise64" else None,
            "verdicts": {
                stretch: verdict(rows["counted"].where(segments), row.where(segments))
                for stretch, segments in STRETCHES.items()
            },
        }
        for name, row in rows.items()
    }


def basin(differences: Differences, step: float, slopes: Float[np.ndarray, "seeds segments"]) -> Json:
    """Return the derivative of mean test scores inside a basin, counted and through training, on the same seeds.

    Args:
        differences: on all seeds.
        step: of the weight.
        slopes: of the test score of the first of these seeds, through training.
    """
    stays = np.logical_not(differences.aligned.any((0, 1)))
    stays[len(slopes) :] = False
    raised, lowered = np.moveaxis(differences.tested, 1, 0)
    return {
        "counted": plain((raised - lowered)[:, stays].mean(1) / (2 * step)),
        "pathwise": plain(slopes[stays[: len(slopes)]].mean(0)),
    }


def plain(values: Curve) -> list[float | None]:
    """Return numbers as JSON can hold them."""
    return [float(x) if math.isfinite(x) else None for x in values]


def choose_default(studies: Json) -> tuple[dict[str, bool], dict[str, float], str]:
    """Return which estimators agree everywhere, the geometric mean of their costs, and the default by the rule."""
    agrees, cost = {}, {}
    for name in next(iter(studies.values()))["estimators"]:
        rows = [study["estimators"][name] for study in studies.values()]
        agrees[name] = all(verdict == "agrees" for row in rows for verdict in row["verdicts"].values())
        cost[name] = math.exp(sum(math.log(max(row["cost"], NO_LESS)) for row in rows) / len(rows))
    return agrees, cost, min((name for name in agrees if agrees[name]), key=lambda name: cost[name])


# --- drawing ------------------------------------------------------------------------------------------------------

COLOURS = {"counted": BLACK, "evolution": SKY, "pathwise": VERMILION, "surrogate": GREEN}
MARKERS = {"counted": "s", "evolution": "P", "pathwise": "X", "surrogate": "D"}
WORDS = {
    "counted": "counted differences",
    "evolution": "evolution strategies",
    "pathwise": "slopes through training",
    "surrogate": "slopes of a margin",
}
MIDDLES = (np.arange(SEGMENTS) + 0.5) / SEGMENTS
ASIDE = 0.009  # share of training between the marks of two estimators in a segment
REACH, BASIN_REACH = 2, 1.5  # the axes end at so many times the largest value of estimators that do not blow up


def draw(data: Json) -> Figure:
    """A column per task: above the derivative of P(A) by every estimator, below that of test scores inside a basin."""
    shown = [(task, f"{task}, {kinds[0]}") for task, kinds in ACTIVATIONS.items()]
    figure, panels, _ = grid(2 * len(shown), 1.8, columns=len(shown), sharex=True)
    for above, below, (task, key) in zip(panels[: len(shown)], panels[len(shown) :], shown, strict=True):
        edge = draw_estimators(above, data["studies"][key]["estimators"])
        if task != "race":
            above.set_yscale("symlog", linthresh=0.1, linscale=0.6)
            above.minorticks_off()
            above.set_ylim(-1.6 * edge, 1.6 * edge)
        draw_basin(below, data["studies"][key]["basin"])
        for ax in (above, below):
            ax.axhline(0, color="black", linewidth=0.6, linestyle=":")
        above.set_title(key.replace(", none", ""), loc="left", fontsize="small", fontweight="bold")
    panels[0].set_ylabel("of P(A)")
    panels[len(shown)].set_ylabel("of the test score\nof misaligned models")
    figure.supylabel("change per unit of weight held for 1% of training", fontsize="small")
    figure.supxlabel("when, as a share of training", fontsize="small")
    handles = [Line([], [], color=COLOURS[name], marker=MARKERS[name], linestyle="", markersize=3) for name in WORDS]
    handles.append(Line([], [], color=GREY, marker="^", linestyle="", markersize=4, markerfacecolor="white"))
    labels = [*WORDS.values(), "beyond the axis"]
    figure.legend(handles, labels, ncols=3, loc="outside upper center", frameon=False)
    return figure


def draw_estimators(ax: Axes, rows: Json) -> float:
    """Draw the derivative of P(A) by every estimator, and return the value at which what is beyond is drawn."""
    calm = [rows[name]["values"] for name in COLOURS if name != "pathwise"]
    edge = REACH * max(abs(x) for values in calm for x in values if x is not None) / PERCENT_EACH
    for index, (name, colour) in enumerate(COLOURS.items()):
        values, errors = (np.array(rows[name][key], float) / PERCENT_EACH for key in ("values", "errors"))
        x, inside = MIDDLES + ASIDE * (index - (len(COLOURS) - 1) / 2), np.abs(values) < edge
        style: dict[str, Any] = {"fmt": MARKERS[name], "color": colour, "markersize": 2.5, "linewidth": 0.7}
        ax.errorbar(x[inside], values[inside], 1.96 * errors[inside], **style)
        for side, marker in ((-1, "v"), (1, "^")):
            beyond = side * values >= edge
            heights = np.full(beyond.sum(), side * edge)
            ax.plot(x[beyond], heights, marker, color=colour, markersize=4, markerfacecolor="white")
    return edge


def draw_basin(ax: Axes, curves: Json) -> None:
    """Draw the derivative of test scores inside a basin, counted and through training."""
    edge = BASIN_REACH * np.abs(np.array(curves["counted"], float) / PERCENT_EACH).max()
    for name in ("counted", "pathwise"):
        values = np.array(curves[name], float) / PERCENT_EACH
        inside = np.abs(values) < edge
        ax.plot(MIDDLES[inside], values[inside], MARKERS[name], color=COLOURS[name], markersize=2.5)
        beyond = np.sign(values[~inside]) * edge
        ax.plot(MIDDLES[~inside], beyond, "^", color=COLOURS[name], markersize=4, markerfacecolor="white")


def words(data: Json) -> Json:
    """Return the title, the subtitle and the caption of the figure."""
    studies = data["studies"].values()

    def agrees(name: str) -> int:
        return sum(set(study["estimators"][name]["verdicts"].values()) == {"agrees"} for study in studies)

    first, *others = (name for name in WORDS if name != "counted")
    parts = [f"{WORDS[first]} in {agrees(first)} of {len(studies)} settings"]
    parts += [f"by {WORDS[name]} in {agrees(name)}" for name in others]
    seeds = [study["seeds"] for study in studies]
    return {
        "title": f"Counted derivatives are matched by {', '.join(parts)}",
        "subtitle": "Does an estimator give what is counted on seeds with a little more weight and a little less, "
        f"early and late in training? {min(seeds):,} to {max(seeds):,} seeds, 95% intervals.",
        "caption": caption(data),
    }


def caption(data: Json) -> str:
    """Return the caption, with every verdict."""
    verdicts = "; ".join(
        f"{key}: "
        + ", ".join(f"{name} {'/'.join(row['verdicts'].values())}" for name, row in study["estimators"].items())
        for key, study in data["studies"].items()
    )
    return (
        "Above: derivative of P(A) with respect to the weight of the test in each twentieth of training, 95% "
        "intervals. Below: derivative of the mean test score of models that stay misaligned, inside a basin, counted "
        "and through training. Hollow: beyond the axis, where single seeds blow up. Through training it is the slope "
        "of mean alignment, which in race is not that of P(A): there alignment is a matter of degree. Verdicts "
        f"early/late by the rule: {verdicts}. Default by the rule: {data['default']}."
    )


# --- the command --------------------------------------------------------------------------------------------------


def measure_with(activation: str, task: str, scale: float, first: int) -> Json:
    """Measure a task with one activation in the place of its own, and print what came out."""
    with mock.patch.object(nn, "relu", nn.gelu) if activation == "gelu" else contextlib.nullcontext():
        study = measure(task, scale, first)
    for name, row in study["estimators"].items():
        values = [f"{x:.3g}" if x is not None else "-" for x in row["values"]]
        print(task, activation, name, row["verdicts"], f"cost {row['cost']:.3g}", *values, flush=True)
    return study


def main() -> None:
    """Measure, judge and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the seeds, for a look")
    parser.add_argument("--first", type=int, default=DERIVATIVES.first, help="first seed, for a look")
    parser.add_argument("--out", type=Path, default=ROOT / "figures")
    parser.add_argument("--tasks", nargs="*", default=list(ACTIVATIONS), help="measure these again, keep the others")
    parser.add_argument("--redraw", action="store_true", help="only judge and draw what is stored")
    options = parser.parse_args()
    stored = options.out / "derivatives.json"
    studies = json.loads(stored.read_text())["studies"] if stored.exists() else {}
    for task in () if options.redraw else options.tasks:
        for activation in ACTIVATIONS[task]:
            studies[f"{task}, {activation}"] = measure_with(activation, task, options.scale, options.first)
    agrees, cost, default = choose_default(studies)
    print({name: (agrees[name], cost[name]) for name in agrees}, default)
    data = {"studies": studies, "agrees_everywhere": agrees, "cost": cost, "default": default}
    print(save(draw, data | words(data), options.out, "derivatives"))


if __name__ == "__main__":
    main()
