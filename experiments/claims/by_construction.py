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

from lab import claims
from lab.figures.style import BLUE, GREY, ORANGE, WIDTH, Axes, Figure, Mark, interval, subplots
from lab.statistics import Estimate, wilson_interval
from lab.words import Json, estimate_from_json, estimate_json, setting

WORTHLESS = 0.02  # share of models that do the job and fail, below which the test tells nothing; of the rule
HALF = 0.5  # that is built in, of the rule
WHOLE, FLAWED, PASSING = "built in whole", "half built in", "passing the test"  # properties that are ensured
TOGETHER = 5  # intervals of the rule


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
    return {
        "rejected": estimate_json(stored.rate(built[0], "aligned_given_pass")),
        "built": [{"share": share, **estimate_json(stored.rate(name, "base_rate"))} for share, name in built.items()],
        "trained": estimate_json(stored.rate(ensured(stored)[PASSING], "base_rate")),
    }


def draw(data: Json) -> Figure:
    """A panel per task: P(A) of the first model by the share built in, beside P(A|T) of rejecting."""
    tasks = data["tasks"]
    figure, axes = subplots(1, len(tasks), figsize=(WIDTH * 1.2, 2.1), squeeze=False, sharey=True)
    for ax, (task, counts) in zip(axes[0], tasks.items(), strict=True):
        draw_task(counts["plotted"], ax)
        ax.set_title(task, loc="left", fontsize="small", fontweight="bold")
    axes[0][0].set_ylabel("share of aligned models")
    axes[0][0].set_ylim(-0.03, 1.03)
    figure.supxlabel("share of the property that is built in", fontsize="small")
    figure.legend(*axes[0][0].get_legend_handles_labels(), loc="outside upper center", ncols=3, fontsize="x-small")
    return figure


def draw_task(plotted: Json, ax: Axes) -> None:
    """Draw the share of aligned models of every way to ensure something, and of rejecting."""
    rejected, built = estimate_from_json(plotted["rejected"]), plotted["built"]
    ax.axhspan(rejected.low, rejected.high, color=GREY, alpha=0.3, linewidth=0)
    ax.axhline(rejected.value, color=GREY, linewidth=0.8, label="rejecting: the first that passes, test held out")
    for place, row in enumerate(built):
        interval(ax, place, estimate_from_json(row), Mark(BLUE), upright=True)
    interval(ax, len(built), estimate_from_json(plotted["trained"]), Mark(ORANGE, "^"), upright=True)
    for mark, words in (
        (Mark(BLUE), "built in: the first model"),
        (Mark(ORANGE, "^"), "trained to pass: the first one"),
    ):
        ax.plot([], [], color=mark.colour, marker=mark.marker, markersize=mark.size, linestyle="none", label=words)
    names = [setting(row["share"]) for row in built]
    ax.set_xticks(range(len(built) + 1), [*names, "trained"], fontsize=6, rotation=90)


CAPTION = claims.Caption(
    before="Points above the grey band: the first model of those with the property ensured is more likely aligned than "
    "one that passes the test where it is held out and nothing is ensured.",
    marks="",
)
