"""Some proxies are better trained on, some held out, some trained against.

Command:   lab experiment which_proxies
Expected:  supported
Cost:      about five minutes on 2 cores

Every assignment of four proxies to three uses: T, trained on in the first tenth of training; H, held out; A, trained
against from 40% of training on. A model passes if it does the job and passes every proxy that is held out; where none
is, every model that does the job. In worlds where a held-out test is imperfect. Beside it, how the likeness of a proxy
that is trained on late to a test that is held out eats that test.

Rule, per task: the winner is the assignment with the largest P(accepted is aligned) within 3 runs, the last accepted in
any case, on every second seed. Supported if it uses proxies in all three ways, and depends if in two, if on the other
seeds it is better than each of the three that use all alike (95% intervals, together); contradicted if it is worse than
all trained on and than all held out, or uses all alike itself; else undecided. (After the run: two ways were enough to
support the claim; no winner uses all three, and a badge, the `control` of `race`, does not count as a way.)
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float

from lab import claims
from lab.claims.rules import describe_conditions
from lab.config.experiment import Experiment
from lab.figures import name_task
from lab.figures.palette import ORANGE, VERMILION
from lab.figures.style import WIDTH, Axes, Figure, Line, Mark, interval, mark_of, matplotlib, name_rows, subplots
from lab.results import outcomes, shards
from lab.results.outcomes import Results
from lab.statistics import Estimate, draw_shares, from_draws
from lab.words import Json, estimate_from_json, estimate_json, number, setting, with_interval

RUNS = 3  # of the rule
SHOWN = 5  # assignments in the figure, before those that use all alike
PROXIES = {"race": ("test", "audit", "prerequisite", "control")}
OTHERS = ("test", "audit", "prerequisite", "probe")  # of every other task
ALL_ALIKE = ("TTTT", "HHHH", "AAAA")


def proxies(task: str) -> tuple[str, ...]:
    """Return the four proxies of a task, in the order of the letters."""
    return PROXIES.get(task, OTHERS)


def is_assignment(name: str) -> bool:
    """Return whether a condition assigns a use to each of the four proxies; the others vary the similarity."""
    return len(name) == len(OTHERS)


def assigned_cells(results: Results, names: Sequence[str], task: str) -> np.ndarray:
    """Return the index into `CELLS` of every model, shape (conditions, seeds), by what its condition holds out.

    Args:
        results: of the run.
        names: of its conditions.
        task: whose proxies the letters of a name stand for.
    """
    passes, aligned = {}, np.empty(0)
    for proxy in (*proxies(task), "competence"):
        ended = outcomes.classify(results, proxy)
        passes[proxy], aligned = ended["passes"].values, ended["aligned"].values
    cells = []
    for row, name in enumerate(names):
        letters = zip(name, proxies(task), strict=True) if is_assignment(name) else [("H", "test")]
        passes_held_out = [passes[proxy][row] for letter, proxy in letters if letter == "H"]
        passing = np.logical_and.reduce([passes["competence"][row], *passes_held_out])
        cells.append(2 * ~aligned[row] + ~passing)
    return np.array(cells)


def study(experiment: Experiment, folder: Path, train: claims.Train) -> Json:
    """Count every assignment by what it holds out, on every second seed and on the others."""
    results = shards.results(train(experiment, folder), last_only=True)
    about = describe_conditions(results)
    names = list(about)
    cells = assigned_cells(results, names, experiment.task.name)
    choosing = outcomes.choosing_seeds(cells.shape[1])
    chosen = claims.tabulate(cells[:, choosing], about, results.attrs["confidence"], [])
    winner = max(names, key=lambda name: value(chosen["conditions"][name]["cells"]) if is_assignment(name) else -1)
    first = names.index(winner)
    pairs = sorted((min(first, index), max(first, index)) for index in range(len(names)))
    counts = claims.tabulate(cells[:, ~choosing], about, results.attrs["confidence"], pairs)
    return counts | {"winner": winner}


def value(cells: Sequence[int] | Float[np.ndarray, "4"]) -> float:
    """Return P(accepted is aligned) within the runs from counts of cells."""
    return float(claims.aligned_share_of_accepted(RUNS)(np.array(cells, float) / np.sum(cells)))


def ranked(stored: claims.Stored) -> list[str]:
    """Return the assignments, best first by the seeds that the winner was not chosen on."""
    assignments = [name for name in stored.names if is_assignment(name)]
    return sorted(assignments, key=lambda name: -value(stored.data["conditions"][name]["cells"]))


def shown(stored: claims.Stored) -> list[str]:
    """Return the conditions that the figure shows: the winner, the runners-up, and those that use all alike."""
    winner = stored.data["winner"]
    runners_up = [name for name in ranked(stored) if name not in (winner, *ALL_ALIKE)]
    first = [winner, *runners_up][:SHOWN]
    return [*first, *(name for name in ALL_ALIKE if name not in first)]


def judge(stored: claims.Stored) -> claims.Verdict:
    """Apply the rule to one task."""
    winner, accepted = stored.data["winner"], claims.aligned_share_of_accepted(RUNS)
    alike = [name for name in ALL_ALIKE if name != winner]
    gains = {name: stored.difference(winner, accepted, name, accepted, len(ALL_ALIKE)) for name in alike}
    next_best, *others = (name for name in ranked(stored) if name != winner)
    runner_up = stored.difference(winner, accepted, next_best, accepted, 1 + len(others))  # the best of so many
    ratios = [stored.rate(name, "likelihood_ratio") for name in stored.names if stored.coordinates(name)]
    why = (
        f"winner {winner} ({', '.join(proxies(stored.task))}), P(accepted is aligned) "
        f"{number(value(stored.data['conditions'][winner]['cells']))}, over {claims.phrases(gains)}, over the next, "
        f"{next_best}, {with_interval(runner_up)}; LR of the held-out test as the audit trained on grows like it: "
        f"{', '.join(with_interval(ratio) for ratio in ratios)}"
    )
    if winner in ALL_ALIKE or all(gains[name].high < 0 for name in ("TTTT", "HHHH")):
        return claims.Verdict(claims.CONTRADICTED, why)
    if not all(gain.low > 0 for gain in gains.values()):
        return claims.Verdict(claims.UNDECIDED, why)
    verdicts = {3: claims.SUPPORTED, 2: claims.DEPENDS}
    return claims.Verdict(verdicts.get(len(ways(stored.task, winner)), claims.UNDECIDED), why)


def plotted(stored: claims.Stored) -> dict[str, list[Json]]:
    """Return P(accepted is aligned) of the assignments shown, and the LR by similarity, as plain JSON values."""
    accepted = claims.aligned_share_of_accepted(RUNS)
    assignments = []
    for name in shown(stored):
        cells = stored.counts(name).cells
        _, low, high = from_draws(lambda draws: accepted(draws / draws.sum(0)), draw_shares(cells))
        assignments.append({"name": name, **estimate_json(Estimate(value(cells), low, high))})
    ratios = [
        {
            "similarity": stored.coordinates(name)["similarity"],
            **estimate_json(stored.rate(name, "likelihood_ratio")),
        }
        for name in stored.names
        if stored.coordinates(name)
    ]
    return {"assignments": assignments, "ratios": ratios}


# of the name of a proxy over its column
HEAD: dict[str, Any] = {"textcoords": "offset points", "fontsize": "x-small", "ha": "left", "va": "bottom"}
LR_SHOWN = (2.0**-3, 2.0**12)  # where the axis of LRs ends
LETTERS = {  # letter -> what is done with the proxy, and the mark of the regimen that does so
    "T": ("trained on early", mark_of("early")),
    "H": ("held out", mark_of("hold_out")),
    "A": ("trained against late", mark_of("anti")),
}


def ways(task: str, assignment: str) -> set[str]:
    """Return the letters of an assignment; a badge, the `control` of `race`, does not count as a way."""
    return {way for way, proxy in zip(assignment, proxies(task), strict=True) if proxy != "control"}


def finding(tasks: Mapping[str, Json]) -> str:
    """Return in how many tasks the winner uses proxies in two and in three ways."""
    count = len(LETTERS) ** len(OTHERS)
    found = Counter(len(ways(task, counts["winner"])) for task, counts in tasks.items())
    return (
        f"The best of {count} ways to use four proxies mixes two uses in {found[2]} of {len(tasks)} tasks and all "
        f"three in {found[3]}"
    )


def draw(data: Json) -> Figure:
    """A row per task: the best assignments and those alike, P(accepted is aligned), and the LR by similarity."""
    tasks = data["tasks"]
    size = (WIDTH, 0.85 + 1.68 * len(tasks))
    figure, axes = subplots(len(tasks), 3, figsize=size, squeeze=False, width_ratios=[0.75, 1.6, 1.2], sharex="col")
    for (uses, accepted, ratios), (task, counts) in zip(axes, tasks.items(), strict=True):
        assignments = counts["plotted"]["assignments"]
        draw_uses(uses, assignments, proxies(task))
        draw_accepted(accepted, assignments)
        draw_ratios(ratios, counts["plotted"]["ratios"])
        name_task(accepted, task, counts)
    axes[-1][1].set_xlabel(f"P(accepted is aligned)\nwithin {RUNS} runs", fontsize="small")
    axes[-1][2].set_xlabel("similarity of the audit\ntrained on late", fontsize="small")
    handles = [
        Line([], [], color=mark.colour, marker=mark.marker, linestyle="none", markersize=5, label=words)
        for words, mark in LETTERS.values()
    ]
    figure.legend(handles=handles, loc="outside upper left", ncols=3, frameon=False, fontsize="x-small")
    return figure


def draw_uses(ax: Axes, assignments: Sequence[Json], names: Sequence[str]) -> None:
    """Draw what every assignment does with each proxy, the winner first."""
    rows = []
    for height, assignment in enumerate(assignments):
        letters = assignment["name"]
        for column, letter in enumerate(letters):
            words, mark = LETTERS[letter]
            ax.plot([column], [height], mark.marker, color=mark.colour, markersize=5)
        words, _ = LETTERS[letters[0]]
        rows.append("best" if height == 0 else f"all {words}" if letters in ALL_ALIKE else "")
    name_rows(ax, rows, fontsize="x-small")
    ax.set_xlim(-0.6, len(names) - 0.4)
    ax.set_xticks(range(len(names)), [])
    for column, name in enumerate(names):
        ax.annotate(name, (column, 1), (-3, 3), xycoords=ax.get_xaxis_transform(), rotation=45, **HEAD)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)


def draw_accepted(ax: Axes, assignments: Sequence[Json]) -> None:
    """Draw P(accepted is aligned) of every assignment, those that use all alike in the colour of that use."""
    for height, assignment in enumerate(assignments):
        letters = assignment["name"]
        mark = LETTERS[letters[0]][1] if letters in ALL_ALIKE else Mark(VERMILION, "p")
        interval(ax, height, estimate_from_json(assignment), mark)
    name_rows(ax, [""] * len(assignments))
    ax.tick_params(axis="y", length=0)
    ax.set_xlim(-0.03, 1.03)


def draw_ratios(ax: Axes, ratios: Sequence[Json]) -> None:
    """Draw the LR of the test held out, by how much the audit that is trained on late is like it."""
    for ratio in ratios:
        interval(ax, ratio["similarity"], estimate_from_json(ratio), Mark(ORANGE, "^"), LR_SHOWN, upright=True)
    ax.axhline(1, color="black", linewidth=0.6, linestyle=":")
    ax.set_xlim(-0.08, 1.08)
    ax.set_yscale("log", base=2)
    ax.yaxis.set_major_locator(matplotlib.ticker.LogLocator(2, numticks=5))
    ax.yaxis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda value, _: setting(value)))
    ax.set_ylabel("LR of the held-out test", fontsize="x-small")


CAPTION = claims.Caption(
    question="Which proxies are best trained on, held out, trained against?",
    before="Left: what is done with each of four proxies, the best first, and all alike. Right: an audit trained on "
    "late, whose likeness to the held-out test varies; arrows: no misaligned model passed.",
    marks="",
)
