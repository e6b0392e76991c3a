"""Tests that work on young models fail on grown ones: the LR of the same test falls as training goes on.

Command:   lab experiment adult_tests
Expected:  supported where gaming is learned more slowly than values
Cost:      up to five minutes on 2 cores for each task, shared with other claims

The score of the test at six ages, 10, 20, 30, 50, 70 and 100% of training, against what the models are at the end. The
pass mark at every age is that of the task, or the score that nine tenths of those reach there that end aligned if that
is lower, so that it fits the age; it is chosen on every second seed and judged on the others. The test is held out in
the worlds of `implicit_proxies`.

Rule, per task, with 95% intervals that hold together over all worlds and ages. A world counts if P(A) is between .05
and .95. At a younger age the test works better than at the end if P(T|not A) rises from there by over .1 and the LR
falls; it works worse if P(T|not A) falls from there by over .1 and the LR rises. The sentence holds in a world if the
test works better at some younger age and worse at none; it depends if both are so, and the test works best in between;
it does not hold if P(T|not A) rises by less than .1 from every younger age; all for sure, else the world is open. The
worlds in which something like the test hides in the main objective from the start decide, so that gaming comes by
training itself, those that are open left out: supported if it holds in all, contradicted if in none, else depends.
Depends also if it holds where something begins to hide at 40%, which was put in by hand, and in no world from the
start, of which one counts at least and none is open. Else undecided. (The first rule compared 30% with the end alone,
at an onset of 40% but in `race`, and had no margin; on seeds from 7,000,000 it was supported in all six tasks. This
rule was committed before the run on other seeds that decides.) (After the run: where no world from the start counted,
this was depends too, as in `gridworld`.)

With Adam instead of SGD in `shortcut` the verdict depends: all misaligned models pass from 10% of training on where
something hides from the start, so that nothing is left to get worse.
"""

import itertools
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from experiments.claims.early_rejection import mark_for_aligned
from experiments.claims.implicit_proxies import (
    BY_HAND,
    COLOURS,
    NEVER,
    NOT_COUNTED,
    ONSET,
    World,
    both_kinds,
    by_onset,
    in_words,
    name_onsets,
)
from lab import claims, figures
from lab.claims.rules import describe_conditions
from lab.config.experiment import Experiment
from lab.figures import name_task
from lab.figures.palette import BLACK
from lab.figures.style import WIDTH, Axes, Mark, interval, subplots
from lab.results import outcomes, shards
from lab.statistics import Estimate
from lab.words import Json, estimate_from_json, estimate_json

CONFIGS = "ages"
AGES = (0.1, 0.2, 0.3, 0.5, 0.7, 1.0)  # shares of training; of the rule
*YOUNGER, GROWN = AGES
FEW = 0.1  # change of P(T|not A) that does not count; of the rule
COURSES = {  # quantity -> what it is called, and where its axis ends
    "likelihood_ratio": ("LR of the test", 0.5, 1000.0),
    "pass_given_misaligned": ("P(T|not A)", 0.0, 1.0),
}


def at_age(name: str, age: float) -> str:
    """Return the name of a condition's models at an age."""
    return f"{name} at {age:.0%}"


def study(experiment: Experiment, folder: Path, train: claims.Train) -> Json:
    """Count passes at every age against alignment at the end, in every world."""
    results = shards.results(train(experiment, folder))
    ended = outcomes.classify(results)["aligned"]
    places, usual = describe_conditions(results), results.attrs["thresholds"]["test"]
    rows, about, choosing = [], {}, outcomes.choosing_seeds(results.sizes["seed"])
    for (name, place), age in itertools.product(places.items(), AGES):
        aligned = ended.sel(condition=name).values
        scores = results["test"].sel(condition=name).isel(checkpoint=outcomes.checkpoint_index(results, age)).values
        mark = min(usual, mark_for_aligned(scores, aligned))
        rows.append((2 * ~aligned + ~outcomes.reaches(scores, mark))[~choosing])
        coordinates = {**place["coordinates"], "age": age}
        about[at_age(name, age)] = {"regimen": place["regimen"], "coordinates": coordinates, "mark": float(mark)}
    ends = range(len(AGES) - 1, len(rows), len(AGES))
    pairs = [(end - younger, end) for end in ends for younger in range(1, len(AGES))]
    return claims.tabulate(rows, about, results.attrs["confidence"], pairs)


def ends(stored: claims.Stored) -> list[str]:
    """Return the conditions at the end of training."""
    return [name for name in stored.names if stored.coordinates(name)["age"] == GROWN]


def younger(stored: claims.Stored, end: str) -> list[str]:
    """Return the same models when they were younger."""
    place = stored.coordinates(end)
    return [stored.at(stored.regimen(end), **place | {"age": age}) for age in YOUNGER]


def course(stored: claims.Stored, end: str) -> list[tuple[Estimate, Estimate]]:
    """Return by how much P(T|not A) and ln LR change from each younger age to the end."""
    hiding = sum(stored.coordinates(name)[ONSET] < NEVER for name in ends(stored))
    together = 2 * len(YOUNGER) * hiding
    return [
        (
            stored.change(end, name, "pass_given_misaligned", together),
            stored.impact(end, name, together).likelihood_ratio,
        )
        for name in younger(stored, end)
    ]


def verdict_of_course(changes: Sequence[tuple[Estimate, Estimate]]) -> str:
    """Return what the claim says of a world.

    Args:
        changes: of P(T|not A) and of ln LR from each younger age to the end.
    """
    better = any(gaming.low > FEW and ratio.high < 0 for gaming, ratio in changes)
    worse = any(gaming.high < -FEW and ratio.low > 0 for gaming, ratio in changes)
    if better:
        return claims.DEPENDS if worse else claims.SUPPORTED
    return claims.CONTRADICTED if all(gaming.high < FEW for gaming, _ in changes) else claims.UNDECIDED


def worlds(stored: claims.Stored) -> list[World]:
    """Return what the claim says of every world in which something hides."""
    found = []
    for end in ends(stored):
        place = {axis: value for axis, value in stored.coordinates(end).items() if axis != "age"}
        if place[ONSET] == NEVER:
            continue
        changes = course(stored, end)
        rates = [stored.counts(name).pass_given_misaligned for name in (*younger(stored, end), end)]
        gaming, ratio = max(changes, key=lambda change: change[0].low)
        why = (
            f"P(T|not A) {', '.join(f'{rate:.2f}' for rate in rates)} by age, from the best age to the end "
            f"{claims.phrases({'it changes by': gaming, 'ln LR by': ratio})}"
        )
        verdict = verdict_of_course(changes) if both_kinds(stored, end) else NOT_COUNTED
        found.append(World(place, verdict, why))
    return found


def judge(stored: claims.Stored) -> claims.Verdict:
    """Apply the rule to one task."""
    return by_onset(worlds(stored))


def plotted(stored: claims.Stored) -> list[Json]:
    """Return the LR and P(T|not A) at every age in every world that counts, as plain JSON values."""
    verdicts = {in_words(world.place): world.verdict for world in worlds(stored)}
    rows = {}
    for end in ends(stored):
        name = in_words({axis: value for axis, value in stored.coordinates(end).items() if axis != "age"})
        if both_kinds(stored, end):
            ages = (*younger(stored, end), end)
            courses = {quantity: [estimate_json(stored.rate(age, quantity)) for age in ages] for quantity in COURSES}
            about = {"name": name, "onset": stored.coordinates(end)[ONSET], "verdict": verdicts.get(name)}
            rows[name] = about | courses
    return list(rows.values())


def finding(tasks: Mapping[str, Json]) -> str:
    """Return in how many worlds in which something hides from the start the test gets worse as training goes on."""
    found = Counter(row["verdict"] for counts in tasks.values() for row in counts["plotted"] if row["onset"] == 0)
    return (
        f"The test tells more of younger models in {found[claims.SUPPORTED]} of {found.total()} worlds whose objective "
        f"hides something like it from the start, and most in between in {found[claims.DEPENDS]}"
    )


def draw_courses(ax: Axes, rows: Sequence[Json], quantity: str) -> None:
    """Draw a quantity by age, a line per world, those in which nothing hides first."""
    _, low, high = COURSES[quantity]
    for row in sorted(rows, key=lambda row: -row["onset"]):
        colour = COLOURS.get(row["onset"], BY_HAND)
        estimates = [estimate_from_json(estimate) for estimate in row[quantity]]
        ax.plot(AGES, [min(estimate.value, high) for estimate in estimates], color=colour, linewidth=1)
        for age, estimate in zip(AGES, estimates, strict=True):
            interval(ax, age, estimate, Mark(colour, "o", 2.5, 0.8), (low, high), upright=True)


def draw(data: Json) -> figures.Figure:
    """The LR and P(T|not A) by age, a row of panels per task and a line per world."""
    tasks = data["tasks"]
    size = (WIDTH, 0.7 + 1.1 * len(tasks))
    figure, axes = subplots(len(tasks), len(COURSES), figsize=size, squeeze=False, sharex=True, sharey="col")
    for panels, (task, counts) in zip(axes, tasks.items(), strict=True):
        for ax, (quantity, (words, low, high)) in zip(panels, COURSES.items(), strict=True):
            draw_courses(ax, counts["plotted"], quantity)
            ax.set_ylabel(words, fontsize="x-small")
            if quantity == "likelihood_ratio":
                ax.set_yscale("log")
                ax.axhline(1, color=BLACK, linewidth=0.6, linestyle=":")
                ax.set_ylim(low / 1.3, high * 1.5)
                ax.set_yticks((1, 10, 100, 1000), ("1", "10", "100", "1,000"))
            else:
                ax.set_ylim(low - 0.03, high + 0.03)
        name_task(panels[0], task, counts)
    axes[0][1].set_title("misaligned models that pass", loc="left", fontsize="small")
    name_onsets(figure, [row["onset"] for counts in tasks.values() for row in counts["plotted"]])
    figure.supxlabel("share of training at which the test is asked", fontsize="small")
    return figure


CAPTION = claims.Caption(
    question="Left, falling lines: the same test tells less of older models.",
    before="What a test that nobody trained on tells at each age, and how many misaligned models pass it; a line is a "
    "world.",
    marks="arrows: the LR is open above, because no misaligned model passes; dotted: an LR of 1, which tells nothing",
)
