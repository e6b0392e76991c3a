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

import math
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lab import claims
from lab.figures.style import WIDTH, Figure, Mark, interval, name_rows, subplots
from lab.results import outcomes, shards, summary
from lab.statistics import Estimate, draw_shares, from_draws
from lab.words import Json, estimate_from_json, estimate_json, number, with_interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes

    from lab.config.experiment import Experiment

RUNS, SHOWN = 3, 8
PROXIES = {"race": ("test", "audit", "prerequisite", "control")}
OTHERS = ("test", "audit", "prerequisite", "probe")


def proxies(task: str) -> tuple[str, ...]:
    """Return the four proxies of a task, in the order of the letters."""
    return PROXIES.get(task, OTHERS)


def study(experiment: "Experiment", folder: Path, train: claims.Train) -> Json:
    """Count every assignment by what it holds out, on every second seed and on the others."""
    results = shards.results(train(experiment, folder), last_only=True)
    names = list(map(str, results.condition.values))
    ended = {proxy: outcomes.classify(results, proxy) for proxy in (*proxies(experiment.task.name), "competence")}
    passes = {proxy: proxy_outcomes["passes"].values for proxy, proxy_outcomes in ended.items()}
    aligned, rows = ended["competence"]["aligned"].values, []
    for index, name in enumerate(names):
        letters = zip(name, proxies(experiment.task.name), strict=True) if len(name) == 4 else [("H", "test")]
        held_out = [passes[proxy][index] for letter, proxy in letters if letter == "H"]
        passing = np.logical_and.reduce([passes["competence"][index], *held_out])
        rows.append(2 * ~aligned[index] + ~passing)
    cells = np.array(rows)
    choosing = outcomes.choosing_seeds(cells.shape[1])
    about = {
        name: {"regimen": str(regimen), "coordinates": {k: v for k, v in coordinates.items() if math.isfinite(v)}}
        for name, (regimen, coordinates) in zip(names, summary.places(results), strict=True)
    }
    chosen = claims.tabulate(cells[:, choosing], about, results.attrs["confidence"], [])
    best = max(names, key=lambda name: value(chosen["conditions"][name]["cells"]) if len(name) == 4 else -1)
    first = names.index(best)
    pairs = {(min(first, index), max(first, index)) for index in range(len(names))}
    counted = claims.tabulate(cells[:, ~choosing], about, results.attrs["confidence"], sorted(pairs))
    return counted | {"winner": best}


def value(cells: Sequence[int]) -> float:
    """Return P(accepted is aligned) within the runs from counts of cells."""
    return float(claims.aligned_share_of_accepted(RUNS)(np.array(cells, float) / np.sum(cells)))


def ranked(stored: claims.Stored) -> list[str]:
    """Return the assignments, best first by the seeds that the winner was not chosen on."""
    assignments = [name for name in stored.names if len(name) == 4]
    return sorted(assignments, key=lambda name: -value(stored.data["conditions"][name]["cells"]))


def shown(stored: claims.Stored) -> list[str]:
    """Return the conditions that the figure shows: the winner, the runners-up, and those that use all alike."""
    first = [name for name in ranked(stored) if name not in ("TTTT", "HHHH", "AAAA")]
    first = [stored.data["winner"], *(name for name in first if name != stored.data["winner"])][:SHOWN]
    return [*first, *(name for name in ("TTTT", "HHHH", "AAAA") if name not in first)]


def judge(stored: claims.Stored) -> claims.Verdict:
    """Apply the rule to one task."""
    winner, accepted = stored.data["winner"], claims.aligned_share_of_accepted(RUNS)
    alike = [name for name in ("TTTT", "HHHH", "AAAA") if name != winner]
    gains = {name: stored.difference(winner, accepted, name, accepted, 3) for name in alike}
    next_best, *others = (name for name in ranked(stored) if name != winner)
    runner_up = stored.difference(winner, accepted, next_best, accepted, 1 + len(others))  # the best of so many
    ratios = [stored.rate(name, "likelihood_ratio") for name in stored.names if stored.coordinates(name)]
    why = (
        f"winner {winner} ({', '.join(proxies(stored.task))}), P(accepted is aligned) "
        f"{number(value(stored.data['conditions'][winner]['cells']))}, over "
        + ", ".join(claims.phrase(name, gain) for name, gain in gains.items())
        + f", over the next, {next_best}, {with_interval(runner_up)}; LR of the held-out test as the audit "
        f"trained on grows like it: {', '.join(with_interval(ratio) for ratio in ratios)}"
    )
    if len(alike) < 3 or all(gains[name].high < 0 for name in ("TTTT", "HHHH")):
        return claims.Verdict(claims.CONTRADICTED, why)
    if not all(gain.low > 0 for gain in gains.values()):
        return claims.Verdict(claims.UNDECIDED, why)
    ways = {way for way, proxy in zip(winner, proxies(stored.task), strict=True) if proxy != "control"}
    return claims.Verdict({3: claims.SUPPORTED, 2: claims.DEPENDS}.get(len(ways), claims.UNDECIDED), why)


def plotted(stored: claims.Stored) -> Json:
    """Return P(accepted is aligned) of the assignments shown, and the LR by similarity, as plain JSON values."""
    assignments = []
    for name in shown(stored):
        cells = np.array(stored.counts(name).cells)
        _, low, high = from_draws(
            lambda draws: claims.aligned_share_of_accepted(RUNS)(draws / draws.sum(0)), draw_shares(cells)
        )
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


ALIKE, MIXED, RATIO = Mark("0.45", "s"), Mark("C0"), Mark("C1")  # assignments of one letter, of several; an LR
LR_SHOWN = (2.0**-3, 2.0**12)  # where the axis of LRs ends


def draw(data: Json) -> Figure:
    """A row per task: P(accepted is aligned) of the best assignments and of those alike; the LR by similarity."""
    tasks = data["tasks"]
    figure, axes = subplots(
        len(tasks), 2, figsize=(WIDTH, 0.5 + 1.6 * len(tasks)), squeeze=False, gridspec_kw={"width_ratios": [1.6, 1]}
    )
    for (left, right), (task, counts) in zip(axes, tasks.items(), strict=True):
        draw_assignments(left, counts["plotted"]["assignments"])
        left.set_title(f"{task}: {', '.join(proxies(task))}", loc="left", fontsize="small")
        for ratio in counts["plotted"]["ratios"]:
            interval(right, ratio["similarity"], estimate_from_json(ratio), RATIO, LR_SHOWN, upright=True)
        right.axhline(1, color="black", linewidth=0.6, linestyle=":")
        right.set_yscale("log", base=2)
        right.set_ylabel("LR of the test held out", fontsize="x-small")
    axes[-1][0].set_xlabel(f"P(accepted is aligned) within {RUNS} runs")
    axes[-1][1].set_xlabel("similarity of what is trained on")
    return figure


def draw_assignments(ax: "Axes", assignments: Sequence[Json]) -> None:
    """Draw P(accepted is aligned) of every assignment, the winner first, those that use all alike in grey."""
    names = []
    for position, assignment in enumerate(assignments):
        alike = len(set(assignment["name"])) == 1
        interval(ax, position, estimate_from_json(assignment), ALIKE if alike else MIXED)
        names.append(f"{assignment['name']}  (all alike)" if alike else assignment["name"])
    names[0] += "  (winner)"
    name_rows(ax, names, fontsize="x-small", family="monospace")
    ax.set_xlim(-0.03, 1.03)


CAPTION = claims.Caption(
    before="Letters: T trained on early, H held out, A trained against late, one for each proxy above the panel. "
    "Right: an audit trained on late, whose likeness to the held-out test varies; arrows: no misaligned model passed.",
    marks="",
)
