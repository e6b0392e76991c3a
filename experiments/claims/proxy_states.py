"""A proxy can be useless, worse than useless or very effective, and very effective is not automatically good.

Command:   lab experiment proxy_states
Expected:  depends: where a test is worse than useless, its overseer was wrong before anybody trained on it
Cost:      a quarter of an hour on 2 cores

The regimens of `four_regimens` in both of their worlds. Beside them two worlds of an overseer who errs, or who wants
few confessions where mistakes happen: seldom, and mostly. There the test is held out, and trained on early, late and
throughout.

In `reasoner` one state is not shown with 256 seeds: a useless test. The LR of the nearest, trained on throughout with
something like it in the objective, is 1.16, and its upper limit 1.29 instead of 1.25. With 512 seeds it would be
useless if shares stay, and the verdict depends; these are 11,000 models.

Rule, per task, with 95% intervals one by one. A test is worse than useless if its LR is below 1 and P(A) is above
P(A|T), so that the first model is the better choice. Three states are asked for: some regimen makes the test useless
(LR within .8 to 1.25); in some world of the erring overseer a regimen leaves it worse than useless; and some regimen
makes it very effective (LR above 20) while its P(A) is below that of holding out in the same world. Supported if all
three are there, and the second one is reached by training on a test whose LR was above 1 held out. Depends if all three
are there, and no training on such a test can take its LR below .8. Contradicted if every LR of the erring overseer is
above 1, or no regimen's LR can be above 20; else undecided. (After the first run: the rule asked for an LR below 1 held
out, and neither for the better choice nor for training. On seeds from 7,000,000 it was supported in `scratchpad`,
`race` and `shortcut`, and undecided in `reasoner`. The new rule was committed before the run on other seeds that
decides.)
"""

import math
from collections.abc import Mapping
from pathlib import Path

from lab import claims, figures
from lab.config.experiment import Experiment, load
from lab.figures.palette import BLACK, GREY
from lab.figures.style import WIDTH, Axes, Line, Mark, Patch, interval, label
from lab.results import shards
from lab.statistics import Estimate
from lab.statistics.counts import UNABLE_SHOWN
from lab.words import Json, estimate_from_json, percent

# LRs of the rule
USELESS = (0.8, 1.25)
EFFECTIVE = 20
COLUMNS = ("base_rate", "likelihood_ratio")
HEADINGS = ("something like it hides", "the overseer errs")
STATES = {  # of a test -> LRs, colour
    "worse than useless: LR < 1": ((0.01, 1.0), "#f6e3da"),
    "useless: LR near 1": (USELESS, "#e4e4e4"),
    "very effective: LR > 20": ((EFFECTIVE, 1e5), "#dde8f2"),
}
EDGES = (0.1, 1000.0)  # of the axis of LRs


def study(experiment: Experiment, folder: Path, train: claims.Train) -> Json:
    """Count the worlds of the erring overseer, and the regimens on as many of the same seeds."""
    erring = claims.count_conditions(shards.results(train(experiment, folder), last_only=True))
    regimens = load(claims.ROOT / "configs/claims/regimens.yaml", task=experiment.task.name)
    regimens = regimens.with_seeds(len(experiment.seeds), experiment.seeds[0])
    results = shards.results(train(regimens, folder.parent / regimens.folder_name), last_only=True)
    return join(claims.count_conditions(results), erring)


def join(first: Json, second: Json) -> Json:
    """Return the counts of two runs as those of one; no pair has a condition of each."""
    shift = len(first["order"])
    pairs = ((key.split(","), counts) for key, counts in second["joints"].items())
    joints = {f"{int(one) + shift},{int(other) + shift}": counts for (one, other), counts in pairs}
    return first | {
        "order": [*first["order"], *second["order"]],
        "conditions": first["conditions"] | second["conditions"],
        "joints": first["joints"] | joints,
    }


def errs(stored: claims.Stored, name: str) -> bool:
    """Return whether a condition is one of the erring overseer; the others say how much of a test hides elsewhere."""
    return "implicit_proxy" not in stored.coordinates(name)


def shown(stored: claims.Stored) -> list[str]:
    """Return the conditions that the figure shows: of each two worlds the one with the poorer test."""
    erring = [name for name in stored.names if errs(stored, name)]
    (axis,) = {axis for name in erring for axis in stored.coordinates(name)}
    poor = {axis: stored.values(axis)[-1], "implicit_proxy": stored.values("implicit_proxy")[-1]}
    return [name for name in stored.names if stored.coordinates(name).items() <= poor.items()]


def heading(stored: claims.Stored, name: str) -> str:
    """Return what is wrong with the test in the world of a condition."""
    return HEADINGS[errs(stored, name)]


def judge(stored: claims.Stored) -> claims.Verdict:
    """Apply the rule to one task."""
    ratios = {name: stored.rate(name, "likelihood_ratio") for name in stored.names}
    erring = {name: ratio for name, ratio in ratios.items() if errs(stored, name)}
    sound = {name: ratio for name, ratio in ratios.items() if name not in erring}
    useless = [name for name, ratio in sound.items() if USELESS[0] < ratio.low and ratio.high < USELESS[1]]
    worse = [name for name, ratio in erring.items() if ratio.high < 1 and gain_of_first(stored, name).low > 0]
    effective = [name for name, ratio in sound.items() if ratio.low > EFFECTIVE]
    costly = [name for name in effective if fewer_aligned(stored, name)]
    trained = {  # on a test that held out tells aligned models
        name: ratio
        for name, ratio in erring.items()
        if (baseline := stored.baseline(name)) is not None and ratios[baseline].low > 1
    }
    reached = [name for name in worse if name in trained]
    why = (
        f"useless: {', '.join(useless) or 'none'}; worse than useless: {', '.join(worse) or 'none'}, of which by "
        f"training {', '.join(reached) or 'none'}; very effective with fewer aligned than held out: "
        f"{', '.join(costly) or 'none'}, of {len(effective)} very effective; LR after training on a test that was "
        f"above 1: {claims.phrases(trained) or 'none'}"
    )
    if all(ratio.low > 1 for ratio in erring.values()) or all(ratio.high < EFFECTIVE for ratio in sound.values()):
        return claims.Verdict(claims.CONTRADICTED, why)
    if not (useless and worse and costly):
        return claims.Verdict(claims.UNDECIDED, why)
    never = trained and all(ratio.low > USELESS[0] for ratio in trained.values())
    return claims.Verdict(claims.SUPPORTED if reached else claims.DEPENDS if never else claims.UNDECIDED, why)


def gain_of_first(stored: claims.Stored, name: str) -> Estimate:
    """Return P(A) less P(A|T): what the first model is better by than one that passes."""
    return stored.of_shares(name, lambda shares: claims.aligned_share(shares) - claims.aligned_share_of_passing(shares))


def fewer_aligned(stored: claims.Stored, name: str) -> bool:
    """Return whether P(A) of a condition is below that of holding out in its world, for sure."""
    baseline = stored.baseline(name)
    return baseline is not None and stored.change(name, baseline, "base_rate").high < 0


def draw(data: Json) -> figures.Figure:
    """P(A) over the LR of every regimen: a column of panels per task, a row per world."""
    tasks = data["tasks"]
    rows = [row for counts in tasks.values() for row in counts["plotted"]]
    marks = figures.marks_by_name(rows)
    figure, axes = figures.subplots(
        len(HEADINGS), len(tasks), figsize=(WIDTH, 4.0), sharex=True, sharey=True, squeeze=False
    )
    for panels, (task, counts) in zip(axes.T, tasks.items(), strict=True):
        for ax, words in zip(panels, HEADINGS, strict=True):
            draw_world([row for row in counts["plotted"] if row["heading"] == words], ax, marks)
        figures.name_task(panels[0], f"{task}\n", counts)
    for ax, words in zip(axes[:, 0], HEADINGS, strict=True):
        ax.set_ylabel(f"{words}\nP(A), aligned of all", fontsize="x-small")
    figure.supxlabel("LR of the test: what passing says", fontsize="small")
    explain(figure, marks)
    return figure


def draw_world(rows: list[Json], ax: Axes, marks: Mapping[tuple[str, str], Mark]) -> None:
    """Draw P(A) over the LR of the regimens of a world, with the states of a test shaded.

    Args:
        rows: of the regimens, holding out first.
        ax: the panel.
        marks: of regimens by their names.
    """
    ax.set_xscale("log")
    for (low, high), colour in STATES.values():
        ax.axvspan(low, high, color=colour, linewidth=0, zorder=0.5)
    ax.axvline(1, color=BLACK, linewidth=0.6, linestyle=":", zorder=0.9)
    ax.axhline(rows[0]["base_rate"]["value"], color=GREY, linewidth=0.6, linestyle="--", zorder=0.9)
    for row in rows:
        ratio, base_rate = (estimate_from_json(row[key]) for key in ("likelihood_ratio", "base_rate"))
        mark = marks[figures.name_of(row)]
        if not math.isnan(ratio.value):
            interval(ax, base_rate.value, ratio, mark, EDGES)
    if (unable := max(row["unable"] for row in rows)) > UNABLE_SHOWN:
        words = f"up to {percent(round(unable, 2))}\ncannot do\nthe job"
        ax.text(0.97, 0.88, words, transform=ax.transAxes, ha="right", va="top", fontsize="x-small")
    ax.set_xlim(EDGES[0] * 0.8, EDGES[1] * 1.3)
    ax.set_xticks([0.1, 1, 10, 100, 1000], ["0.1", "1", "10", "100", "1000"])
    ax.set_yticks([0, 0.5, 1], ["0", "0.5", "1"])
    ax.set_ylim(-0.06, 1.06)
    ax.minorticks_off()
    ax.tick_params(labelsize="x-small")


def explain(figure: figures.Figure, marks: Mapping[tuple[str, str], Mark]) -> None:
    """Say above the panels which mark is which regimen, and what is shaded."""
    handles = [
        Line([], [], color=mark.colour, marker=mark.marker, markersize=mark.size, linewidth=mark.width)
        for mark in marks.values()
    ]
    handles += [Patch((0, 0), 1, 1, color=colour, linewidth=0) for _, colour in STATES.values()]
    handles += [Line([], [], color=GREY, linewidth=0.6, linestyle="--")]
    words = [*(label(words) for words, _ in marks), *STATES, "P(A) held out"]
    figure.legend(
        handles, words, loc="outside upper center", ncols=4, frameon=False, fontsize="x-small", handlelength=1.5
    )


CAPTION = claims.Caption(
    question="How good is the test (to the right), and how many models are aligned (up), under each regimen?",
    before="A regimen that leaves no misaligned model has no LR and is not drawn.",
    marks="arrows: the LR has no limit on the axis",
)
