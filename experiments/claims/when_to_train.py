"""Whether to train on the proxy or hold it out depends: on how visible tests are, on when and how hard, and on retries.

Command:   lab experiment when_to_train
Expected:  supported in every task
Cost:      about twelve minutes on 2 cores

P(accepted is aligned) within 1, 3 and 100 runs, the last accepted in any case, of training on the test early, late or
throughout, less that of holding it out, over visibility of the test (detectability) and weight, in worlds where a
held-out test is imperfect.

Rule, per task, with 95% intervals that hold together over the cells of one budget: supported if at some budget training
is better in some cell and worse in another; contradicted if at every budget it is better in some and worse in none, or
worse in some and better in none; else undecided.

Beside the rule: wherever the gain with 1 or with 100 runs changes sign between two neighbouring weights, two more cells
are trained between them, on seeds of their own, so that seeds go where the boundary is. It then lies between the last
weights at which the sign is decided on either side. The essay's algebra, which asks whether the product of LR and base
rate odds grows, is worked out for every cell from one half of the seeds and compared with the other half.
"""

import itertools
import json

import numpy as np

from lab import claims
from lab.config.experiment import parse
from lab.config.seeds import CLAIMS, REFINED
from lab.figures.style import WIDTH, holds, subplots
from lab.results import outcomes, shards, summary
from lab.studies import regimens as made
from lab.words import estimate_from_json, estimate_json

BUDGETS, SHOWN = (1, 3, 100), (1, 100)
AXES = ("detectability", "weight")  # of the map, from bottom to top and from left to right
APART = REFINED.first - CLAIMS.first  # seeds of refined cells begin so many after those of the map


# --- counting -----------------------------------------------------------------------------------------------------


def study(experiment, folder, train, axes=AXES):
    """Count every cell, refine where the gain changes sign, and count the two halves of the seeds."""
    results = shards.results(train(experiment, folder), last_only=True)
    choosing = outcomes.choosing_seeds(results.sizes["seed"])
    own = counted(results) | {"halves": [counted(results.isel(seed=part)) for part in (choosing, ~choosing)]}
    own["refined"] = []
    for y, places in wanted(claims.Stored(experiment.task.name, own), axes).items():
        finer = parse(refined(experiment, axes, y, places))
        run = train(finer, folder.parent / finer.folder_name)
        own["refined"].append({"row": y, "cells": places} | counted(shards.results(run, last_only=True)))
    return own


def counted(results):
    """Count every condition, and each with the one of its world that holds the test out."""
    regimens, places = results.regimen.values, summary.places(results)
    where = [{axis: value for axis, value in own.items() if np.isfinite(value)} for _, own in places]
    held = [index for index, regimen in enumerate(regimens) if regimen == "hold_out"]
    pairs = [
        (own, index)
        for own, index in itertools.product(held, range(len(where)))
        if where[own].items() <= where[index].items()
    ]
    return claims.count_conditions(results, {tuple(sorted(pair)) for pair in pairs})


def wanted(stored, axes):
    """Return row of the map -> (window, weight) of the cells that are wanted between those of unlike sign."""
    rows = {}
    for runs in SHOWN if axes[1] == "weight" else ():
        found = cells(stored, runs, 1, axes)
        for window, y, low, high in neighbours(found):
            if found[window, y, low].value * found[window, y, high].value < 0:
                between = np.geomspace(low, high, 4)[1:3]
                rows.setdefault(y, set()).update((window, float(f"{weight:.3g}")) for weight in between)
    return {y: sorted(places) for y, places in sorted(rows.items())}


def neighbours(found):
    """Yield window, row and the two columns of neighbouring cells."""
    for window, y in dict.fromkeys(key[:2] for key in found):
        columns = sorted(x for *own, x in found if tuple(own) == (window, y))
        yield from ((window, y, *pair) for pair in itertools.pairwise(columns))


def refined(experiment, axes, y, places):
    """Return the config of cells at other weights in one row of the map.

    Args:
        experiment: the map's.
        axes: of the map.
        y: the row.
        places: (window, weight) of each cell.
    """

    def first(regimen):
        row = (own for own in experiment.conditions if own.regimen == regimen)
        return next(own for own in row if own.coordinates.get(axes[0], y) == y)

    held, test = first("hold_out"), made.column(experiment.task, "test")
    regimens = {"hold_out": made.phases(experiment, held)}
    for index, (window, weight) in enumerate(places):
        table = made.values_by_segment(first(window))
        table[table[:, test] != 0, test] = weight
        regimens[f"cell-{index:02d}"] = made.phases(experiment, first(window), table)
    head = made.config_head(experiment, held, f"{experiment.name}-{y:g}".replace(".", "_"), "Where is the boundary?")
    seeds = {"first": experiment.seeds[0] + APART, "count": len(experiment.seeds)}
    return json.dumps({**head, "seeds": seeds, "baseline": "hold_out", "regimens": regimens})


# --- reading ------------------------------------------------------------------------------------------------------


def cells(stored, runs, of, axes=AXES):
    """Return (window, row, column) -> `Estimate` of what training gains within so many runs."""
    value, found = claims.aligned_share_of_accepted(runs), {}
    for name, own in stored.data["conditions"].items():
        if own["regimen"] != "hold_out":
            held = held_out(stored, name)
            found[place(own, axes)] = stored.difference(name, value, held, value, of)
    return found


def place(condition, axes):
    """Return window, row and column of a condition of the map."""
    return condition["regimen"], *(condition["coordinates"][axis] for axis in axes)


def held_out(stored, name):
    """Return the name of the condition that holds the test out in the world of another."""
    where = stored.coordinates(name).items()
    worlds = (own for own in stored.names if stored.data["conditions"][own]["regimen"] == "hold_out")
    return next(own for own in worlds if stored.coordinates(own).items() <= where)


def finer(stored, runs, axes=AXES):
    """Return (window, row, column) -> `Estimate` of the gain in all cells, those between as well."""
    found = cells(stored, runs, 1, axes)
    for own in stored.data["refined"]:
        part = claims.Stored(stored.task, own)
        for index, (window, weight) in enumerate(own["cells"]):
            value = claims.aligned_share_of_accepted(runs)
            found[window, own["row"], weight] = part.difference(f"cell-{index:02d}", value, "hold_out", value)
    return found


def boundaries(found):
    """Return (window, row, low, high): columns between which the decided sign of the gain changes."""
    for window, y in dict.fromkeys(key[:2] for key in found):
        columns = sorted(x for *own, x in found if tuple(own) == (window, y))
        sure = [
            (x, found[window, y, x].value > 0)
            for x in columns
            if not found[window, y, x].low <= 0 <= found[window, y, x].high
        ]
        yield from ((window, y, one, other) for (one, up), (other, on) in itertools.pairwise(sure) if up != on)


def algebra(stored, axes=AXES):
    """Return runs -> (window, row, column) -> whether the algebra has the sign of the gain, where that is decided.

    The algebra's sign is that of ln LR + ln o(A) against holding out, from one half of the seeds; the measured one is
    that of P(accepted is aligned), from the other half.
    """
    first, second = (claims.Stored(stored.task, half) for half in stored.data["halves"])
    right = {}
    for runs in BUDGETS:
        measured, right[runs] = cells(second, runs, 1, axes), {}
        for name, own in first.data["conditions"].items():
            if own["regimen"] != "hold_out" and not (gain := measured[place(own, axes)]).low <= 0 <= gain.high:
                odds, held = (first.counts(each).posterior_odds for each in (name, held_out(first, name)))
                right[runs][place(own, axes)] = odds > held if gain.value > 0 else odds < held
    return right


def judge(stored: claims.Stored) -> claims.Verdict:
    """Apply the rule to one task."""
    return judged(stored, AXES)


def judged(stored, axes):
    """Apply the rule to one task, on a map with these axes."""
    count = sum(own["regimen"] != "hold_out" for own in stored.data["conditions"].values())
    sides, why = [], []
    for runs in BUDGETS:
        own = cells(stored, runs, count, axes).values()
        better, worse = sum(x.low > 0 for x in own), sum(x.high < 0 for x in own)
        sides.append((better > 0, worse > 0))
        why.append(f"{runs} run{'s' * (runs > 1)}: better in {better}, worse in {worse} of {count}")
    why.append(
        "the sign of the algebra is right in "
        + ", ".join(
            f"{sum(own.values())} of {len(own)} ({runs} run{'s' * (runs > 1)})"
            for runs, own in algebra(stored, axes).items()
        )
    )
    verdict = claims.UNDECIDED
    if (True, True) in sides:
        verdict = claims.SUPPORTED
    elif all(side == (True, False) for side in sides) or all(side == (False, True) for side in sides):
        verdict = claims.CONTRADICTED
    return claims.Verdict(verdict, "; ".join(why))


# --- drawing ------------------------------------------------------------------------------------------------------


def plotted(stored, axes=AXES):
    """Return what the maps of a task show, one for every number of runs in `SHOWN`, as plain JSON values.

    Every map has its `cells`; where the algebra is `wrong`; and the `boundaries` between columns of a row.
    """
    right = algebra(stored, axes)
    return {
        str(runs): {
            "cells": [
                {"window": window, "row": y, "column": x, **estimate_json(estimate)}
                for (window, y, x), estimate in cells(stored, runs, 1, axes).items()
            ],
            "wrong": [
                {"window": window, "row": y, "column": x} for (window, y, x), hit in right[runs].items() if not hit
            ],
            "boundaries": [
                {"window": window, "row": y, "low": low, "high": high}
                for window, y, low, high in (boundaries(finer(stored, runs, axes)) if stored.data["refined"] else ())
            ],
        }
        for runs in SHOWN
    }


def draw(data, words=("visibility of the test", "weight")):
    """Rows of tasks, columns of windows and budgets: a map of the gain; crossed out where it may be none.

    Args:
        data: of the claim.
        words: what the axes of the map are called.
    """
    maps = {task: counts["plotted"] for task, counts in data["tasks"].items()}
    windows = list(dict.fromkeys(cell["window"] for cell in next(iter(maps.values()))[str(SHOWN[0])]["cells"]))
    figure, panels = subplots(
        len(maps), len(SHOWN) * len(windows), figsize=(WIDTH * 1.25, 0.7 + 1.15 * len(maps)), squeeze=False
    )
    image = None
    for line, (task, by_runs) in zip(panels, maps.items(), strict=True):
        for ax, (runs, window) in zip(line, itertools.product(SHOWN, windows), strict=True):
            shown = {
                key: [own for own in found if own["window"] == window] for key, found in by_runs[str(runs)].items()
            }
            image = draw_map(ax, shown["cells"], shown["wrong"])
            draw_boundaries(ax, shown["cells"], shown["boundaries"])
            if window != windows[0]:
                ax.set_yticks([])
            if task == next(iter(maps)):
                head = f"{window}\n" if len(windows) > 1 else ""
                ax.set_title(f"{head}{runs} {'run' if runs == 1 else 'runs'}", fontsize="x-small")
        line[0].set_ylabel(f"{task}\n{words[0]}", fontsize="x-small")
    for ax in panels[-1]:
        ax.set_xlabel(words[1], fontsize="x-small")
    bar = figure.colorbar(image, ax=panels, shrink=0.7, aspect=30)
    bar.set_label("training less holding out,\nP(accepted is aligned)", fontsize="x-small")
    return figure


def places(cells):
    """Return the rows and the columns of a map, ascending."""
    return (sorted({cell[axis] for cell in cells}) for axis in ("row", "column"))


def draw_map(ax, cells, wrong):
    """Draw estimates as a map with rings where the algebra is wrong, and return its image."""
    rows, columns = places(cells)
    estimates = {(cell["row"], cell["column"]): estimate_from_json(cell) for cell in cells}
    rings = {(cell["row"], cell["column"]) for cell in wrong}
    table = np.array([[estimates[y, x].value for x in columns] for y in rows])
    image = ax.imshow(table, cmap="PuOr_r", vmin=-1, vmax=1, origin="lower", aspect="auto")
    thin = {"color": "black", "markersize": 4, "markeredgewidth": 0.6}
    for (y, x), estimate in estimates.items():
        if holds(estimate, 0):
            ax.plot(columns.index(x), rows.index(y), "x", **thin)
        elif (y, x) in rings:
            ax.plot(columns.index(x), rows.index(y), "o", markerfacecolor="none", **thin)
    ax.set_xticks(range(len(columns)), [f"{x:g}".replace("0.", ".", 1) for x in columns], fontsize=4.5)
    ax.set_yticks(range(len(rows)), [f"{y:g}" for y in rows], fontsize=4.5)
    return image


def draw_boundaries(ax, cells, boundaries):
    """Draw in each row between which columns the sign changes: a bar as wide as that is not known."""
    rows, columns = places(cells)
    for boundary in boundaries:
        row, ends = rows.index(boundary["row"]), np.log([boundary["low"], boundary["high"]])
        span = np.interp(ends, np.log(columns), range(len(columns)))
        ax.plot(span, [row] * 2, color="black", linewidth=1.6, solid_capstyle="butt")
        for end in span:
            ax.plot([end, end], [row - 0.25, row + 0.25], color="black", linewidth=0.8)


MAP = (
    "What training on the test gains over holding it out in P(accepted is aligned), with one run and with 100: "
    "orange, train; purple, hold out; crossed out, the 95% interval of the cell holds 0; rings, the sign of the "
    "product LR x base rate odds, from half of the seeds, is the other one on the other half"
)
CAPTION = claims.Caption(
    before=f"{MAP}; black bars, the boundary lies in between (cells trained there alone are not drawn).", marks=""
)
