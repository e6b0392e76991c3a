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
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from lab import claims
from lab.config.experiment import Experiment, parse
from lab.config.seeds import CLAIMS, REFINED
from lab.config.sweep import Condition
from lab.figures.style import WIDTH, Figure, holds, subplots
from lab.results import outcomes, shards, summary
from lab.results.outcomes import Results
from lab.statistics import Estimate
from lab.studies import regimens as made
from lab.words import Json, estimate_from_json, estimate_json

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.image import AxesImage

BUDGETS, SHOWN = (1, 3, 100), (1, 100)
AXES = ("detectability", "weight")  # of the map, from bottom to top and from left to right
APART = REFINED.first - CLAIMS.first  # seeds of refined cells begin so many after those of the map

MapAxes = tuple[str, str]  # of a map, from bottom to top and from left to right
Cell = tuple[str, float, float]  # window, row and column of a map
Gains = Mapping[Cell, Estimate]  # of training over holding out


# --- counting -----------------------------------------------------------------------------------------------------


def study(experiment: Experiment, folder: Path, train: claims.Train, axes: MapAxes = AXES) -> Json:
    """Count every cell, refine where the gain changes sign, and count the two halves of the seeds."""
    results = shards.results(train(experiment, folder), last_only=True)
    choosing = outcomes.choosing_seeds(results.sizes["seed"])
    data = counted(results) | {"halves": [counted(results.isel(seed=half)) for half in (choosing, ~choosing)]}
    data["refined"] = []
    for y, places in wanted(claims.Stored(experiment.task.name, data), axes).items():
        finer = parse(refined(experiment, axes, y, places))
        run = train(finer, folder.parent / finer.folder_name)
        data["refined"].append({"row": y, "cells": places} | counted(shards.results(run, last_only=True)))
    return data


def counted(results: Results) -> Json:
    """Count every condition, and each with the one of its world that holds the test out."""
    worlds = [
        {axis: value for axis, value in coordinates.items() if np.isfinite(value)}
        for _, coordinates in summary.places(results)
    ]
    holding_out = [index for index, regimen in enumerate(results.regimen.values) if regimen == "hold_out"]
    pairs = [
        (base, index)
        for base, index in itertools.product(holding_out, range(len(worlds)))
        if worlds[base].items() <= worlds[index].items()
    ]
    return claims.count_conditions(results, {(min(pair), max(pair)) for pair in pairs})


def wanted(stored: claims.Stored, axes: MapAxes) -> dict[float, list[tuple[str, float]]]:
    """Return row of the map -> (window, weight) of the cells that are wanted between those of unlike sign."""
    rows: dict[float, set[tuple[str, float]]] = {}
    for runs in SHOWN if axes[1] == "weight" else ():
        gains = cells(stored, runs, 1, axes)
        for window, y, low, high in neighbours(gains):
            if gains[window, y, low].value * gains[window, y, high].value < 0:
                between = np.geomspace(low, high, 4)[1:3]
                rows.setdefault(y, set()).update((window, float(f"{weight:.3g}")) for weight in between)
    return {y: sorted(places) for y, places in sorted(rows.items())}


def rows_of(gains: Gains) -> Iterator[tuple[str, float, list[float]]]:
    """Yield window, row and the columns of a map that this row has, ascending."""
    for window, y in dict.fromkeys((window, y) for window, y, _ in gains):
        yield window, y, sorted(x for *row, x in gains if tuple(row) == (window, y))


def neighbours(gains: Gains) -> Iterator[tuple[str, float, float, float]]:
    """Yield window, row and the two columns of neighbouring cells."""
    for window, y, columns in rows_of(gains):
        yield from ((window, y, low, high) for low, high in itertools.pairwise(columns))


def refined(experiment: Experiment, axes: MapAxes, y: float, places: Sequence[tuple[str, float]]) -> str:
    """Return the config of cells at other weights in one row of the map.

    Args:
        experiment: the map's.
        axes: of the map.
        y: the row.
        places: (window, weight) of each cell.
    """

    def first(regimen: str) -> Condition:
        conditions = (condition for condition in experiment.conditions if condition.regimen == regimen)
        return next(condition for condition in conditions if condition.coordinates.get(axes[0], y) == y)

    base, test = first("hold_out"), made.column(experiment.task, "test")
    regimens = {"hold_out": made.phases(experiment, base)}
    for index, (window, weight) in enumerate(places):
        table = made.values_by_segment(first(window))
        table[table[:, test] != 0, test] = weight
        regimens[f"cell-{index:02d}"] = made.phases(experiment, first(window), table)
    head = made.config_head(experiment, base, f"{experiment.name}-{y:g}".replace(".", "_"), "Where is the boundary?")
    seeds = {"first": experiment.seeds[0] + APART, "count": len(experiment.seeds)}
    return json.dumps({**head, "seeds": seeds, "baseline": "hold_out", "regimens": regimens})


# --- reading ------------------------------------------------------------------------------------------------------


def cells(stored: claims.Stored, runs: int, of: int, axes: MapAxes = AXES) -> dict[Cell, Estimate]:
    """Return (window, row, column) -> `Estimate` of what training gains within so many runs."""
    value = claims.aligned_share_of_accepted(runs)
    return {
        place(condition, axes): stored.difference(name, value, held_out(stored, name), value, of)
        for name, condition in stored.conditions.items()
        if condition["regimen"] != "hold_out"
    }


def place(condition: Json, axes: MapAxes) -> Cell:
    """Return window, row and column of a condition of the map."""
    row, column = (condition["coordinates"][axis] for axis in axes)
    return condition["regimen"], row, column


def held_out(stored: claims.Stored, name: str) -> str:
    """Return the name of the condition that holds the test out in the world of another."""
    coordinates = stored.coordinates(name).items()
    bases = (base for base in stored.names if stored.regimen(base) == "hold_out")
    return next(base for base in bases if stored.coordinates(base).items() <= coordinates)


def finer(stored: claims.Stored, runs: int, axes: MapAxes = AXES) -> dict[Cell, Estimate]:
    """Return (window, row, column) -> `Estimate` of the gain in all cells, those between as well."""
    gains = cells(stored, runs, 1, axes)
    value = claims.aligned_share_of_accepted(runs)
    for row in stored.data["refined"]:
        refined_row = claims.Stored(stored.task, row)
        for index, (window, weight) in enumerate(row["cells"]):
            gains[window, row["row"], weight] = refined_row.difference(f"cell-{index:02d}", value, "hold_out", value)
    return gains


def boundaries(gains: Gains) -> Iterator[tuple[str, float, float, float]]:
    """Yield window, row, low, high: columns between which the decided sign of the gain changes."""
    for window, y, columns in rows_of(gains):
        row = {x: gains[window, y, x] for x in columns}
        sure = [(x, gain.value > 0) for x, gain in row.items() if not gain.low <= 0 <= gain.high]
        yield from ((window, y, one, other) for (one, up), (other, on) in itertools.pairwise(sure) if up != on)


def algebra(stored: claims.Stored, axes: MapAxes = AXES) -> dict[int, dict[Cell, bool]]:
    """Return runs -> (window, row, column) -> whether the algebra has the sign of the gain, where that is decided.

    The algebra's sign is that of ln LR + ln o(A) against holding out, from one half of the seeds; the measured one is
    that of P(accepted is aligned), from the other half.
    """
    first, second = (claims.Stored(stored.task, half) for half in stored.data["halves"])
    right: dict[int, dict[Cell, bool]] = {}
    for runs in BUDGETS:
        measured, right[runs] = cells(second, runs, 1, axes), {}
        for name, condition in first.conditions.items():
            if condition["regimen"] == "hold_out":
                continue
            cell = place(condition, axes)
            if not (gain := measured[cell]).low <= 0 <= gain.high:
                trained, base = (first.counts(each).posterior_odds for each in (name, held_out(first, name)))
                right[runs][cell] = trained > base if gain.value > 0 else trained < base
    return right


def judge(stored: claims.Stored) -> claims.Verdict:
    """Apply the rule to one task."""
    return judged(stored, AXES)


def judged(stored: claims.Stored, axes: MapAxes) -> claims.Verdict:
    """Apply the rule to one task, on a map with these axes."""
    count = sum(condition["regimen"] != "hold_out" for condition in stored.conditions.values())
    sides, why = [], []
    for runs in BUDGETS:
        gains = cells(stored, runs, count, axes).values()
        better, worse = sum(gain.low > 0 for gain in gains), sum(gain.high < 0 for gain in gains)
        sides.append((better > 0, worse > 0))
        why.append(f"{runs} run{'s' * (runs > 1)}: better in {better}, worse in {worse} of {count}")
    why.append(
        "the sign of the algebra is right in "
        + ", ".join(
            f"{sum(right.values())} of {len(right)} ({runs} run{'s' * (runs > 1)})"
            for runs, right in algebra(stored, axes).items()
        )
    )
    verdict = claims.UNDECIDED
    if (True, True) in sides:
        verdict = claims.SUPPORTED
    elif all(side == (True, False) for side in sides) or all(side == (False, True) for side in sides):
        verdict = claims.CONTRADICTED
    return claims.Verdict(verdict, "; ".join(why))


# --- drawing ------------------------------------------------------------------------------------------------------


def plotted(stored: claims.Stored, axes: MapAxes = AXES) -> Json:
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


def draw(data: Json, words: tuple[str, str] = ("visibility of the test", "weight")) -> Figure:
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
                part: [row for row in rows if row["window"] == window] for part, rows in by_runs[str(runs)].items()
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


def places(cells: Sequence[Json]) -> tuple[list[float], list[float]]:
    """Return the rows and the columns of a map, ascending."""
    rows, columns = (sorted({cell[axis] for cell in cells}) for axis in ("row", "column"))
    return rows, columns


def draw_map(ax: "Axes", cells: Sequence[Json], wrong: Sequence[Json]) -> "AxesImage":
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


def draw_boundaries(ax: "Axes", cells: Sequence[Json], boundaries: Sequence[Json]) -> None:
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
