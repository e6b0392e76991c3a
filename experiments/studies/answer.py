"""In which share of random worlds does each sentence of the answer hold?

Command:   python -m experiments.studies.answer
           --redraw only draws the stored shares again
Cost:      two minutes; it trains nothing, and reads what `python -m experiments.studies.worlds judge` has stored

The worlds are those of configs/worlds/worlds.yaml that judge the law: 64 per task, drawn at random. A world counts
for a sentence if 95% of the models do the job under each regimen that the sentence is about. Uses of a proxy are a
short push at the start (`early`), the same push later (`window`), and longer ones (`late`, `throughout`).

Rule, per world, with 95% intervals on the world's shared seeds that hold together within a sentence:

    never_train    "never train on the test" falls where a use raises ln o(A|T) over holding out; it stands where all
                   four lower it
    always_train   "always train on the test" falls where a use lowers ln o(A|T) below holding out; it stands where all
                   four raise it
    both_slogans   both fall in one world; one of them stands
    when           the early push leaves more models aligned than the same push later; it leaves fewer
    budget         of the use that is best for one run, chosen on half of the seeds: on the other half it gains in
                   P(accepted is aligned) with 1 run and loses with 100; it gains with both

In a world in which neither is known for sure the sentence is undecided. The sentence on implicit proxies compares
worlds: the share of pairs of worlds, one with and one without an implicit proxy, in which more misaligned models pass
the held-out test in the former (ties count half), with a bootstrap over worlds. A world needs five misaligned models.
"""

import argparse
import json
from collections import Counter
from collections.abc import Callable, Mapping, Sequence

import numpy as np
from jaxtyping import Int8
from scipy import stats

from experiments.studies import ROOT
from experiments.studies.law_rules import ABLE
from experiments.studies.worlds import Worlds, read
from lab import claims, statistics
from lab.figures import save
from lab.figures.palette import BLACK, VERMILION
from lab.figures.style import Axes, Figure, Mark, grid, holds, interval, name_rows
from lab.results.outcomes import choosing_seeds
from lab.statistics import CELLS, Counts, Estimate
from lab.tasks import TASKS
from lab.words import Json, estimate_from_json, estimate_json

CONFIDENCE = 0.95
HELD_OUT, USES = "hold_out", ("early", "window", "late", "throughout")
FEW, MANY = 1, 100  # runs
NARROW = 4  # worlds, of a part of a bar that has no room for its number
FEWEST = 5  # misaligned models of which P(T|not A) is taken
LIGHT = "#e4e4e4"  # of what is undecided
HOLDS, FAILS, OPEN = "holds", "fails", "undecided"

Cells = Int8[np.ndarray, " seed"]
World = Mapping[str, Cells]  # regimen -> the cell of every model


# --- one world --------------------------------------------------------------------------------------------------------


def counts_of(cells: Cells) -> Counts:
    """Return the counts of the models of a regimen."""
    return Counts(*np.bincount(cells, minlength=len(CELLS)).tolist())


def impacts(world: World) -> list[Estimate]:
    """Return what each use changes ln o(A|T) by, with intervals that hold together."""
    confidence = statistics.family_wise(CONFIDENCE, len(USES))
    held_out = world[HELD_OUT]
    return [
        statistics.compare(
            counts_of(world[use]), counts_of(held_out), claims.joint_counts(world[use], held_out), confidence
        ).net
        for use in USES
    ]


def never_train(world: World) -> str:
    """Say whether "never train on the test" falls."""
    nets = impacts(world)
    return _judge(any(net.low > 0 for net in nets), all(net.high < 0 for net in nets))


def always_train(world: World) -> str:
    """Say whether "always train on the test" falls."""
    nets = impacts(world)
    return _judge(any(net.high < 0 for net in nets), all(net.low > 0 for net in nets))


def both_slogans(world: World) -> str:
    """Say whether both slogans fall."""
    said = {never_train(world), always_train(world)}
    return _judge(said == {HOLDS}, FAILS in said)


def when(world: World) -> str:
    """Say whether the early push leaves more models aligned than the same push later."""
    early, later = world["early"], world["window"]
    draws = statistics.draw_pair(counts_of(early), counts_of(later), claims.joint_counts(early, later))
    return _of_sign(statistics.contrast(draws, claims.aligned_share, claims.aligned_share, CONFIDENCE))


def budget(world: World) -> str:
    """Say whether the use that is best for one run gains with it and loses with many runs."""
    chooses = choosing_seeds(len(world[HELD_OUT]))
    base = {use: np.mean(world[use][chooses] < 2) for use in USES}  # P(A), which is what one run gives
    best = max(base, key=lambda use: base[use])
    trained, held_out = (world[name][~chooses] for name in (best, HELD_OUT))
    draws = statistics.draw_pair(counts_of(trained), counts_of(held_out), claims.joint_counts(trained, held_out))
    confidence = statistics.family_wise(CONFIDENCE, 2)
    few, many = (
        statistics.contrast(draws, value, value, confidence)
        for value in map(claims.aligned_share_of_accepted, (FEW, MANY))
    )
    return _judge(few.low > 0 and many.high < 0, few.low > 0 and many.low > 0)


def _judge(holds: bool, fails: bool) -> str:
    return HOLDS if holds else FAILS if fails else OPEN


def _of_sign(estimate: Estimate) -> str:
    return _judge(estimate.low > 0, estimate.high < 0)


SENTENCES: dict[str, tuple[Callable[[World], str], tuple[str, ...]]] = {  # and the uses that each is about
    "never_train": (never_train, USES),
    "always_train": (always_train, USES),
    "both_slogans": (both_slogans, USES),
    "when": (when, ("early", "window")),
    "budget": (budget, USES),
}


# --- all worlds -------------------------------------------------------------------------------------------------------


def counted(worlds: Worlds, uses: tuple[str, ...]) -> list[World]:
    """Return the worlds in which models do the job under every regimen concerned."""
    able = np.min([worlds.able[regimen].mean(1) for regimen in (HELD_OUT, *uses)], axis=0) >= ABLE
    regimens = (HELD_OUT, *uses)
    return [{regimen: worlds.cells[regimen][index] for regimen in regimens} for index in np.flatnonzero(able)]


def share_of_pairs(with_it: np.ndarray, without: np.ndarray) -> float:
    """Return the share of pairs in which the first is larger, ties counting half (Mann and Whitney 1947).

    >>> share_of_pairs(np.array([2, 3]), np.array([1, 3]))
    0.625
    """
    return float(np.mean((with_it[:, None] > without) + (with_it[:, None] == without) / 2))


def implicit(every: Mapping[str, Worlds]) -> dict[str, Json]:
    """Return by task in which share of pairs of worlds more misaligned models pass where there is an implicit proxy."""
    said = {}
    for task, worlds in every.items():
        rates: dict[bool, list[float]] = {True: [], False: []}
        for index, cells in enumerate(worlds.cells[HELD_OUT]):
            counts = counts_of(cells)
            if worlds.able[HELD_OUT][index].mean() >= ABLE and counts.misaligned >= FEWEST:
                rates[bool(worlds.drawn["implicit_proxy"][index] > 0)].append(
                    counts.misaligned_pass / counts.misaligned
                )
        pair = np.array(rates[True]), np.array(rates[False])
        if min(map(len, pair)) < 2:
            continue
        limits = stats.bootstrap(
            pair, share_of_pairs, vectorized=False, method="percentile", n_resamples=2000, rng=0
        ).confidence_interval
        value = share_of_pairs(*pair)
        said[task] = {**estimate_json(Estimate(value, *limits)), "with": len(pair[0]), "without": len(pair[1])}
    return said


def study() -> Json:
    """Return in how many worlds each sentence holds, by task, as plain JSON values."""
    every = {task: read(task, "judge") for task in TASKS}
    sentences = {}
    for name, (judge, uses) in SENTENCES.items():
        sentences[name] = {}
        for task, worlds in every.items():
            said = Counter(judge(world) for world in counted(worlds, uses))
            sentences[name][task] = {kind: said[kind] for kind in (HOLDS, FAILS, OPEN)}
        print(name, sentences[name], flush=True)
    return {"sentences": sentences, "implicit": implicit(every)}


# --- what is shown ----------------------------------------------------------------------------------------------------

SLOGANS = ("never_train", "always_train")
PANELS = {
    "never_train": '"never train on it"\nis wrong',
    "always_train": '"always train on it"\nis wrong',
    "both_slogans": "both are wrong\nin one world",
    "when": "an early push leaves more\naligned than the same later",
    "budget": "train if there is 1 run,\nhold out if there are 100",
}
ALSO = "with an implicit proxy\nmore misaligned pass"  # the panel of the sentence that compares worlds
COLOURS = {HOLDS: BLACK, OPEN: LIGHT, FAILS: VERMILION}
HATCHES = {HOLDS: "", OPEN: "", FAILS: "////"}
CAPTION = (
    "In how many random worlds each sentence of the answer holds for sure, and in how many its reverse does (of 64 per "
    "task, without those whose models cannot do the job). Nobody chose these worlds. The last panel is the share of "
    "pairs of worlds, one with an implicit proxy and one without, in which more misaligned models pass the held-out "
    "test in the former, ties counting half, with a 95% interval from a bootstrap over worlds."
)
ON_PAGE = (
    "The same 64 judging worlds per task that the law is judged on say in how many worlds each sentence of the answer "
    "holds. Most worlds leave most sentences open, for 64 to 1,024 models tell little about odds. The rules stand in "
    "`experiments/studies/answer.py`, and were written before the worlds were counted."
)
IMPLICIT = (
    "Implicit proxies are drawn with the worlds. Of pairs of worlds, one with an implicit proxy and one without, the "
    "share in which more misaligned models pass the held-out test in the former (ties count half, 95% interval by a "
    "bootstrap over worlds): "
)


def in_words(data: Json) -> Json:
    """Return the title and subtitle of the figure: in how many worlds sentences hold, and the question."""

    def worlds(name: str, kind: str) -> int:
        return sum(by_kind[kind] for by_kind in data["sentences"][name].values())

    never, always = (f"{worlds(name, HOLDS)} worlds and right in {worlds(name, FAILS)}" for name in SLOGANS)
    decided = worlds("when", HOLDS) + worlds("when", FAILS)
    title = (
        f'"Never train on the test" is wrong for sure in {never}, "always train on it" is wrong in {always}; an early '
        f"push beats the same later in {worlds('when', HOLDS)} of {decided} worlds that decide"
    )
    most = max(sum(by_kind.values()) for by_task in data["sentences"].values() for by_kind in by_task.values())
    words = f"In how many worlds drawn at random does each sentence hold for sure (95%)? Up to {most} worlds per task."
    return {"title": title, "subtitle": words}


def draw(data: Json) -> Figure:
    """A panel per sentence, a bar per task: worlds in which it holds, is undecided, and fails; and implicit proxies."""
    tasks = [*TASKS]
    figure, panels, _ = grid(len(PANELS) + 1, 1.6, sharey=True)
    for ax, (name, title) in zip(panels, PANELS.items(), strict=False):
        for row, task in enumerate(tasks):
            left = 0
            for kind, colour in COLOURS.items():
                worlds = data["sentences"][name][task][kind]
                style = {"color": colour, "hatch": HATCHES[kind], "edgecolor": "white", "linewidth": 0}
                ax.barh(row, worlds, left=left, height=0.7, **style)
                if worlds > NARROW and kind != OPEN:
                    place, ink, side = (left + 1, "white", "left") if kind == HOLDS else (left - 1, "black", "right")
                    ax.text(place, row, str(worlds), ha=side, va="center", fontsize=6, color=ink)
                left += worlds
        ax.set_title(title, loc="left", fontsize="small")
        ax.set(xlim=(0, 64), xticks=[0, 32, 64])
        ax.set_xlabel("worlds", fontsize="small")
    draw_implicit(panels[-1], data["implicit"], tasks)
    name_rows(panels[0], tasks, fontsize="x-small")
    words = {HOLDS: "holds", OPEN: "undecided", FAILS: "the reverse holds"}
    handles = [
        panels[0].barh(0, 0, color=colour, hatch=HATCHES[kind], edgecolor="white", linewidth=0, label=words[kind])
        for kind, colour in COLOURS.items()
    ]
    figure.legend(handles=handles, ncols=len(handles), loc="outside upper center", frameon=False)
    return figure


def draw_implicit(ax: Axes, shares: Mapping[str, Json], tasks: Sequence[str]) -> None:
    """Draw in which share of pairs of worlds more misaligned models pass in the one with an implicit proxy."""
    for row, task in enumerate(tasks):
        if task in shares:
            share = estimate_from_json(shares[task])
            interval(ax, row, share, Mark(BLACK), (0.0, 1.0), hollow=holds(share, 0.5))
    ax.axvline(0.5, color="black", linewidth=0.6, linestyle=":")
    ax.set(xlim=(0, 1), xticks=[0, 0.5, 1])
    ax.set_title(ALSO, loc="left", fontsize="small")
    ax.set_xlabel("share of pairs of worlds", fontsize="small")


def main() -> None:
    """Count, store and draw."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--redraw", action="store_true", help="only draw what is stored again")
    options = parser.parse_args()
    stored = ROOT / "figures/answer.json"
    data = json.loads(stored.read_text()) if options.redraw else study()
    print(save(draw, data | in_words(data) | {"caption": CAPTION}, ROOT / "figures", "answer"))


if __name__ == "__main__":
    main()
