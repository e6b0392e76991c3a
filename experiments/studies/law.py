"""How well does the law foresee what a use of a proxy does, in tasks that it has never seen?

Command:   python -m experiments.studies.law look     on the worlds in which the law was looked for
           python -m experiments.studies.law judge    on worlds and seeds that nobody had looked at
           --table prints the stored numbers, --redraw only draws
Cost:      ten minutes; it trains nothing, and reads what `python -m experiments.studies.worlds` has stored

In each world every second seed is the card: the counts of holding out and of the two pilots. The other seeds judge:
they say what every use of the proxy gains in P(accepted is aligned) over holding out, for budgets of 1, 3, 10 and 100
runs.

A cell is a world, a use and a budget. It counts if 95% of the models that were held out do the job, and 95% of those
of the use. It is decided if the 95% interval of its gain, from the joint posterior of the judging seeds, leaves out 0.
That interval is how the few seeds of a world come in.

    sign     share of decided cells in which a rule says rightly whether the use gains
    regret   what is lost, on average over worlds, by choosing the use that a rule foresees to be best, or holding out

Rule, per task and budget: the law is *supported* if its sign is right in at least 90% of the decided cells, its regret
at most .02, and its regret at most that of each of the simple rules (always hold out, early, late, throughout). It is
*contradicted* if a simple rule has less regret, or if its sign is right in less than 90% of the decided cells and in
fewer than the more frequent sign is. Else it is *undecided*, also with fewer than 20 decided cells.

Beside it, all in `experiments.studies.law_rules`: the law on counts alone; a rule for hand use (`by_hand`); the pilots
taken as they are (without dose and lateness); gradient boosting on the card, fitted to all other tasks; latent
dynamics, fitted to each card (`latent`); measuring, which trains every use on as many seeds as the card has and takes
what it sees. What each question of the card contributes is asked of the law on counts.

The exponent, the ramp and the rule for negative weights were chosen on the looked-at worlds of `race`, `scratchpad` and
`shortcut`. In those of `digits` and `gridworld` that law failed: its sign was right in two thirds of the decided cells.
So the law was given the scores of the card's models, trusted as far as outcomes are graded. What it says without the
scores stands beside it as "counts alone". All of this was chosen on looked-at worlds.

Writes figures/law-look.json or figures/law.json, a figure beside it, and of the look the numbers that
`lab advise` calls studied (lab/studies/studied.json).
"""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from experiments.studies import ROOT
from experiments.studies.law_figure import (
    PHASE_BUDGETS,
    PHASES,
    draw,
    draw_phases,
    draw_reliability,
    phases_words,
    reliability_words,
    words,
)
from experiments.studies.law_rules import (
    DRAWS,
    PILOT_REGIMENS,
    QUESTIONS,
    USES,
    Cells,
    Rule,
    always,
    boosted,
    by_hand,
    cells_of,
    latent,
    moved,
    numbers_of,
    of_counts,
    of_law,
    of_measuring,
    of_pilots,
    pilot_weight,
    without,
)
from experiments.studies.worlds import FOLDER, Kind, Worlds, read
from lab.figures import save
from lab.results.outcomes import choosing_seeds
from lab.results.store import publish
from lab.studies import law
from lab.studies.advice import BUDGETS, NUMBERS, REGIMENS, posterior
from lab.studies.law import Pilots
from lab.tasks import TASKS
from lab.words import Json

SIMPLE = ("hold out", "early", "late", "throughout")
SIGN, REGRET, FEWEST = 0.9, 0.02, 20
EDGES = np.linspace(0, 1, 11)  # of the reliability diagram
WIDEST = 1  # percentile that is cut off at either end of what counts as studied


# --- how well they do -------------------------------------------------------------------------------------------------


def marks(rule: Rule, cells: Cells, runs: int) -> Json:
    """Return how a rule does in the worlds of a task: signs that are right of those decided, and regret."""
    foreseen = np.stack([rule(cells, use, runs) for use in USES])
    gains = np.stack([cells.gains[use, runs] for use in USES])
    counted_cells = np.stack([cells.counted[use] for use in USES])
    decided = np.stack([cells.decided[use, runs] for use in USES]) & counted_cells
    right = ((foreseen > 0) == (gains > 0))[decided]
    nothing = np.zeros((1, len(cells.able)))
    best_seen = np.concatenate([nothing, np.where(counted_cells, foreseen, -np.inf)]).argmax(0)
    values = np.concatenate([nothing, np.where(counted_cells, gains, -np.inf)])
    regret = values.max(0) - np.take_along_axis(values, best_seen[None], 0)[0]
    positive = (gains > 0)[decided].mean() if decided.any() else 0.5
    return {
        "right": int(right.sum()),
        "decided": int(decided.sum()),
        "majority": float(max(positive, 1 - positive)),
        "regret": float(regret[cells.able].mean()),
    }


def verdict(of_rules: Mapping[str, Json]) -> str:
    """Judge one task and budget by the rule above."""
    mark = of_rules["law"]
    if mark["decided"] < FEWEST:
        return "undecided"
    sign, best_simple = mark["right"] / mark["decided"], min(of_rules[name]["regret"] for name in SIMPLE)
    if mark["regret"] > best_simple or sign < min(SIGN, mark["majority"]):
        return "contradicted"
    return "supported" if sign >= SIGN and mark["regret"] <= REGRET else "undecided"


def reliability(every: Sequence[Cells]) -> list[Json]:
    """Return, by tenths of the probability with which the law foresees a gain, how often there was one."""
    said: list[float] = []
    came: list[bool] = []
    for cells in every:
        for index in np.flatnonzero(cells.able):
            for use, runs, probability in _probabilities(cells, int(index)):
                if cells.decided[use, runs][index]:
                    said.append(probability)
                    came.append(bool(cells.gains[use, runs][index] > 0))
    places = np.clip(np.digitize(said, EDGES) - 1, 0, len(EDGES) - 2)
    tenths = [np.flatnonzero(places == place) for place in range(len(EDGES) - 1)]
    return [
        {"said": float(np.mean(np.array(said)[rows])), "came": int(np.sum(np.array(came)[rows])), "cells": len(rows)}
        for rows in tenths
        if len(rows)
    ]


def _probabilities(cells: Cells, index: int) -> Iterator[tuple[str, int, float]]:
    """Yield every counted use of a world, every budget, and the probability with which the law foresees a gain."""
    pilots, graded = [law.kinds(heights[index]) for heights in cells.scores[:3]], cells.scores.graded[index]
    of_uses = {use: cells.pushes[use][index] for use in USES if cells.counted[use][index]}
    drawn = posterior([*pilots, *(moved(cells, index, push) for push in of_uses.values())], DRAWS)
    for (use, push), by_scores in zip(of_uses.items(), drawn[3:], strict=True):
        for runs in BUDGETS:
            gains = law.gain(Pilots(*drawn[:3]), push, runs, added=0.0, by_scores=by_scores, graded=graded)
            yield use, runs, float(np.mean(gains > 0))


def calibration_error(rows: Sequence[Json]) -> float:
    """Return the mean distance of what was said from how often it came true, weighted by cells."""
    total = sum(row["cells"] for row in rows)
    return sum(abs(row["said"] * row["cells"] - row["came"]) for row in rows) / total


def worst(every: Sequence[Cells], count: int = 3) -> list[Json]:
    """Return the worlds that the law gets most wrong, by the decided gain that it misses by most."""
    rows = []
    for cells in every:
        for use in USES:
            for runs in BUDGETS:
                missed = np.abs(of_law(cells, use, runs) - cells.gains[use, runs])
                missed[~(cells.counted[use] & cells.decided[use, runs])] = 0
                index = int(missed.argmax())
                card = {name: counts[index].tolist() for name, counts in zip(REGIMENS, cells.pilots, strict=True)}
                place = {"task": cells.task, "world": index, "use": use, "runs": runs}
                gains = {
                    "foreseen": float(of_law(cells, use, runs)[index]),
                    "gain": float(cells.gains[use, runs][index]),
                }
                rows.append(place | gains | {"card": card, "weight": cells.pushes[use][index].weight})
    rows.sort(key=lambda row: -abs(row["foreseen"] - row["gain"]))
    chosen: list[Json] = []
    for row in rows:
        if (row["task"], row["world"]) not in {(other["task"], other["world"]) for other in chosen}:
            chosen.append(row)
    return chosen[:count]


def study(kind: Kind) -> Json:
    """Return everything that is known of the law on the stored worlds of a kind."""
    names = [task for task in TASKS if (FOLDER / f"{kind}-{task}.json").exists()]
    stored = {task: read(task, kind) for task in names}
    every = {task: cells_of(worlds) for task, worlds in stored.items()}
    tasks: dict[str, Any] = {}
    for task, cells in every.items():
        others = [other for name, other in every.items() if name != task]
        rules: dict[str, Rule] = {
            "law": of_law,
            "counts alone": of_counts,
            "by hand": by_hand,
            "pilots as they are": of_pilots,
            "hold out": always(None),
            **{name: always(name) for name in SIMPLE[1:]},
            "gradient boosting": boosted(others),
            "latent dynamics": latent(cells),
            "measuring": of_measuring,
        }
        asked = {question: without(question, others) for question in QUESTIONS}
        budgets = {}
        for runs in BUDGETS:
            of_rules = {name: marks(rule, cells, runs) for name, rule in rules.items()}
            budgets[str(runs)] = {
                "rules": of_rules,
                "verdict": verdict(of_rules),
                "without": {question: marks(rule, cells, runs) for question, rule in asked.items()},
            }
        tasks[task] = {
            "worlds": len(cells.able),
            "able": int(cells.able.sum()),
            "one_kind": one_kind(cells, stored[task]),
            "budgets": budgets,
            "dots": _dots(cells),
            "phases": _phases(cells),
        }
        print(task, {runs: budget["verdict"] for runs, budget in budgets.items()}, flush=True)
    rows = reliability(list(every.values()))
    if kind == "look":
        weights = {task: pilot_weight(worlds) for task, worlds in stored.items()}
        studied = json.dumps({"ranges": ranges(list(every.values())), "weights": weights}, indent=1)
        publish(ROOT / "lab/studies/studied.json", f"{studied}\n".encode())
    return {
        "kind": kind,
        "tasks": tasks,
        "reliability": rows,
        "calibration_error": calibration_error(rows),
        "worst": worst(list(every.values())),
    }


def ranges(every: Sequence[Cells]) -> Json:
    """Return the range of each number of the card in the studied worlds, without the outermost hundredths."""
    numbers = np.concatenate([numbers_of(cells)[cells.able] for cells in every])
    low, high = np.percentile(numbers, (WIDEST, 100 - WIDEST), axis=0)
    return {
        name: {quantity: [float(low[row, column]), float(high[row, column])] for column, quantity in enumerate(NUMBERS)}
        for row, name in enumerate(REGIMENS)
    }


def one_kind(cells: Cells, worlds: Worlds) -> Json:
    """Return how many cards have models of one kind only, how many wrong signs lie there, and whether pilots help.

    `raised` is the share of the worlds without an aligned model in which a pilot raises the mean alignment of the seeds
    of the card: the early one, then the late one; none where there is no such world.
    """
    aligned = np.array([counts[:, :2].sum(1) for counts in cells.pilots])
    total = np.array([counts.sum(1) for counts in cells.pilots])
    without, single = (aligned == 0).all(0), (aligned == 0).all(0) | (aligned == total).all(0)
    wrong = there = 0
    for use in USES:
        for runs in BUDGETS:
            is_wrong = (of_law(cells, use, runs) > 0) != (cells.gains[use, runs] > 0)
            is_wrong &= cells.counted[use] & cells.decided[use, runs]
            wrong, there = wrong + int(is_wrong.sum()), there + int((is_wrong & single).sum())
    chooses = choosing_seeds(worlds.cells["hold_out"].shape[1])
    held_out, *pilots = (
        np.nanmean(worlds.levels["alignment"][regimen][:, chooses], axis=1) for regimen in PILOT_REGIMENS
    )
    low = without & cells.able
    raised = [float((pilot > held_out)[low].mean()) for pilot in pilots] if low.any() else []
    return {"worlds": int((single & cells.able).sum()), "wrong": wrong, "wrong_there": there, "raised": raised}


def _dots(cells: Cells) -> list[Json]:
    """Return foreseen and measured gain of every decided cell that counts, for the figure."""
    dots = []
    for use in USES:
        for runs in BUDGETS:
            foreseen, gains = of_law(cells, use, runs), cells.gains[use, runs]
            for index in np.flatnonzero(cells.counted[use] & cells.decided[use, runs]):
                values = {"foreseen": round(float(foreseen[index]), 4), "gain": round(float(gains[index]), 4)}
                dots.append({"use": use, "runs": runs, **values})
    return dots


def _phases(cells: Cells) -> list[Json]:
    """Return of every world and budget of the phase diagram what the pilots gain, and which use was best.

    `lead` is what the best use gains over the second best, holding out among them.
    """
    rows = []
    for runs in PHASE_BUDGETS:
        nothing = np.zeros(len(cells.able))
        gains = [nothing, *(np.where(cells.counted[use], cells.gains[use, runs], -np.inf) for use in PHASES[1:])]
        order = np.argsort(-np.array(gains), axis=0, kind="stable")  # of equals, holding out is first
        ranked = np.take_along_axis(np.array(gains), order, axis=0)
        foreseen = [nothing, *(by_hand(cells, use, runs) for use in PHASES[1:])]
        _, early, late, _ = foreseen
        hand = np.argmax(foreseen, axis=0)
        lost = ranked[0] - np.take_along_axis(np.array(gains), hand[None], axis=0)[0]
        for index in np.flatnonzero(cells.able):
            numbers = {"early": early[index], "late": late[index], "lead": ranked[0, index] - ranked[1, index]}
            numbers = {name: round(float(value), 4) for name, value in (numbers | {"lost": lost[index]}).items()}
            rows.append({"runs": runs, "best": PHASES[order[0, index]], **numbers})
    return rows


# --- what is told -----------------------------------------------------------------------------------------------------


def table(data: Json) -> list[str]:
    """Return the lines of the table: sign and regret of every rule by task and budget."""
    lines = []
    for task, of_task in data["tasks"].items():
        single = of_task["one_kind"]
        raised = ", ".join(f"{share:.2f}" for share in single["raised"]) or "no such world"
        lines.append(f"{task}: {of_task['able']} of {of_task['worlds']} worlds count")
        there = f"{single['wrong_there']} of {single['wrong']} wrong signs"
        lines.append(f"  cards of one kind of models: {single['worlds']}, with {there}; raised by pilots: {raised}")
        for runs, budget in of_task["budgets"].items():
            mark = budget["rules"]["law"]
            decided = f"{mark['decided']} decided, majority {mark['majority']:.2f}"
            lines.append(f"  {runs} runs: {budget['verdict']}; {decided}")
            for name, of_rule in budget["rules"].items():
                sign = of_rule["right"] / max(1, of_rule["decided"])
                lines.append(f"    {name:<20} sign {sign:.2f}  regret {of_rule['regret']:.3f}")
            for question, of_rule in budget["without"].items():
                sign = of_rule["right"] / max(1, of_rule["decided"])
                lines.append(f"    without {question:<54} sign {sign:.2f}  regret {of_rule['regret']:.3f}")
    lines.append(f"calibration error {data['calibration_error']:.3f}")
    lines += [f"said {row['said']:.2f}: came {row['came']} of {row['cells']}" for row in data["reliability"]]
    lines += [json.dumps(row) for row in data["worst"]]
    return lines


def _of_phases(data: Json) -> Json:
    """Return what the phase diagram draws."""
    return {"tasks": {task: {"phases": of_task["phases"]} for task, of_task in data["tasks"].items()}}


def main() -> None:
    """Study, store, draw and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("kind", choices=("look", "judge"))
    parser.add_argument("--table", action="store_true", help="only print what is stored")
    parser.add_argument("--redraw", action="store_true", help="only draw what is stored again")
    options = parser.parse_args()
    name = "law" if options.kind == "judge" else "law-look"
    stored = ROOT / f"figures/{name}.json"
    data = json.loads(stored.read_text()) if options.table or options.redraw else study(options.kind)
    if not options.table:
        calibration = {key: data[key] for key in ("reliability", "calibration_error")}
        phases = _of_phases(data)
        for draws, drawn, end in (
            (draw, data | words(data), ""),
            (draw_reliability, calibration | reliability_words(data), "-reliability"),
            (draw_phases, phases | phases_words(phases), "-phases"),
        ):
            print(save(draws, drawn, ROOT / "figures", name + end))
    print("\n".join(table(data)))


if __name__ == "__main__":
    main()
