"""The figure of a run with many worlds drawn at random: every world is in a dot."""

import math
from collections import Counter
from collections.abc import Sequence
from typing import NamedTuple

from lab.config.schema import WORLD
from lab.figures.palette import GREY, style_of
from lab.figures.style import WIDTH, Axes, Figure, Line, holds, label, matplotlib, subplots
from lab.statistics import QUANTITIES
from lab.words import Json, estimate_from_json, name_in_world, number_from_json, plural

WORLD_PANELS = 4  # regimens in a row of the figure of worlds
GRID = 0.02  # of P(A|T), at which worlds share a dot: about the size of the smallest dot
DOT, FAINT = 2.4, 0.45  # width in points of the dot of one world, and how opaque it is


class Place(NamedTuple):
    """Where worlds lie in their figure: P(A|T) of the baseline and of a regimen, and whether the net is undecided."""

    x: float
    y: float
    hollow: bool


def number_of_worlds(data: Json) -> int:
    """Return how many worlds drawn at random a run has."""
    return len({condition["coordinates"].get(WORLD) for condition in data["conditions"]} - {None})


def worlds_figure(data: Json) -> Figure:
    """Show P(A|T) in every world under each regimen over that of its baseline, a panel per point of the sweep."""
    by_name = {condition["name"]: condition for condition in data["conditions"]}
    panels: dict[str, list[Json]] = {}
    for condition in data["conditions"]:
        if condition["log_impact"]:
            world = ((WORLD, condition["coordinates"][WORLD]),)
            panels.setdefault(name_in_world(world, condition["name"]), []).append(condition)
    columns = max(1, min(WORLD_PANELS, len(panels)))
    rows = max(1, math.ceil(len(panels) / columns))
    size = (WIDTH, 0.8 + rows * (0.15 + WIDTH / columns))
    figure, axes = subplots(rows, columns, figsize=size, squeeze=False, sharex=True, sharey=True)
    for ax in axes.flat[len(panels) :]:
        ax.set_visible(False)
    regimens = list(dict.fromkeys(conditions[0]["regimen"] for conditions in panels.values()))
    baselines, most = {}, 1
    for ax, (name, conditions) in zip(axes.flat, panels.items(), strict=False):
        held_out = [by_name[condition["log_impact"]["baseline"]] for condition in conditions]
        baselines |= {condition["regimen"]: None for condition in held_out}
        colour = style_of(conditions[0]["regimen"], regimens.index(conditions[0]["regimen"])).colour
        most = max(most, _draw_worlds(ax, conditions, held_out, colour))
        point = [label(part).replace("=", " = ") for part in name.split()]
        ax.set_title("\n".join([", ".join(point), ax.get_title(loc="left")]), loc="left", fontsize="x-small")
    symbol = QUANTITIES["aligned_given_pass"].symbol
    figure.supxlabel(f"accepted are aligned under {', '.join(map(label, baselines))}, {symbol}", fontsize="small")
    figure.supylabel(f"the same under another regimen, {symbol}", fontsize="small")
    counts = sorted({1, math.ceil(math.sqrt(most)), most})
    dots = [Line([], [], color=GREY, marker="o", linestyle="", markersize=_size(count)) for count in counts]
    texts = [f"{count:,} {plural('world', count)}" for count in counts]
    figure.legend(dots, texts, ncols=len(dots), loc="outside upper right", frameon=False, fontsize="x-small")
    return figure


def _size(count: int) -> float:
    """Return the width of a dot, whose area grows with the number of worlds that it stands for."""
    return DOT * math.sqrt(count)


def worlds_at(conditions: Sequence[Json], held_out: Sequence[Json]) -> dict[Place, int]:
    """Return how many worlds lie at each place, of those in which models pass under both regimens.

    Args:
        conditions: of one regimen.
        held_out: the baseline of each.
    """
    places: Counter[Place] = Counter()
    for condition, baseline in zip(conditions, held_out, strict=True):
        net = estimate_from_json(condition["log_impact"]["net"])
        x, y = (number_from_json(row["aligned_given_pass"]["value"]) for row in (baseline, condition))
        if not math.isnan(x + y):
            places[Place(round(x / GRID) * GRID, round(y / GRID) * GRID, holds(net, 0))] += 1
    return dict(places)


def _draw_worlds(ax: Axes, conditions: Sequence[Json], held_out: Sequence[Json], colour: str) -> int:
    """Draw one regimen: a dot for the worlds at each place; return how many the largest stands for."""
    nets = [estimate_from_json(condition["log_impact"]["net"]) for condition in conditions]
    better, worse = sum(net.low > 0 for net in nets), sum(net.high < 0 for net in nets)
    places = worlds_at(conditions, held_out)
    ax.plot([0, 1], [0, 1], color=GREY, linewidth=0.6)
    for place, count in sorted(places.items(), key=lambda item: -item[1]):  # the largest dots lie below
        face = "none" if place.hollow else matplotlib.colors.to_rgba(colour, FAINT)
        ax.plot(
            *(place.x, place.y), "o", color=colour, markerfacecolor=face, markersize=_size(count), markeredgewidth=0.6,
            clip_on=False,
        )  # fmt: skip
    absent = len(conditions) - sum(places.values())
    ax.set_title(f"{better} better, {worse} worse" + (f", {absent} without dot" if absent else ""), loc="left")
    ax.set_xlim(-0.06, 1.06)
    ax.set_ylim(-0.06, 1.06)
    ax.set_aspect("equal")
    return max(places.values(), default=1)


def worlds_title(data: Json) -> str:
    """Return in how many worlds each regimen is better and worse than the baseline, over all points of the sweep."""
    better: Counter[str] = Counter()
    worse: Counter[str] = Counter()
    pairs: Counter[str] = Counter()
    for condition in data["conditions"]:
        if condition["log_impact"]:
            net = estimate_from_json(condition["log_impact"]["net"])
            better[condition["regimen"]] += net.low > 0
            worse[condition["regimen"]] += net.high < 0
            pairs[condition["regimen"]] += 1
    found = [f"{label(name)} better in {better[name]:,}, worse in {worse[name]:,} of {pairs[name]:,}" for name in pairs]
    return f"Accepted models, beside the baseline, by world: {'; '.join(found)}"
