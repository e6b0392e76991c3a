"""Where does differentiation through training work, and where does it lie? Four estimators beside counted differences.

Command:   python -m experiments.studies.derivatives [--seeds N] [--redraw]
Expected:  counted differences and evolution strategies agree everywhere; derivatives through training agree where
           alignment is a matter of degree, and give next to nothing where seeds change basin, whatever the activation
           and precision; the surrogate sees the first moments and claims effects later that are not there
Cost:      about twenty minutes on 2 cores

The derivative of P(A) with respect to the weight of the test in 20 segments of holding out, in worlds where a held-out
test is itself imperfect, by

    counted     central differences of counted outcomes on shared seeds (`lab.studies.sensitivity`), the truth here
    evolution   antithetic pairs with all segments moved at once, on seeds of their own
    pathwise    the mean slope of the alignment score at the end, through all of training in reverse mode
    pathwise64  the same in float64
    surrogate   the slope of a margin read at the end of the segment

with the activation that the tasks have (relu, which is kinked) and with gelu, which is smooth; `race` has none. Inside
a basin, the derivative of the mean test score of those that end misaligned whatever the weight, pathwise against
differences.

The rule, written before the deciding seeds (from 6,000,000) were trained. An estimator *agrees* with the counts in a
stretch of training (early: the first three segments; late: the rest) if at most one segment in ten there differs by
more than three joint standard errors, and the sum over the stretch does not; else it *disagrees*. It is *blind* if it
disagrees and its sum is less than a fifth of the counted one, and *noisy* if it agrees but the standard error of its
sum is more than ten times that of the counts. Its cost is the processor time it took, compiling included, times the
mean squared standard error over segments, as a multiple of that of counting: what the same precision costs. The
default of `lab sensitivity` is the estimator that agrees everywhere, in all tasks, with the lowest cost (geometric mean
over tasks and activations).
"""

import argparse
import contextlib
import json
import math
import tempfile
import time
from pathlib import Path
from unittest import mock

import flax.linen as nn
import jax.numpy as jnp
import numpy as np
from tueplots import figsizes

from lab.config.experiment import parse
from lab.figures import GREY, save
from lab.figures.style import matplotlib, subplots
from lab.results import outcomes, shards
from lab.studies import estimators as derivatives
from lab.studies import sensitivity
from lab.training import engine

ROOT = Path(__file__).resolve().parents[2]
FIRST = 6_000_000
EARLY = {"early": slice(0, 3), "late": slice(3, None)}
CONFIG = """
name: derivatives
task: {task}
seeds: {{first: {first}, count: {seeds}}}
knobs: {{{knobs}}}
training: {{segments: 20}}
regimens:
  hold_out: [{{until: 1}}]
"""
# task -> knobs, step of the weight, width of evolution strategies, seeds; looked at on 3,000,000+
SETTINGS = {
    "race": ("preference: 0, implicit_proxy: 0.1, detectability: 2", 0.02, 0.01, 16384),
    "scratchpad": ("preference: -0.006, implicit_proxy: 0.03, implicit_onset: 0.4", 0.002, 0.002, 2048),
    "shortcut": ("detectability: 3", 0.01, 0.01, 4096),
}
ACTIVATIONS = {"race": ("none",), "scratchpad": ("relu", "gelu"), "shortcut": ("relu", "gelu")}
TERM = "test"


def counted(experiment, condition, step):
    """Return outcomes and test scores with the weight raised and lowered in every segment."""
    changed = sensitivity.changes(experiment.task, [TERM], step)
    values = json.loads(sensitivity.config(experiment, condition, changed))
    values["regimens"] = {name: own for name, own in values["regimens"].items() if not name.startswith("push")}
    with tempfile.TemporaryDirectory() as folder:
        run = engine.run(parse(json.dumps(values)), Path(folder, "run"))
        results = shards.results(run, last_only=True)
    return outcomes.classify(results), results["test"].values[:, :, -1].astype(float)


def sides(ended, index):
    """Return the places of the conditions with a higher and a lower weight in a segment."""
    names = list(map(str, ended.condition.values))
    return [names.index(f"{side}-{TERM}-{index:03d}") for side in ("up", "down")]


def verdict(truth, errors, values, own_errors):
    """Return agrees, noisy, disagrees or blind for one stretch of training."""
    there = np.isfinite(values)
    truth, errors, values, own_errors = (part[there] for part in (truth, errors, values, own_errors))
    apart = np.abs(values - truth) / np.maximum(np.hypot(errors, own_errors), 1e-12)
    total = abs(values.sum() - truth.sum()) / max(math.hypot(np.linalg.norm(errors), np.linalg.norm(own_errors)), 1e-12)
    if (apart > 3).mean() <= 0.1 and total <= 3:
        return "noisy" if np.linalg.norm(own_errors) > 10 * np.linalg.norm(errors) else "agrees"
    return "blind" if abs(values.sum()) < 0.2 * abs(truth.sum()) else "disagrees"


def measure(task, activation, scale):
    """Return everything about one task with one activation."""
    knobs, step, sigma, seeds = SETTINGS[task]
    seeds = max(256, int(seeds * scale))
    experiment = parse(CONFIG.format(task=task, first=FIRST, seeds=seeds, knobs=knobs))
    condition, segments = experiment.conditions[0], len(experiment.ends)
    own = (experiment, condition, [TERM])
    fewer = FIRST + np.arange(max(32, min(512, seeds // 4) // 32 * 32), dtype=np.uint32)
    rows, clock = {}, {}

    @contextlib.contextmanager
    def timed(name):
        started = time.process_time()
        yield
        clock[name] = time.process_time() - started

    with timed("counted"):
        ended, tested = counted(experiment, condition, step)
    aligned = ended["aligned"].values.astype(float)
    places = np.array([sides(ended, index) for index in range(segments)])
    slopes = (aligned[places[:, 0]] - aligned[places[:, 1]]) / (2 * step)
    # where no seed changed side one might have: that is what the counts cannot tell from nothing
    errors = np.maximum(slopes.std(1) / math.sqrt(seeds), 1 / (2 * step * seeds))
    rows["counted"] = slopes.mean(1), errors
    with timed("evolution"):
        found = derivatives.evolution(*own, sigma, seeds, FIRST + 10 * seeds)["base_rate"]
    rows["evolution"] = found.values[:, 0], found.errors[:, 0]
    for name, dtype in (("pathwise", jnp.float32), ("pathwise64", jnp.float64)):
        with timed(name):
            each = derivatives.pathwise(*own, fewer, dtype=dtype)[:, :, 0].astype(float)
        rows[name] = each.mean(0), each.std(0) / math.sqrt(len(each))
    with timed("surrogate"):
        early = derivatives.surrogate(*own, fewer)
    rows["surrogate"] = early.slopes.values[:, 0], early.slopes.errors[:, 0]
    both = (aligned[places] == 0).all((0, 1))
    both &= np.arange(seeds) < len(fewer)  # the same seeds for both
    basin = (tested[places[:, 0]] - tested[places[:, 1]])[:, both].mean(1) / (2 * step)
    inside = derivatives.pathwise(*own, fewer, "test")[:, :, 0].astype(float)[both[: len(fewer)]].mean(0)
    spent = {name: clock[name] * float((rows[name][1] ** 2).mean()) for name in rows}
    return {
        "step": step,
        "seeds": seeds,
        "base_rate": float(aligned[list(map(str, ended.condition.values)).index("as-is")].mean()),
        "estimators": {
            name: {
                "values": plain(values),
                "errors": plain(own_errors),
                "processor_seconds": round(clock[name], 1),
                "cost": spent[name] / spent["counted"],
                "largest": float(np.abs(each).max()) if name == "pathwise64" else None,
                "verdicts": {
                    stretch: verdict(rows["counted"][0][part], errors[part], values[part], own_errors[part])
                    for stretch, part in EARLY.items()
                },
            }
            for name, (values, own_errors) in rows.items()
        },
        "decides": plain(early.decides),
        "basin": {"counted": plain(basin), "pathwise": plain(inside)},
    }


def plain(values):
    return [float(x) if math.isfinite(x) else None for x in values]


def chosen(data):
    """Return estimator -> (does it agree everywhere, geometric mean of its cost), and the default by the rule."""
    found = {}
    for name in next(iter(data.values()))["estimators"]:
        own = [row["estimators"][name] for row in data.values()]
        agrees = all(said == "agrees" for row in own for said in row["verdicts"].values())
        found[name] = agrees, math.exp(sum(math.log(max(row["cost"], 1e-12)) for row in own) / len(own))
    return found, min((name for name, (agrees, _) in found.items() if agrees), key=lambda name: found[name][1])


COLOURS = {"counted": GREY, "evolution": "#0072B2", "pathwise": "#D55E00", "surrogate": "#009E73"}
MARKERS = {"counted": "s", "evolution": "o", "pathwise": "v", "surrogate": "D"}


def draw(data):
    """A column per task: above the derivative of P(A) by every estimator, below that of test scores inside a basin."""
    width = figsizes.neurips2024()["figure.figsize"][0]
    shown = [(task, f"{task}, {kinds[0]}") for task, kinds in ACTIVATIONS.items()]
    figure, axes = subplots(2, len(shown), figsize=(width * 1.1, 3.3), sharex=True)
    for column, (task, key) in zip(axes.T, shown, strict=True):
        own = data["studies"][key]
        middle = (np.arange(20) + 0.5) / 20
        calm = [own["estimators"][name]["values"] for name in COLOURS if name != "pathwise"]
        most = 2 * max(abs(x) for row in calm for x in row if x is not None) / 5
        for index, (name, colour) in enumerate(COLOURS.items()):
            row = own["estimators"][name]
            values, errors = (np.array(row[key], float) / 5 for key in ("values", "errors"))
            at, inside = middle + 0.009 * (index - 1.5), np.abs(values) < most
            style = {"fmt": MARKERS[name], "color": colour, "markersize": 2.5, "linewidth": 0.7}
            column[0].errorbar(at[inside], values[inside], 1.96 * errors[inside], **style)
            for side in (-1, 1):  # beyond what the others reach
                beyond = side * values >= most
                marker = {-1: "v", 1: "^"}[side]
                column[0].plot(at[beyond], np.full(beyond.sum(), side * most), marker, color=colour, markersize=4,
                               markerfacecolor="white")  # fmt: skip
        if task != "race":
            column[0].set_yscale("symlog", linthresh=0.1, linscale=0.6)
            column[0].minorticks_off()
            column[0].set_ylim(-1.6 * most, 1.6 * most)
        counted_basin = np.array(own["basin"]["counted"], float) / 5
        edge = 1.5 * np.abs(counted_basin).max()
        for name in ("counted", "pathwise"):
            values = np.array(own["basin"][name], float) / 5
            inside = np.abs(values) < edge
            column[1].plot(middle[inside], values[inside], MARKERS[name], color=COLOURS[name], markersize=2.5)
            column[1].plot(middle[~inside], np.sign(values[~inside]) * edge, "^", color=COLOURS[name],
                           markersize=4, markerfacecolor="white")  # fmt: skip
        for ax in column:
            ax.axhline(0, color="black", linewidth=0.6, linestyle=":")
        column[0].set_title(key.replace(", none", ""), loc="left", fontsize="small")
        column[1].set_xlabel("share of training")
    axes[0, 0].set_ylabel("P(A)\nper unit of weight and 1%")
    axes[1, 0].set_ylabel("test score, misaligned\nper unit of weight and 1%")
    handles = [
        matplotlib.lines.Line2D([], [], color=COLOURS[name], marker=MARKERS[name], linestyle="", markersize=3)
        for name in COLOURS
    ]
    names = ["counted differences (the truth)", "evolution strategies", "through training", "margin surrogate"]
    figure.legend(handles, names, ncols=4, loc="outside upper center", frameon=False, fontsize="x-small")
    return figure


def caption(data):
    own = data["studies"]
    said = "; ".join(
        f"{key}: "
        + ", ".join(f"{name} {'/'.join(row['verdicts'].values())}" for name, row in study["estimators"].items())
        for key, study in own.items()
    )
    return (
        "Above: derivative of P(A) with respect to the weight of the test in each twentieth of training, 95% "
        "intervals. Below: derivative of the mean test score of models that stay misaligned, inside a basin, counted "
        "and through training. Hollow: beyond the axis, where single seeds blow up. Through training it is the slope "
        "of mean alignment, which in race is not that of P(A): there alignment is a matter of degree. Verdicts "
        f"early/late by the rule: {said}. Default by the rule: {data['default']}."
    )


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--scale", type=float, default=1.0, help="share of the seeds, for a look")
    parser.add_argument("--first", type=int, default=FIRST, help="first seed, for a look")
    parser.add_argument("--out", type=Path, default=ROOT / "figures")
    parser.add_argument("--tasks", nargs="*", default=list(ACTIVATIONS), help="measure these again, keep the others")
    parser.add_argument("--redraw", action="store_true", help="only judge and draw what is stored")
    options = parser.parse_args()
    globals()["FIRST"] = options.first
    stored = options.out / "derivatives.json"
    studies = json.loads(stored.read_text())["studies"] if stored.exists() else {}
    if not options.redraw:
        for task in options.tasks:
            for activation in ACTIVATIONS[task]:
                with mock.patch.object(nn, "relu", nn.gelu) if activation == "gelu" else contextlib.nullcontext():
                    own = studies[f"{task}, {activation}"] = measure(task, activation, options.scale)
                for name, row in own["estimators"].items():
                    values = [f"{x:.3g}" if x is not None else "-" for x in row["values"]]
                    print(task, activation, name, row["verdicts"], f"cost {row['cost']:.3g}", *values, flush=True)
    table, default = chosen(studies)
    print(table, default)
    data = {"studies": studies, "agrees_everywhere": {name: agrees for name, (agrees, _) in table.items()}}
    data |= {"cost": {name: cost for name, (_, cost) in table.items()}, "default": default}
    print(save(draw, data | {"caption": caption(data)}, options.out, "derivatives"))


if __name__ == "__main__":
    main()
