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
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from lab import claims
from lab.config.experiment import Condition, Experiment, parse
from lab.config.schema import Schedule
from lab.config.seeds import CLAIMS, REFINED
from lab.figures import name_task
from lab.figures.palette import BLACK, INK, VERMILION, WHITE, style_of
from lab.figures.style import (
    SMALLEST,
    WIDTH,
    Axes,
    Figure,
    Patch,
    holds,
    luminance,
    matplotlib,
    say_unable,
    schedule_box,
    subplots,
)
from lab.results import outcomes, shards, summary
from lab.results.outcomes import Results
from lab.statistics import Estimate
from lab.studies.regimens import column, config_head, phases, values_by_segment
from lab.words import Json, estimate_from_json, estimate_json, plural, setting

if TYPE_CHECKING:
    from matplotlib.image import AxesImage

BUDGETS = (1, 3, 100)  # runs; of the rule
SHOWN = (1, 100)  # runs for which a map is drawn and its boundary refined
AXES = ("detectability", "weight")  # of the map, from bottom to top and from left to right
APART = REFINED.first - CLAIMS.first  # seeds of refined cells begin so many after those of the map
BETWEEN = 2  # cells that are trained between two neighbouring weights of unlike sign
TRAIN, HOLD_OUT, EITHER = "training is better", "holding out is better", "either, or unknown"  # choices of a cell
COLOURS = matplotlib.colors.LinearSegmentedColormap.from_list("choice", [INK, WHITE, VERMILION])
PALE, HATCHED, HATCH = "#f7f7f7", "#c4c4c4", "//////"  # of cells that tell nothing
KEY: dict[str, tuple[str, dict[str, Any]]] = {  # choice -> its letter, and how its patch in the legend looks
    TRAIN: ("T", {"facecolor": VERMILION}),
    HOLD_OUT: ("H", {"facecolor": INK}),
    EITHER: ("", {"facecolor": PALE, "edgecolor": HATCHED, "hatch": HATCH}),
}
DARK = 0.18  # luminance below which letters are white
ROOM, ROW = 0.42, 0.132  # inches of a map beside its rows, and of a row
FEW_PANELS = 2  # beside each other, so that every column of a map can be named

MapAxes = tuple[str, str]  # names of the axes of a map: that of its rows and that of its columns


class Cell(NamedTuple):
    """Where in the maps of a task a condition lies.

    Attributes:
        window: the regimen, which says when it is trained on the proxy.
        row: value on the first axis.
        column: value on the second axis.
    """

    window: str
    row: float
    column: float


class Neighbours(NamedTuple):
    """Two cells of a row, next to each other.

    Attributes:
        window: the regimen.
        row: value on the first axis.
        low: value of the left one on the second axis.
        high: value of the right one.
    """

    window: str
    row: float
    low: float
    high: float


Gains = dict[Cell, Estimate]


# --- counting -----------------------------------------------------------------------------------------------------


def study(experiment: Experiment, folder: Path, train: claims.Train, axes: MapAxes = AXES) -> Json:
    """Count every cell, refine where the gain changes sign, and count the two halves of the seeds.

    Cells between are trained for the task's own mark of alignment alone.
    """
    results = shards.results(train(experiment, folder), last_only=True)
    choosing = outcomes.choosing_seeds(results.sizes["seed"])
    halves = [count_cells(results.isel(seed=half)) for half in (choosing, ~choosing)]
    counts = count_cells(results) | {"halves": halves, "refined": []}
    own_mark = results.attrs["thresholds"] == experiment.thresholds
    to_refine = cells_to_refine(claims.Stored(experiment.task.name, counts), axes) if own_mark else {}
    for row, cells_between in to_refine.items():
        finer = parse(refined_config(experiment, axes, row, cells_between))
        run = train(finer, folder.parent / finer.folder_name)
        refined = count_cells(shards.results(run, last_only=True))
        counts["refined"].append({"row": row, "cells": cells_between} | refined)
    return counts


def count_cells(results: Results) -> Json:
    """Count every condition, and each with the one of its world that holds the test out."""
    every = [
        {axis: value for axis, value in coordinates.items() if np.isfinite(value)}
        for _, coordinates in summary.places(results)
    ]
    held_out = [index for index, regimen in enumerate(results.regimen.values) if regimen == "hold_out"]
    pairs = {
        (min(baseline, index), max(baseline, index))
        for baseline, index in itertools.product(held_out, range(len(every)))
        if every[baseline].items() <= every[index].items()
    }
    return claims.count_conditions(results, pairs)


def cells_to_refine(stored: claims.Stored, axes: MapAxes) -> dict[float, list[tuple[str, float]]]:
    """Return row of the map -> (window, weight) of the cells that are wanted between those of unlike sign."""
    rows: dict[float, set[tuple[str, float]]] = {}
    for runs in SHOWN if axes[1] == "weight" else ():
        gains = cells(stored, runs, 1, axes)
        for window, row, low, high in neighbours(gains):
            if gains[Cell(window, row, low)].value * gains[Cell(window, row, high)].value < 0:
                weights = np.geomspace(low, high, BETWEEN + 2)[1:-1]
                rows.setdefault(row, set()).update((window, float(f"{weight:.3g}")) for weight in weights)
    return {row: sorted(cells_between) for row, cells_between in sorted(rows.items())}


def rows_of(gains: Iterable[Cell]) -> Iterator[tuple[str, float, list[float]]]:
    """Yield window, row and the columns of each row of the maps, ascending."""
    for map_row in dict.fromkeys((window, row) for window, row, _ in gains):
        yield *map_row, sorted(column for window, row, column in gains if (window, row) == map_row)


def neighbours(gains: Gains) -> Iterator[Neighbours]:
    """Yield neighbouring cells."""
    for window, row, columns in rows_of(gains):
        yield from (Neighbours(window, row, *pair) for pair in itertools.pairwise(columns))


def refined_config(
    experiment: Experiment, axes: MapAxes, row: float, cells_between: Sequence[tuple[str, float]]
) -> str:
    """Return the config of cells at other weights in one row of the map.

    Args:
        experiment: the map's.
        axes: of the map.
        row: value on the first axis.
        cells_between: (window, weight) of each cell.
    """

    def first(regimen: str) -> Condition:
        members = (condition for condition in experiment.conditions if condition.regimen == regimen)
        return next(member for member in members if member.coordinates.get(axes[0], row) == row)

    held_out, test = first("hold_out"), column(experiment.task, "test")
    regimens = {"hold_out": phases(experiment, held_out)}
    for index, (window, weight) in enumerate(cells_between):
        values = values_by_segment(first(window))
        values[values[:, test] != 0, test] = weight
        regimens[f"cell-{index:02d}"] = phases(experiment, first(window), values)
    name = f"{experiment.name}-{row:g}".replace(".", "_")
    head = config_head(experiment, held_out, name, "Where is the boundary?")
    seeds = {"first": experiment.seeds[0] + APART, "count": len(experiment.seeds)}
    return json.dumps({**head, "seeds": seeds, "baseline": "hold_out", "regimens": regimens})


# --- reading ------------------------------------------------------------------------------------------------------


def trained(stored: claims.Stored) -> list[str]:
    """Return the names of the conditions that train on the test."""
    return [name for name in stored.conditions if stored.regimen(name) != "hold_out"]


def cell_of(stored: claims.Stored, name: str, axes: MapAxes) -> Cell:
    """Return where in the maps a condition lies."""
    row, column = (stored.coordinates(name)[axis] for axis in axes)
    return Cell(stored.regimen(name), row, column)


def held_out(stored: claims.Stored, name: str) -> str:
    """Return the name of the condition that holds the test out in the world of another."""
    coordinates = stored.coordinates(name).items()
    members = (member for member in stored.names if stored.regimen(member) == "hold_out")
    return next(member for member in members if stored.coordinates(member).items() <= coordinates)


def cells(stored: claims.Stored, runs: int, of: int, axes: MapAxes = AXES) -> Gains:
    """Return the `Estimate` of what training gains within so many runs in each cell; `of` of them hold together."""
    value = claims.aligned_share_of_accepted(runs)
    return {
        cell_of(stored, name, axes): stored.difference(name, value, held_out(stored, name), value, of)
        for name in trained(stored)
    }


def finer_cells(stored: claims.Stored, runs: int, axes: MapAxes = AXES) -> Gains:
    """Return the `Estimate` of the gain in all cells, those between as well."""
    value = claims.aligned_share_of_accepted(runs)
    gains = cells(stored, runs, 1, axes)
    for part in stored.data["refined"]:
        refined = claims.Stored(stored.task, part)
        for index, (window, weight) in enumerate(part["cells"]):
            gain = refined.difference(f"cell-{index:02d}", value, "hold_out", value)
            gains[Cell(window, part["row"], weight)] = gain
    return gains


def boundaries(gains: Gains) -> Iterator[Neighbours]:
    """Yield the cells of a row, with none decided between them, at which the decided sign of the gain changes."""
    for window, row, columns in rows_of(gains):
        by_column = {column: gains[Cell(window, row, column)] for column in columns}
        decided = [(column, gain.value > 0) for column, gain in by_column.items() if not holds(gain, 0)]
        for (low, better_low), (high, better_high) in itertools.pairwise(decided):
            if better_low != better_high:
                yield Neighbours(window, row, low, high)


def algebra(stored: claims.Stored, axes: MapAxes = AXES) -> dict[int, dict[Cell, bool]]:
    """Return runs -> cell -> whether the algebra has the sign of the gain, where that is decided.

    The algebra's sign is that of ln LR + ln o(A) against holding out, from one half of the seeds; the measured one is
    that of P(accepted is aligned), from the other half.
    """
    first, second = (claims.Stored(stored.task, half) for half in stored.data["halves"])
    right: dict[int, dict[Cell, bool]] = {}
    for runs in BUDGETS:
        measured, right[runs] = cells(second, runs, 1, axes), {}
        for name in trained(first):
            cell = cell_of(first, name, axes)
            gain = measured[cell]
            if not holds(gain, 0):
                odds, odds_held_out = (first.counts(each).posterior_odds for each in (name, held_out(first, name)))
                right[runs][cell] = odds > odds_held_out if gain.value > 0 else odds < odds_held_out
    return right


def judge(stored: claims.Stored) -> claims.Verdict:
    """Apply the rule to one task."""
    return judge_map(stored, AXES)


def judge_map(stored: claims.Stored, axes: MapAxes) -> claims.Verdict:
    """Apply the rule to one task, on a map with these axes."""
    count = len(trained(stored))
    sides, why = [], []
    for runs in BUDGETS:
        gains = cells(stored, runs, count, axes).values()
        better, worse = sum(gain.low > 0 for gain in gains), sum(gain.high < 0 for gain in gains)
        sides.append((better > 0, worse > 0))
        why.append(f"{runs} {plural('run', runs)}: better in {better}, worse in {worse} of {count}")
    hits = ", ".join(
        f"{sum(right.values())} of {len(right)} ({runs} {plural('run', runs)})"
        for runs, right in algebra(stored, axes).items()
    )
    why.append(f"the sign of the algebra is right in {hits}")
    verdict = claims.UNDECIDED
    if (True, True) in sides:
        verdict = claims.SUPPORTED
    elif all(side == (True, False) for side in sides) or all(side == (False, True) for side in sides):
        verdict = claims.CONTRADICTED
    return claims.Verdict(verdict, "; ".join(why))


# --- drawing ------------------------------------------------------------------------------------------------------


def plotted(stored: claims.Stored, axes: MapAxes = AXES) -> dict[str, Json]:
    """Return what the maps of a task show, one for every number of runs in `SHOWN`, as plain JSON values.

    Every map has its `cells`, each with the share of its models that cannot do the job. Beside them stand facts
    that are not drawn: where the algebra is `wrong`, and the `boundaries` between columns of a row.
    """
    right = algebra(stored, axes)
    schedules = {stored.regimen(name): stored.schedule(name) for name in trained(stored)}
    unable = {cell_of(stored, name, axes): stored.unable(name) for name in trained(stored)}
    return {"schedules": schedules} | {
        str(runs): {
            "cells": [
                {**cell._asdict(), **estimate_json(gain), "unable": unable[cell]}
                for cell, gain in cells(stored, runs, 1, axes).items()
            ],
            "wrong": [cell._asdict() for cell, hit in right[runs].items() if not hit],
            "boundaries": [
                boundary._asdict()
                for boundary in (boundaries(finer_cells(stored, runs, axes)) if stored.data["refined"] else ())
            ],
        }
        for runs in SHOWN
    }


def choice(gain: Estimate) -> str:
    """Return what is better in a cell for sure: to train, to hold out, or either as far as is known.

    >>> choice(Estimate(0.2, 0.1, 0.3)), choice(Estimate(0.2, -0.1, 0.5))
    ('training is better', 'either, or unknown')
    """
    return EITHER if holds(gain, 0) else TRAIN if gain.value > 0 else HOLD_OUT


def finding(tasks: Mapping[str, Json]) -> str:
    """Return in how many cells of all maps training is better with each number of runs, and in how many worse."""
    parts = []
    for runs in SHOWN:
        every = [cell for counts in tasks.values() for cell in counts["plotted"][str(runs)]["cells"]]
        choices = Counter(choice(estimate_from_json(cell)) for cell in every)
        count = "" if parts else f" of {len(every)} cells"
        parts.append(
            f"with {runs} {plural('run', runs)} training is better in {choices[TRAIN]}{count} and holding out in "
            f"{choices[HOLD_OUT]}"
        )
    return ", ".join(parts).capitalize()


def draw(data: Json, words: tuple[str, str] = ("visibility\nof the test", "weight of\nthe test")) -> Figure:
    """Rows of tasks, columns of budgets and windows: maps of what is better, and by how much.

    Args:
        data: of the claim.
        words: what the axes of the map are called.
    """
    maps = {task: counts["plotted"] for task, counts in data["tasks"].items()}
    windows = list(dict.fromkeys(cell["window"] for cell in next(iter(maps.values()))[str(SHOWN[0])]["cells"]))
    heads = list(itertools.product(SHOWN, windows))
    heights = [len(rows_and_columns(by_runs[str(SHOWN[0])]["cells"])[0]) for by_runs in maps.values()]
    size = (WIDTH, 1.1 + sum(ROOM + ROW * height for height in heights))
    figure, panels = subplots(len(maps), len(heads), figsize=size, squeeze=False, height_ratios=heights)
    image = None
    for line, (task, by_runs) in zip(panels, maps.items(), strict=True):
        for ax, (runs, window) in zip(line, heads, strict=True):
            shown = [cell for cell in by_runs[str(runs)]["cells"] if cell["window"] == window]
            image = draw_map(ax, shown, every=len(heads) <= FEW_PANELS)
            if window != windows[0]:
                ax.set_yticks([])
        line[0].set_ylabel(words[0], fontsize="x-small")
        name_task(line[0], task, data["tasks"][task])
        say_unable(line[-1], [cell["unable"] for cell in by_runs[str(SHOWN[0])]["cells"]])
    schedules = next(iter(maps.values()))["schedules"] if len(windows) > 1 else {}
    for ax, (runs, window) in zip(panels[0], heads, strict=True):
        above = f"with {runs} {plural('run', runs)}" if window == windows[len(windows) // 2] else ""
        _head(ax, above, window if schedules else "", schedules.get(window))
    for ax in panels[-1]:
        ax.set_xlabel(words[1], fontsize="x-small")
    figure.get_layout_engine().set(h_pad=0.02, w_pad=0.02)
    bar = figure.colorbar(image, ax=panels, location="bottom", shrink=0.6, aspect=45, pad=0.01)
    bar.ax.tick_params(labelsize="x-small")
    bar.set_label("P(accepted is aligned): training on the test, less holding it out", fontsize="x-small")
    handles = [Patch((0, 0), 1, 1, label=f"{letter}  {words}", **face) for words, (letter, face) in KEY.items()]
    figure.legend(handles=handles, loc="outside upper center", ncols=3, frameon=False, fontsize="x-small")
    return figure


def _head(ax: Axes, runs: str, window: str, schedule: Schedule | None) -> None:
    """Write what a column of panels shows over the first of them, above the name of its task."""
    place: dict[str, Any] = {"xycoords": "axes fraction", "textcoords": "offset points", "ha": "center", "va": "bottom"}
    ax.annotate(runs, (0.5, 1), (0, 29 if window else 17), fontsize="small", **place)
    if not window:
        return
    name = matplotlib.offsetbox.TextArea(window, textprops={"fontsize": SMALLEST})
    drawing = [] if schedule is None else [schedule_box(schedule, style_of(window).colour)]
    both = matplotlib.offsetbox.HPacker(children=[name, *drawing], align="center", pad=0, sep=2)
    place = {"xycoords": "axes fraction", "boxcoords": "offset points", "box_alignment": (0.5, 0)}
    ax.add_artist(matplotlib.offsetbox.AnnotationBbox(both, (0.5, 1), (0, 17), frameon=False, pad=0, **place))


def rows_and_columns(cells: Sequence[Json]) -> tuple[list[float], list[float]]:
    """Return the rows and the columns of a map, ascending."""
    return sorted({cell["row"] for cell in cells}), sorted({cell["column"] for cell in cells})


def draw_map(ax: Axes, cells: Sequence[Json], every: bool) -> "AxesImage":
    """Draw estimates as a map whose cells say what is better, and return its image.

    Args:
        ax: where to draw.
        cells: of the map.
        every: whether there is room to name all columns, and not only those at the ends.
    """
    rows, columns = rows_and_columns(cells)
    table = np.full((len(rows), len(columns)), np.nan)
    for cell in cells:
        gain, y, x = estimate_from_json(cell), rows.index(cell["row"]), columns.index(cell["column"])
        letter, _ = KEY[choice(gain)]
        if letter:
            table[y, x] = gain.value
            face = matplotlib.colors.to_hex(COLOURS((1 + gain.value) / 2))
            dark = luminance(face) < DARK
            ax.text(x, y, letter, ha="center", va="center", fontsize=SMALLEST, color=WHITE if dark else BLACK)
    ax.set_facecolor(PALE)
    ax.patch.set_hatch(HATCH)
    ax.patch.set_edgecolor(HATCHED)
    image = ax.imshow(table, cmap=COLOURS, vmin=-1, vmax=1, origin="lower", aspect="auto")
    named = columns if every else (columns[0], columns[-1])
    ax.set_xticks([columns.index(value) for value in named], [_short(value) for value in named], fontsize="x-small")
    ax.set_yticks(range(len(rows)), [_short(value) for value in rows], fontsize="x-small")
    ax.tick_params(length=0, pad=2)
    return image


def _short(value: float) -> str:
    """Return a number of an axis without the 0 before its point."""
    return setting(value).replace("0.", ".", 1)


WRONG = "`wrong` says where the product LR x base rate odds, from half of the seeds, has the other sign"
CAPTION = claims.Caption(
    question="Train on a test, or hold it out?",
    before="What training on the test gains over holding it out in P(accepted is aligned), with one run and with 100. "
    "T: to train is better; H: to hold out is; hatched: the 95% interval of the cell holds 0.",
    marks="each cell on its own in the figure",
    after=f"In the JSON beside, {WRONG}, and `boundaries` between which weights the sign changes, with cells that were "
    "trained there alone.",
)
