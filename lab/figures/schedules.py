"""The figure of `lab optimise`."""

import math

import numpy as np
from tueplots import figsizes

from lab.figures.style import GREY, Figure, label, number, save, style_of
from lab.studies.schedules import GOALS
from lab.words import percent, setting

LEARNED = "#D55E00"


def draw_schedule(data, ax, place):
    """Draw the weight of a term over training in the schedule found, and thin those of the other searches."""
    edges = [0.0, *data["ends"]]
    for index, own in reversed(list(enumerate(data["searches"]))):
        weights = np.array(own["weights"])[:, place]
        ax.stairs(weights, edges, baseline=None, color=LEARNED if index == 0 else GREY,
                  linewidth=1.4 if index == 0 else 0.6)  # fmt: skip
    best = data["searches"][0]
    for start, end, row, slopes, errors in zip(
        edges[:-1], edges[1:], best["weights"], best["slopes"], best["errors"], strict=True
    ):
        if abs(slopes[place]) > 2 * errors[place]:
            ax.fill_between([start, end], 0, row[place], color=LEARNED, alpha=0.35, linewidth=0)
    for side in (-1, 1):
        ax.axhline(side * data["cap"], color="black", linewidth=0.5, linestyle=":")
    ax.axhline(0, color="black", linewidth=0.6)
    ax.set_xlim(0, 1)
    ax.set_ylim(-1.15 * data["cap"], 1.15 * data["cap"])
    ax.set_ylabel(f"weight of\n{label(data['terms'][place])}")


def draw_rivals(data, ax):
    """Draw the goal of every schedule with its interval, the best on top; hollow where the one found is not better."""
    rows = data["rivals"]
    ends = [number(row["value"][key]) for row in rows for key in ("low", "high")]
    ends = [end for end in ends if math.isfinite(end)] or [0.0, 1.0]
    edges = min(ends), max(ends)
    for index, row in enumerate(reversed(rows)):
        value, low, high = (number(row["value"][key]) for key in ("value", "low", "high"))
        mine = row["name"].startswith("learned")
        colour = LEARNED if mine else style_of(row["name"])[0]
        told = mine or row["gain"] is None or not number(row["gain"]["low"]) <= 0 <= number(row["gain"]["high"])
        ax.plot(np.clip([low, high], *edges), [index] * 2, color=colour, linewidth=1.2)
        ax.plot(np.clip(value, *edges), index, "o" if math.isfinite(value) else ">", color=colour, markersize=3.5,
                markerfacecolor=colour if told else "white")  # fmt: skip
    ax.set_yticks(range(len(rows)), [label(row["name"]) for row in reversed(rows)], fontsize="x-small")
    ax.set_ylim(-0.7, len(rows) - 0.3)
    ax.set_xlabel(GOALS[data["goal"]["name"]])


def schedules_figure(data):
    """Show the schedule found, term by term, beside what it and the hand-made ones reach."""
    width, terms = figsizes.neurips2024()["figure.figsize"][0], len(data["terms"])
    height = max(1.0 + 1.0 * terms, 0.5 + 0.13 * len(data["rivals"]))
    figure = Figure(figsize=(width, height))
    grid = figure.add_gridspec(terms, 2)
    column = [figure.add_subplot(grid[place, 0]) for place in range(terms)]
    for place, ax in enumerate(column):
        draw_schedule(data, ax, place)
    column[-1].set_xlabel("share of training")
    draw_rivals(data, figure.add_subplot(grid[:, 1]))
    return figure


def schedules_caption(data):
    """Return a caption of the figure of `lab optimise`."""
    return (
        f"Left: the schedule found under a cap of {setting(data['cap'])} and a budget of {setting(data['budget'])} "
        "(|weight| times share of training), filled where the goal still has a slope beyond twice its standard "
        f"error; grey: from the other starts. Right: {GOALS[data['goal']['name']]} on {data['seeds']:,} fresh seeds, "
        f"{percent(data['confidence'])} intervals; hollow: not told apart from the schedule found."
    )


def build_schedules(data, folder):
    """Draw the figure of `lab optimise` and save it as PDF, PNG and JSON; see `save`."""
    return save(schedules_figure, {**data, "caption": schedules_caption(data)}, folder, data["name"])
