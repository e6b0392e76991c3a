"""Something like the proxy inside the main objective makes a held-out proxy worse, though nobody trained on it.

Command:   lab experiment implicit_proxies
Expected:  supported where gaming is learned beside values, depends where what hides from the start moves values
Cost:      up to five minutes on 2 cores for each task, shared with other claims

A reading like that of the test hides in the main objective: from the start of training, from 40% of it on, or never.
Other knobs make tests easy or hard to recognise (`race`, `shortcut`), hide more or less of it (`race`, `reasoner`), or
say how much the objective prefers private codes (`scratchpad`).

Rule, per task, with 95% intervals that hold together. A world is a setting of these knobs with one of both starts, and
is compared with never. It counts if P(A) is between .05 and .95 with and without what hides. The sentence holds there
if P(T|not A) rises by over .1 and the LR of the test falls, and does not if P(T|not A) rises by less than .1, all for
sure; else the world is open. The worlds in which it hides from the start decide, those that are open left out:
supported if it holds in all, contradicted if in none, depends if in some. Depends also if it holds where it begins at
40%, which was put in by hand, and in no world from the start, of which one counts at least and none is open. Else
undecided. (The first rule asked at 40% alone, but in `race`, for any rise of P(T|not A) and a fall of the LR; on seeds
from 7,000,000 it was supported in all six tasks. This rule was committed before the run on other seeds that decides.)
(After the run: where no world from the start counted, this was depends too; no verdict hangs on it.)
"""

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from lab import claims, figures
from lab.figures.palette import BLUE, GREY, INK, ORANGE, WHITE
from lab.figures.style import SMALLEST, WIDTH, Axes, Line, Mark, holds, interval, name_rows, subplots
from lab.statistics import Estimate
from lab.statistics.counts import UNABLE_SHOWN
from lab.words import Json, estimate_from_json, estimate_json, setting

CONFIGS = "ages"
FEW = 0.1  # change of P(T|not A) that does not count; of the rule
RARE = 0.05  # share of aligned or of misaligned models below which a world does not count; of the rule
ONSET, NEVER = "implicit_onset", 1.0
NOT_COUNTED = "one kind of models is rare"
COLOURS = {0.0: BLUE, NEVER: GREY}  # by onset; others were put in by hand
BY_HAND = ORANGE
ROW = 0.16  # inches of a row in a figure


class World(NamedTuple):
    """What a claim says of a world.

    Attributes:
        place: its coordinates.
        verdict: of the claim there, or `NOT_COUNTED`.
        why: the numbers that decided, in words.
    """

    place: Mapping[str, float]
    verdict: str
    why: str


def in_words(place: Mapping[str, float]) -> str:
    """Return what a world is called.

    >>> in_words({"implicit_onset": 0.4, "detection_difficulty": 2.0})
    'from 40% on, hard to recognise'
    """
    onset = place[ONSET]
    words = ["from the start" if onset == 0 else "never" if onset == NEVER else f"from {onset:.0%} on"]
    if "detection_difficulty" in place:
        words.append("easy to recognise" if place["detection_difficulty"] == 1 else "hard to recognise")
    if "implicit_proxy" in place and onset != NEVER:
        words.append(f"weight {setting(place['implicit_proxy'])}")
    if "preference" in place:
        words.append(f"preference {setting(place['preference'])}")
    return ", ".join(words)


def both_kinds(stored: claims.Stored, *names: str) -> bool:
    """Return whether conditions have aligned and misaligned models enough for a world to count."""
    return all(RARE <= stored.counts(name).base_rate <= 1 - RARE for name in names)


def by_onset(worlds: list[World]) -> claims.Verdict:
    """Return the verdict of a task from those of its worlds, which the ones with onset 0 decide."""
    why = "; ".join(f"{in_words(world.place)}: {world.verdict}, {world.why}" for world in worlds)
    own = {world.verdict for world in worlds if world.place[ONSET] == 0} - {NOT_COUNTED}
    by_hand = {world.verdict for world in worlds if 0 < world.place[ONSET] < NEVER}
    if own == {claims.CONTRADICTED} and claims.SUPPORTED in by_hand:
        return claims.Verdict(claims.DEPENDS, why)
    decided = own - {claims.UNDECIDED}
    return claims.Verdict(claims.overall(decided) if decided else claims.UNDECIDED, why)


def hidden(stored: claims.Stored) -> list[str]:
    """Return the conditions in which something like the test hides in the main objective."""
    return [name for name in stored.names if stored.coordinates(name)[ONSET] < NEVER]


def changes(stored: claims.Stored, name: str) -> tuple[Estimate, Estimate]:
    """Return by how much what hides in a condition changes P(T|not A), and ln LR."""
    never, together = stored.at("hold_out", **stored.coordinates(name) | {ONSET: NEVER}), 2 * len(hidden(stored))
    gaming = stored.change(name, never, "pass_given_misaligned", together)
    return gaming, stored.impact(name, never, together).likelihood_ratio


def worlds(stored: claims.Stored) -> list[World]:
    """Return what the claim says of every world in which something hides."""
    found = []
    for name in hidden(stored):
        place = stored.coordinates(name)
        gaming, ratio = changes(stored, name)
        why = claims.phrases({"P(T|not A) changes by": gaming, "ln LR by": ratio})
        verdict = claims.SUPPORTED if gaming.low > FEW and ratio.high < 0 else claims.UNDECIDED
        verdict = claims.CONTRADICTED if gaming.high < FEW else verdict
        counts = both_kinds(stored, name, stored.at("hold_out", **place | {ONSET: NEVER}))
        found.append(World(place, verdict if counts else NOT_COUNTED, why))
    return found


def judge(stored: claims.Stored) -> claims.Verdict:
    """Apply the rule to one task."""
    return by_onset(worlds(stored))


def plotted(stored: claims.Stored) -> list[Json]:
    """Return by how much P(T|not A) changes in every world, as plain JSON values."""
    return [
        row_of(stored, name, world, changes(stored, name)[0])
        for name, world in zip(hidden(stored), worlds(stored), strict=True)
    ]


def row_of(stored: claims.Stored, name: str, world: World, estimate: Estimate) -> Json:
    """Return an estimate of a world, which a condition stands for, as a row of `worlds_figure`."""
    counts, unable = world.verdict != NOT_COUNTED, stored.unable(name)
    named = {"name": in_words(world.place), "onset": world.place[ONSET], "counts": counts, "unable": unable}
    return named | estimate_json(estimate)


def name_onsets(figure: figures.Figure, onsets: Iterable[float]) -> None:
    """Name the colours of onsets that are drawn above a figure."""
    drawn = {COLOURS.get(onset, BY_HAND) for onset in onsets}
    kinds = {"from the start": COLOURS[0.0], "put in by hand at 40%": BY_HAND, "never": COLOURS[NEVER]}
    handles = [Line([], [], color=colour, label=words) for words, colour in kinds.items() if colour in drawn]
    title = {"title": "something like the test hides in the main objective:", "title_fontsize": "small"}
    figure.legend(handles=handles, loc="outside upper center", ncols=len(handles), frameon=False, **title)


def worlds_figure(data: Json, xlabel: str, few: float, limits: tuple[float, float]) -> figures.Figure:
    """A panel per task with a line per world, coloured by whether its onset was put in by hand.

    Args:
        data: of a claim; what is plotted of a task is a list of what `row_of` returned.
        xlabel: what is estimated.
        few: what counts is larger, and is marked by a dashed line.
        limits: of the axis.
    """
    plotted = {task: counted["plotted"] for task, counted in data["tasks"].items()}
    lengths = [len(rows) for rows in plotted.values()]
    size = (WIDTH, 0.8 + sum(0.25 + ROW * length for length in lengths))
    figure, axes = subplots(len(plotted), 1, figsize=size, squeeze=False, sharex=True, height_ratios=lengths)
    for ax, (task, rows) in zip(axes[:, 0], plotted.items(), strict=True):
        for height, row in enumerate(rows):
            draw_world(ax, height, row, limits)
        ax.axvline(0, color="black", linewidth=0.6, linestyle=":")
        ax.axvline(few, color="black", linewidth=0.6, linestyle="--")
        figures.name_task(ax, task, data["tasks"][task])
        ax.set_xlim(*limits)
        name_rows(ax, [row["name"] for row in rows], fontsize="x-small")
        for text, row in zip(ax.get_yticklabels(), rows, strict=True):
            text.set_color(INK if row["counts"] else GREY)
    axes[-1, 0].set_xlabel(xlabel)
    name_onsets(figure, [row["onset"] for rows in plotted.values() for row in rows])
    return figure


def draw_world(ax: Axes, height: int, row: Json, limits: tuple[float, float]) -> None:
    """Draw the estimate of a world, and say beside it that the world does not count, or who cannot do the job."""
    estimate = estimate_from_json(row)
    interval(ax, height, estimate, Mark(COLOURS.get(row["onset"], BY_HAND)), limits, hollow=holds(estimate, 0))
    words = [] if row["counts"] else ["not counted"]
    words += [f"{row['unable']:.0%} cannot do the job"] if row["unable"] > UNABLE_SHOWN else []
    if words:
        plain = {"facecolor": WHITE, "edgecolor": "none", "pad": 0.5}
        ax.text(limits[0] + 0.01, height, ", ".join(words), fontsize=SMALLEST, va="center", color=GREY, bbox=plain)


def draw(data: Json) -> figures.Figure:
    """By how much P(T|not A) changes, a line per world."""
    return worlds_figure(data, "change of P(T|not A), misaligned models that pass", FEW, (-0.53, 1.03))


NOT_COUNTED_IN_WORDS = "A world is not counted where aligned or misaligned models are rare (below 5%)."
CAPTION = claims.Caption(
    question="How many more misaligned models pass a held-out test where something like it hides in the main "
    "objective? Right of the dashed line it counts.",
    before="Something like the test hides in the main objective from the start (blue), or from 40% on, put in "
    f"by hand (orange). {NOT_COUNTED_IN_WORDS}",
    marks="hollow: the interval holds no change",
)
