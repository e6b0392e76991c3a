"""The figure of a run: its conditions side by side, or what `response` or `worlds` draw."""

import functools
import math
from collections.abc import Sequence
from pathlib import Path

from lab.figures.palette import BLACK, GREY, OUTCOMES, PART_COLOURS, styles_of
from lab.figures.response import AMONG_ABLE, columns_left_out, response_axis, response_figure, response_title
from lab.figures.style import (
    PAPER,
    WIDTH,
    Axes,
    Edition,
    Figure,
    Line,
    Mark,
    Patch,
    coordinate,
    draw_schedules,
    group_by_world,
    holds,
    interval,
    label,
    matplotlib,
    name_rows,
    save,
    subplots,
    write_world,
)
from lab.figures.worlds import GRID, number_of_worlds, worlds_figure, worlds_title
from lab.words import (
    MANY_WORLDS,
    Json,
    World,
    estimate_from_json,
    number_from_json,
    part_words,
    percent,
    plural,
    setting,
)

BARS = ("base_rate", "likelihood_ratio")  # parts that are stacked; the net is a point over them
UNBOUNDED = "...."  # hatch of a bar that nothing bounds
MOST_NAMED = 6  # regimens in a title
WIDTHS = (1.35, 0.7, 0.95, 1.25)  # of the panels of conditions side by side, in proportion


def _name_conditions(conditions: Sequence[Json], ax: Axes) -> None:
    """Name each row by its regimen, and by its place on the axes along which conditions of that regimen differ."""
    name_rows(ax, row_names(conditions))
    ax.tick_params(axis="y", length=0)


def row_names(conditions: Sequence[Json]) -> list[str]:
    """Return what tells each condition from the others: regimen, where there are several, and places on the axes."""
    regimens = [condition["regimen"] for condition in conditions]
    names = []
    for condition in conditions:
        coordinates = condition["coordinates"] if regimens.count(condition["regimen"]) > 1 else {}
        varied = [
            coordinate(axis, value)
            for axis, value in coordinates.items()
            if len({other["coordinates"].get(axis) for other in conditions}) > 1
        ]
        regimen = [] if varied and len(set(regimens)) == 1 else [label(condition["regimen"])]
        names.append(", ".join([*regimen, *varied]))
    return names


def _marks(conditions: Sequence[Json], size: float) -> list[Mark]:
    """Return the mark of each condition's estimates."""
    styles = styles_of([condition["regimen"] for condition in conditions])
    by_row = [styles[condition["regimen"]] for condition in conditions]
    return [Mark(style.colour, style.marker, size, width=1.4) for style in by_row]


# --- conditions side by side --------------------------------------------------------------------------------------


def draw_outcomes(conditions: Sequence[Json], ax: Axes) -> None:
    """Stack the outcomes of each condition as shares of its models, with the interval of P(A) where aligned ones end.

    Where more models than `lab.statistics.counts.UNABLE_SHOWN` cannot do the job, their share is written on them.
    """
    for row, condition in enumerate(conditions):
        counts, left = dict(condition["counts"]), 0.0
        counts["unable"] = counts["incompetent"] + counts["diverged"]
        counts["misaligned_fail"] -= counts["unable"] + counts.get("unjudged", 0)
        outcomes = {name: outcome for name, outcome in OUTCOMES.items() if name in counts}
        total = max(1, sum(counts[name] for name in outcomes))
        for name, (_, colour, hatch) in outcomes.items():
            share = counts[name] / total
            ax.barh(row, share, left=left, height=0.68, color=colour, hatch=hatch, edgecolor="white", linewidth=0.4)
            left += share
        base_rate = estimate_from_json(condition["base_rate"])
        if not math.isnan(base_rate.value):
            interval(ax, row, base_rate, Mark(BLACK, "|", size=5, width=1))
        if AMONG_ABLE.format("base_rate") in condition:
            ax.text(1.01, row, f"{round(100 * counts['unable'] / total)}%", va="center", fontsize="x-small")
    _name_conditions(conditions, ax)
    colours = [mark.colour for mark in _marks(conditions, size=1)]
    draw_schedules(ax, [condition.get("schedule") for condition in conditions], colours)
    ax.set_xlim(0, 1)
    ax.xaxis.set_major_formatter(matplotlib.ticker.PercentFormatter(1, symbol=""))
    ax.set_xlabel("% of all models")


def draw_rate(conditions: Sequence[Json], ax: Axes, quantity: str) -> None:
    """Draw a probability of each condition with its interval."""
    for row, (condition, mark) in enumerate(zip(conditions, _marks(conditions, size=3), strict=True)):
        interval(ax, row, estimate_from_json(condition[quantity]), mark)
    _name_conditions(conditions, ax)
    ax.set_xlim(-0.04, 1.04)
    ax.set_xticks([0, 0.5, 1], ["0", ".5", "1"])


def draw_likelihood_ratio(conditions: Sequence[Json], ax: Axes) -> None:
    """Draw the likelihood ratio of each condition on a log axis; an arrow where nothing bounds it."""
    ratios = [estimate_from_json(condition["likelihood_ratio"]) for condition in conditions]
    finite = [end for ratio in ratios for end in ratio if math.isfinite(end) and end > 0]
    edges = min([0.5, *finite]) / 1.5, max([2.0, *finite]) * 2.5
    for row, (ratio, mark) in enumerate(zip(ratios, _marks(conditions, size=4), strict=True)):
        if math.isnan(ratio.value):
            ax.text(1.15, row, "undefined", va="center", fontsize="x-small", color=mark.colour)
        else:
            interval(ax, row, ratio, mark, edges)
    _name_conditions(conditions, ax)
    ax.set_xscale("log")
    ax.set_xlim(*edges)
    ax.xaxis.set_major_locator(matplotlib.ticker.LogLocator(10))
    ax.xaxis.set_minor_locator(matplotlib.ticker.NullLocator())
    ax.xaxis.set_major_formatter(matplotlib.ticker.FuncFormatter(lambda value, _: setting(value)))
    ax.axvline(1, color="black", linewidth=0.6, linestyle=":")
    ax.set_xlabel("what passing says,\nLR of the test")


def draw_log_impact(conditions: Sequence[Json], ax: Axes) -> None:
    """Stack the two parts of each log impact and mark the net with its interval; hollow where it is undecided."""
    impacts = [condition["log_impact"] for condition in conditions]
    parts = [estimate_from_json(impact[part]) for impact in impacts if impact for part in PART_COLOURS]
    ends = [end for part in parts for end in part]
    edge = 1.25 * max([1.0, *(abs(end) for end in ends if math.isfinite(end))])
    for row, impact in enumerate(impacts):
        if impact is None:
            ax.text(0, row, " baseline", va="center", fontsize="x-small", color=GREY)
            continue
        _stack_parts(impact, ax, row, edge)
        net = estimate_from_json(impact["net"])
        interval(ax, row, net, Mark(BLACK, size=4, width=1.4), (-edge, edge), hollow=holds(net, 0))
    _name_conditions(conditions, ax)
    ax.set_xlim(-edge, edge)
    ax.axvline(0, color="black", linewidth=0.6)
    ax.set_xlabel("change of the log odds\nthat an accepted model is\naligned, nats")


def _stack_parts(impact: Json, ax: Axes, row: int, edge: float) -> None:
    """Draw the parts of a log impact as bars, those to the same side end to end; an unbounded one goes to the edge."""
    ends = {-1: 0.0, 1: 0.0}
    for part in BARS:
        value = number_from_json(impact[part]["value"])
        if math.isnan(value) or value == 0:
            continue
        side = 1 if value > 0 else -1
        length = value if math.isfinite(value) else side * edge - ends[side]
        hatch = None if math.isfinite(value) else UNBOUNDED
        colour = PART_COLOURS[part]
        ax.barh(row, length, left=ends[side], height=0.68, color=colour, hatch=hatch, edgecolor="white", linewidth=0)
        ends[side] += length


def regimens_figure(data: Json) -> Figure:
    """Compare regimens side by side: outcomes, who is accepted, likelihood ratio and log impact; a row per world."""
    worlds = _rows_of_panels(data["conditions"])
    most = max(map(len, worlds.values()))
    compared = any(condition["log_impact"] for condition in data["conditions"])
    widths = WIDTHS if compared else WIDTHS[:-1]
    figure, axes = subplots(
        len(worlds),
        len(widths),
        figsize=(WIDTH, 1.0 + len(worlds) * (0.4 + 0.19 * most)),
        squeeze=False,
        sharey="row",
        gridspec_kw={"width_ratios": widths},
    )
    for row, (world, conditions) in zip(axes, worlds.items(), strict=True):
        draw_outcomes(conditions, row[0])
        draw_rate(conditions, row[1], "aligned_given_pass")
        row[1].set_xlabel("accepted are\naligned, P(A|T)")
        draw_likelihood_ratio(conditions, row[2])
        if compared:
            draw_log_impact(conditions, row[3])
        write_world(row[0], world)
    for ax in axes.flat:
        ax.xaxis.label.set_size("x-small")
    for ax in axes[:-1].flat:
        ax.set_xlabel("")
    _explain_colours(figure, data, compared)
    return figure


def _rows_of_panels(conditions: Sequence[Json]) -> dict[World, list[Json]]:
    """Return the conditions of each world; all of them as one where a world has one alone, for nothing is compared."""
    worlds = group_by_world(conditions)
    return worlds if any(len(members) > 1 for members in worlds.values()) else {(): list(conditions)}


def _explain_colours(figure: Figure, data: Json, compared: bool) -> None:
    """Write a legend of outcomes, those stopped by a gate where there are any, and of the parts of a log impact."""
    stopped = any("unjudged" in condition["counts"] for condition in data["conditions"])
    outcomes = {name: outcome for name, outcome in OUTCOMES.items() if name != "unjudged" or stopped}
    marks: list[tuple[Patch | Line, str]] = [
        (Patch((0, 0), 1, 1, facecolor=colour, hatch=hatch, edgecolor="white"), words)
        for words, colour, hatch in outcomes.values()
    ]
    marks.append((Line([], [], color=BLACK, marker="|", markersize=5, linewidth=1), "P(A) with its interval"))
    if compared:
        bars = [Patch((0, 0), 1, 1, facecolor=PART_COLOURS[part]) for part in BARS]
        marks += [(bar, f"change by the {part_words(part)}") for bar, part in zip(bars, BARS, strict=True)]
        marks.append((Line([], [], color=BLACK, marker="o", markersize=3), "net; hollow: undecided"))
    figure.legend(
        *zip(*marks, strict=True), ncols=3, loc="outside upper center", frameon=False, fontsize="x-small",
        handlelength=1.5, columnspacing=1.2,
    )  # fmt: skip


def regimens_title(data: Json) -> str:
    """Return under which regimens accepted models are more often aligned than under the baseline, and under which less.

    Where there are several worlds, each regimen has the number of worlds in which it is so. Where nothing is compared,
    the title says which share of accepted models is aligned in each condition.
    """
    worlds = len(group_by_world(data["conditions"]))
    by_name = {condition["name"]: condition for condition in data["conditions"]}
    baselines: dict[str, None] = {}
    found: dict[str, list[str]] = {"more": [], "less": [], "undecided": []}
    for condition in data["conditions"]:
        if impact := condition["log_impact"]:
            baselines |= {_accepted(by_name[impact["baseline"]], worlds): None}
            net = estimate_from_json(impact["net"])
            kind = "more" if net.low > 0 else "less" if net.high < 0 else "undecided"
            found[kind].append(_accepted(condition, worlds))
    if not baselines:
        named = zip(row_names(data["conditions"]), data["conditions"], strict=True)
        return f"Aligned among accepted models: {_listed([_accepted_in_row(*pair) for pair in named], '; ')}"
    parts = [f"{kind} under {_counted(names, worlds)}" for kind, names in found.items() if names]
    if worlds > 1:
        return f"Aligned among accepted models, beside {', '.join(baselines)}: {'; '.join(parts)}"
    return f"Aligned among accepted models: {'; '.join([*baselines, *parts])}"


def _accepted(condition: Json, worlds: int) -> str:
    """Return the name of a regimen and, where there is one world, which share of its accepted models is aligned."""
    share = number_from_json(condition["aligned_given_pass"]["value"])
    name = label(condition["regimen"])
    return name if worlds > 1 or math.isnan(share) else f"{name} ({100 * share:.0f}%)"


def _accepted_in_row(name: str, condition: Json) -> str:
    """Return the name of a condition and which share of its accepted models is aligned."""
    share = number_from_json(condition["aligned_given_pass"]["value"])
    return f"{name}: none accepted" if math.isnan(share) else f"{name}: {100 * share:.0f}%"


def _counted(names: Sequence[str], worlds: int) -> str:
    """Return names with commas between, where there are several worlds by the number of those that have each."""
    if worlds == 1:
        return _listed(names)
    counts: dict[int, list[str]] = {}
    for name in dict.fromkeys(names):
        counts.setdefault(names.count(name), []).append(name)
    return ", ".join(f"{_listed(members)} in {count} of {worlds} worlds" for count, members in counts.items())


def _listed(names: Sequence[str], between: str = ", ") -> str:
    """Return names with something between; the first of them and how many more where a title has no room for all."""
    if len(names) <= MOST_NAMED:
        return between.join(names)
    return f"{between.join(names[:MOST_NAMED])} and {len(names) - MOST_NAMED:,} more"


# --- the figure ---------------------------------------------------------------------------------------------------


def caption(data: Json) -> str:
    """Return a caption that names every number's origin."""
    marks, proxy = data["thresholds"], data["proxy"]
    worlds, each = number_of_worlds(data), ""
    if worlds >= MANY_WORLDS:
        each = (
            f"{worlds:,} worlds drawn at random. Worlds within {setting(GRID)} of each other share a dot, whose area "
            "says how many they are; it is hollow where the interval of the net covers 0. A world in which no model "
            "passes under one of the two regimens has no dot. "
        )
    if about := data.get("observed"):
        counted = f"{data['seeds']:,} rows per condition at most. A: {about['aligned']}; T: {about['passing']}."
        origin = f"{' '.join(about['remarks'])} {percent(data['confidence'])} intervals: {about['intervals']}."
    else:
        counted = (
            f"{data['seeds']:,} models per condition, trained from the same seeds. "
            f"A: alignment >= {setting(marks['alignment'])} and competence >= {setting(marks['competence'])}; "
            f"T: {proxy} >= {setting(marks[proxy])} and competent."
        )
        origin = (
            f"{percent(data['confidence'])} intervals: Wilson for rates, Miettinen-Nurminen for the likelihood ratio; "
            "for log impacts from draws of the joint outcomes of shared seeds, with one more seed where it matters "
            "most."
        )
    text = (
        f"{data['question'] or data['name']} {each}{counted} {origin} "
        "Arrows: nothing bounds this side. Hollow net: the interval covers 0. Dotted bar: unbounded."
    )
    return f"{text} {data['stopping']}" if "stopping" in data else text


def subtitle(data: Json) -> str:
    """Return the question of a run, how many models were asked, and how many cannot do the job where that matters."""
    noun = "row" if data.get("observed") else "model"
    most = max((number_from_json(row["unable"]["value"]) for row in data["conditions"] if "unable" in row), default=0)
    shown = any(AMONG_ABLE.format("base_rate") in condition for condition in data["conditions"])
    unable = f"Up to {round(100 * most)}% of models cannot do the job." if shown else ""
    counted = f"{data['seeds']:,} {plural(noun, data['seeds'])} per condition, {percent(data['confidence'])} intervals."
    axis = response_axis(data)
    left_out = columns_left_out(data, axis) if axis else 0
    hidden = f"{left_out:,} points of the other axes are not shown." if left_out else ""
    return " ".join(text for text in (data["question"], counted, unable, hidden) if text)


def build(data: Json, folder: Path | str, edition: Edition = PAPER) -> Path:
    """Draw the figure that fits a run and save it as PDF, PNG and JSON; see `save`.

    Args:
        data: what `lab.report.as_json` returned.
        folder: where to write.
        edition: for which venue, and in which form.
    """
    axis = response_axis(data)
    if number_of_worlds(data) >= MANY_WORLDS:
        draw, title = worlds_figure, worlds_title(data)
    elif axis:
        draw, title = functools.partial(response_figure, axis=axis), response_title(data, axis)
    else:
        draw, title = regimens_figure, regimens_title(data)
    words = {"title": title, "subtitle": subtitle(data), "caption": caption(data)}
    return save(draw, data | words, folder, data["name"], edition)
