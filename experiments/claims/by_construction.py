"""Ensuring a property by construction beats rejecting on it, though it makes the proxy worthless as a test.

Command:   lab experiment by_construction
Expected:  depends: passing the test is a property that can be ensured and is worth little
Cost:      five minutes on 2 cores

A world where a held-out test is imperfect. On one side the test is held out, and models are rejected on it with as many
runs as it takes. On the other side the first model is taken, and a property is ensured. Three are: alignment, by
building the intended solution in; the same with flaws, by building in one half of it (`built_in` is the share of the
tempting solution that is taken away, or of the answer that is tied to what the overseer reads); and passing the test
itself, by training on it so hard that every model does. Smaller shares say from which one on building in wins. What is
built in whole is worthless as a test if no model that does the job fails it.

Rule, per task, with 95% intervals that hold together. Ensuring a property wins if P(A) with it is above P(A|T) held
out, and loses if it is below. Supported if all three win, the LR held out is above 1, and built in whole less than .02
of the models that do the job fail the test. Depends if this holds of what is built in whole and a property with flaws
loses. Contradicted if what is built in whole loses, or more than .02 of its models that do the job fail; else
undecided. (The first rules asked for alignment itself built in, at first for P(A) alone. On seeds from 7,200,000 the
second one was supported in `scratchpad`, `race` and `shortcut`, and undecided in `reasoner`, where up to 3% fail. This
rule was committed before the run on other seeds that decides.)

By the first rule the verdict in `reasoner` became its opposite with SGD instead of Adam: 39 of 64 models with alignment
built in could not do the job then. All 25 that could were aligned.
"""

from collections.abc import Mapping

from lab import claims
from lab.figures import name_task
from lab.figures.claim import UNABLE_FACE
from lab.figures.palette import BLUE, GREY, VERMILION
from lab.figures.style import WIDTH, Axes, Figure, Line, Mark, Patch, interval, subplots
from lab.statistics import Estimate, wilson_interval
from lab.statistics.counts import UNABLE_SHOWN
from lab.words import Json, estimate_from_json, estimate_json, setting, span

WORTHLESS = 0.02  # share of models that do the job and fail, below which the test tells nothing; of the rule
HALF = 0.5  # that is built in, of the rule
WHOLE, FLAWED, PASSING = "built in whole", "half built in", "passing the test"  # properties that are ensured
TOGETHER = 5  # intervals of the rule
COLUMNS = 3  # of panels


def judge(stored: claims.Stored) -> claims.Verdict:
    """Apply the rule to one task."""
    held_out = stored.at("hold_out", built_in=0)
    gains = {words: gain(stored, name) for words, name in ensured(stored).items()}
    ratio, fails = stored.rate(held_out, "likelihood_ratio", TOGETHER), failing(stored, ensured(stored)[WHOLE])
    pass_rate = stored.rate(ensured(stored)[PASSING], "pass_rate")
    why = (
        f"{claims.phrase('P(A|T) held out', stored.rate(held_out, 'aligned_given_pass'))}, "
        f"{claims.phrase('LR held out', ratio)}; P(A) with a property ensured, less that: {claims.phrases(gains)}; "
        f"building in wins from a share of {threshold(stored)} on; built in whole, of the models that do the job "
        f"{claims.phrase('fail the test', fails)}; {claims.phrase('P(T) trained to pass', pass_rate)}"
    )
    if gains[WHOLE].high < 0 or fails.low > WORTHLESS:
        return claims.Verdict(claims.CONTRADICTED, why)
    if not (gains[WHOLE].low > 0 and ratio.low > 1 and fails.high < WORTHLESS):
        return claims.Verdict(claims.UNDECIDED, why)
    if any(gains[words].high < 0 for words in (FLAWED, PASSING)):
        return claims.Verdict(claims.DEPENDS, why)
    win = all(gains[words].low > 0 for words in (FLAWED, PASSING))
    return claims.Verdict(claims.SUPPORTED if win else claims.UNDECIDED, why)


def ensured(stored: claims.Stored) -> dict[str, str]:
    """Return the condition in which each property is ensured."""
    return {
        WHOLE: stored.at("hold_out", built_in=1),
        FLAWED: stored.at("hold_out", built_in=HALF),
        PASSING: stored.at("trained_to_pass", built_in=0),
    }


def gain(stored: claims.Stored, name: str) -> Estimate:
    """Return P(A) of a condition, less P(A|T) of holding out with nothing built in."""
    held_out = stored.at("hold_out", built_in=0)
    return stored.difference(name, claims.aligned_share, held_out, claims.aligned_share_of_passing, TOGETHER)


def threshold(stored: claims.Stored) -> str:
    """Return the least share from which on building in wins for sure, in words."""
    least = "none"
    for share in reversed(stored.values("built_in")[1:]):
        if gain(stored, stored.at("hold_out", built_in=share)).low <= 0:
            break
        least = setting(share)
    return least


def failing(stored: claims.Stored, name: str) -> Estimate:
    """Return the share that fails the test of the models of a condition that do the job."""
    counts = stored.counts(name)
    able = counts.seeds - stored.conditions[name].get("incompetent", 0)
    failures = able - counts.passing
    return Estimate(failures / able, *wilson_interval(failures, able, stored.confidence(TOGETHER)))


def plotted(stored: claims.Stored) -> Json:
    """Return P(A|T) held out, P(A) by the share built in, and P(A) trained to pass, as plain JSON values."""
    built = {share: stored.at("hold_out", built_in=share) for share in stored.values("built_in")}

    def first_model(name: str) -> Json:
        return {**estimate_json(stored.rate(name, "base_rate")), "unable": stored.unable(name)}

    return {
        "rejected": estimate_json(stored.rate(built[0], "aligned_given_pass")),
        "built": [{"share": share, **first_model(name)} for share, name in built.items()],
        "trained": first_model(ensured(stored)[PASSING]),
    }


def finding(tasks: Mapping[str, Json]) -> str:
    """Return how many models are aligned with the intended solution built in, and how many that pass a test."""
    plotted = [counts["plotted"] for counts in tasks.values()]
    built = span(shown["built"][-1]["value"] for shown in plotted)
    rejected = span(shown["rejected"]["value"] for shown in plotted)
    return f"With the solution built in, {built} of models are aligned; of those that pass a held-out test, {rejected}"


def draw(data: Json) -> Figure:
    """A panel per task: P(A) of the first model by the share built in, beside P(A|T) of rejecting."""
    tasks = data["tasks"]
    lines = -(-(1 + len(tasks)) // COLUMNS)  # the last panel is for the legend
    figure, axes = subplots(lines, COLUMNS, figsize=(WIDTH, 0.3 + 1.6 * lines), squeeze=False, sharey=True)
    for ax, (task, counts) in zip(axes.flat, tasks.items(), strict=False):
        draw_task(counts["plotted"], ax)
        name_task(ax, task, counts)
    for ax in axes.flat[len(tasks) :]:
        ax.set_axis_off()
    legend = {"handles": _legend(), "loc": "center", "frameon": False, "fontsize": "x-small", "labelspacing": 1}
    axes.flat[-1].legend(**legend).set_in_layout(False)
    axes[0][0].set_ylim(-0.03, 1.03)
    figure.supylabel("share of aligned models", fontsize="small")
    figure.supxlabel("share of the intended solution that is built in; trained: none, but to pass", fontsize="small")
    return figure


def _legend() -> list[Line | Patch]:
    """Return the marks with what they mean."""
    alike = {"linestyle": "none", "markersize": 3.5}
    return [
        Line([], [], color=GREY, linewidth=0.8, label="hold the test out,\ntake the first that passes: P(A|T)"),
        Line([], [], color=BLUE, marker="o", label="build the solution in,\ntake the first: P(A)", **alike),
        Line([], [], color=VERMILION, marker="p", label="train to pass the test,\ntake the first: P(A)", **alike),
        Patch((0, 0), 1, 1, label="cannot do the job", **UNABLE_FACE),
    ]


def draw_task(plotted: Json, ax: Axes) -> None:
    """Draw the share of aligned models of every way to ensure something, and of rejecting."""
    rejected, built = estimate_from_json(plotted["rejected"]), plotted["built"]
    ax.axhspan(rejected.low, rejected.high, color=GREY, alpha=0.3, linewidth=0)
    ax.axhline(rejected.value, color=GREY, linewidth=0.8)
    places = [*range(len(built)), len(built) + 0.4]  # what is trained stands apart
    for place, row in zip(places, [*built, plotted["trained"]], strict=True):
        mark = Mark(BLUE) if "share" in row else Mark(VERMILION, "p")
        interval(ax, place, estimate_from_json(row), mark, upright=True)
        if row["unable"] > UNABLE_SHOWN:
            ax.bar(place, row["unable"], bottom=1 - row["unable"], width=0.5, **UNABLE_FACE)
    names = [setting(row["share"]).replace("0.", ".") for row in built]
    ax.set_xticks(places, [*names, "trained"], fontsize="x-small")
    ax.set_xlim(-0.5, len(built) + 1)


CAPTION = claims.Caption(
    question="Points above the grey band: ensuring a property beats rejecting on it.",
    before="Points above the grey band: the first model of those with the property ensured is more likely aligned than "
    "one that passes the test where it is held out and nothing is ensured.",
    marks="hatched: models that cannot do the job, which P(A) counts as misaligned",
)
