"""Blocks on single runs: their tables, the plan for a budget, and the headline of the first page."""

from typing import Any

import numpy as np

import lab
from experiments.blocks.text import ROOT, cell, markdown, stored, wrapped_prose
from lab.decision import best_by_runs
from lab.report import SHOWN
from lab.results.summary import worlds
from lab.statistics import Counts
from lab.words import chance, estimate_from_json, in_words, name_in_world, percent, plural, rounded, with_interval

MOST_RUNS = 1000  # up to which the headline looks for the best regimen


def regimens(name: str) -> str:
    """Return the table of a run, a part for each world."""
    data = stored(f"{name}.json")
    conditions = data["conditions"]
    text = ""
    for world, members in worlds([(c["regimen"], c["coordinates"]) for c in conditions]).items():
        rows = []
        for condition in (conditions[index] for index in members):
            impact = condition["log_impact"]
            net = cell({key: impact["net"][key] for key in ("value", "low", "high")}) if impact else "baseline"
            rows.append([f"`{condition['regimen']}`", *(cell(condition[quantity]) for quantity in SHOWN), net])
        header = [
            in_words(world) or "regimen",
            "P(A)",
            "P(T\\|A)",
            "P(T\\|not A)",
            "LR",
            "o(A\\|T)",
            "runs",
            "net (nats)",
        ]
        text += markdown(header, rows) + "\n"
    level, seeds = percent(data["confidence"]), f"{data['seeds']:,}"
    return text + f"{seeds} models per row, {level} intervals, seeds shared between rows.\n"


def your_runs() -> str:
    """Return the table of the runs that ship with the guide for runs of one's own."""
    results = lab.observe(
        ROOT / "experiments/outside/your_runs.csv",
        scores={"monitor": "suspicion"}, marks={"monitor": 50}, directions={"monitor": "below"}, cost="gpu_hours",
    )  # fmt: skip
    quantities = ("base_rate", "likelihood_ratio", "aligned_given_pass", "expected_runs")
    rows = [
        [
            row.name,
            *(with_interval(row.estimates[quantity]) for quantity in quantities),
            with_interval(row.cost) if row.cost else "n/a",
            with_interval(row.impact.net) if row.impact else "baseline",
        ]
        for row in lab.summarise(results)
    ]
    header = ["regimen", "P(A)", "LR", "P(A\\|T)", "runs", "cost of an accepted model", "net (nats)"]
    return markdown(header, rows) + f"\n{results.sizes['seed']} runs per row, 95% intervals, regimens independent.\n"


def plan() -> str:
    """The best regimen for each budget and world of `lab plan` on two_worlds."""
    worlds = stored("two_worlds-plan.json")
    rows = []
    for world in worlds:
        point = tuple(world["world"].items())
        for budget in world["budgets"]:
            best = budget["conditions"][0]
            value = best["accepted_aligned"]["value"]
            equal = [c for c in budget["conditions"] if abs(c["accepted_aligned"]["value"] - value) < 1e-3]
            names = " or ".join(f"`{name_in_world(point, condition['name'])}`" for condition in equal)
            sure = sum(condition["probability_best"] for condition in equal)
            cells = (cell(best["accepted_aligned"]), cell(best["expected_runs"]), chance(sure))
            rows.append([in_words(point), f"{budget['runs']:,}", names, *cells])
    header = ["world", "runs allowed", "best", "P(accepted is aligned)", "runs used", "probability that it is best"]
    return markdown(header, rows)


def headline() -> str:
    """The title of the first figure and what it shows, from the counts of the quickstart."""
    rows = {row["name"]: row for row in stored("quickstart.json")["conditions"]}
    runs = {name: estimate_from_json(row["expected_runs"]) for name, row in rows.items()}
    nets = {name: cell_of_net(row) for name, row in rows.items() if row["log_impact"]}
    dearer = runs["anti_train"].value / runs["hold_out"].value
    first, *later = best_by_runs(list(rows), np.array([shares_of(row) for row in rows.values()]), MOST_RUNS)
    title = (
        "### In one world: train on the test early and win, late and lose; training *against* it wins at "
        f"{dearer:.0f} times the cost"
    )
    changes = [f"from {start} on, {_best(names)}" for start, names in later]
    shares = {name: rounded(estimate_from_json(rows[name]["base_rate"])) for name in ("hold_out", "anti_train")}
    text = (
        f'"Never train on the test" is false: `train_early` changes ln o(A|T) by {nets["train_early"]} nats against '
        f'`hold_out`. "Just train on it" is false: `train_late` changes it by {nets["train_late"]}. `anti_train` '
        f"changes it by {nets['anti_train']}, but P(A) falls from {shares['hold_out']} to {shares['anti_train']}, and "
        f"an accepted model costs {rounded(runs['anti_train'])} runs instead of {rounded(runs['hold_out'])}. With "
        f"{first[0]} {plural('run', first[0])}, {_best(first[1])} best by estimate; {'; '.join(changes)}."
    )
    return f"{title}\n\n{wrapped_prose(text)}\n"


def cell_of_net(condition: dict[str, Any]) -> str:
    """Return the net log impact of a stored condition with its interval."""
    return with_interval(estimate_from_json(condition["log_impact"]["net"]))


def _best(names: tuple[str, ...]) -> str:
    """Return names with the verb that they take."""
    return " and ".join(f"`{name}`" for name in names) + (" is" if len(names) == 1 else " are")


def shares_of(condition: dict[str, Any]) -> list[float]:
    """Return the shares of the four cells of a stored condition."""
    counts = Counts(**condition["counts"])
    return [cell / counts.seeds for cell in counts.cells]
