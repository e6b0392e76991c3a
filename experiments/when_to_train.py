"""Whether to train on the proxy or hold it out depends: on how visible tests are, on when and how hard, and on retries.

Command:   lab experiment when_to_train
Expected:  supported in every task
Cost:      seven minutes on 2 cores

P(accepted is aligned) within 1, 3 and 100 runs, the last accepted in any case, of training on the test early, late or
throughout, less that of holding it out, over visibility of the test (detectability) and weight, in worlds where a
held-out test is imperfect.

Rule, per task, with 95% intervals that hold together over the cells of one budget: supported if at some budget training
is better in some cell and worse in another; contradicted if at every budget it is better in some and worse in none, or
worse in some and better in none; else undecided.
"""

import matplotlib.pyplot as plt
import numpy as np
from tueplots import figsizes

from lab import claims, outcomes

BUDGETS = (1, 3, 100)
WINDOWS = ("early", "late", "throughout")


def study(experiment, folder, train):
    """Count every cell, and each with its holding out."""
    results = outcomes.results(train(experiment, folder), last_only=True)
    names, regimens = list(map(str, results.condition.values)), list(map(str, results.regimen.values))
    visible = results.detectability.values
    held = {value: index for index, value in enumerate(visible) if regimens[index] == "hold_out"}
    return claims.counted(results, [tuple(sorted((index, held[visible[index]]))) for index in range(len(names))])


def cells(stored, runs, of):
    """Return (window, detectability, weight) -> `Estimate` of what training gains within so many runs."""
    value, found = claims.accepted(runs), {}
    for name, own in stored.data["conditions"].items():
        if own["regimen"] != "hold_out":
            where = own["coordinates"]
            held = stored.at("hold_out", detectability=where["detectability"])
            key = own["regimen"], where["detectability"], where["weight"]
            found[key] = stored.difference(name, value, held, value, of)
    return found


def judge(stored):
    """Apply the rule to one task."""
    count = sum(own["regimen"] != "hold_out" for own in stored.data["conditions"].values())
    sides, why = [], []
    for runs in BUDGETS:
        own = cells(stored, runs, count).values()
        better, worse = sum(x.low > 0 for x in own), sum(x.high < 0 for x in own)
        sides.append((better > 0, worse > 0))
        why.append(f"{runs} runs: better in {better}, worse in {worse} of {count}")
    verdict = claims.UNDECIDED
    if (True, True) in sides:
        verdict = claims.SUPPORTED
    elif all(side == (True, False) for side in sides) or all(side == (False, True) for side in sides):
        verdict = claims.CONTRADICTED
    return claims.Verdict(verdict, "; ".join(why))


def draw(data):
    """Rows of tasks and budgets, columns of windows: a map of the gain; crossed out where it may be none."""
    tasks, shown = data["tasks"], (1, 100)
    width = figsizes.neurips2024()["figure.figsize"][0]
    figure, axes = plt.subplots(
        len(tasks), 2 * len(WINDOWS), figsize=(width * 1.25, 0.7 + 1.15 * len(tasks)), squeeze=False
    )
    for row, (task, own) in zip(axes, tasks.items(), strict=True):
        stored = claims.Stored(task, own)
        rows, columns = stored.values("detectability"), stored.values("weight")
        for block, runs in enumerate(shown):
            found = cells(stored, runs, 1)
            for place, window in enumerate(WINDOWS):
                ax = row[block * len(WINDOWS) + place]
                table = np.array([[found[window, y, x].value for x in columns] for y in rows])
                image = ax.imshow(table, cmap="PuOr_r", vmin=-1, vmax=1, origin="lower", aspect="auto")
                for i, y in enumerate(rows):
                    for j, x in enumerate(columns):
                        cell = found[window, y, x]
                        if cell.low <= 0 <= cell.high:
                            ax.plot(j, i, "x", color="black", markersize=4, markeredgewidth=0.6)
                ax.set_xticks(range(len(columns)), [f"{x:g}".lstrip("0") or "0" for x in columns], fontsize=4.5)
                ax.set_yticks(range(len(rows)), [f"{y:g}" for y in rows] if not place else [], fontsize=4.5)
                if task == next(iter(tasks)):
                    ax.set_title(f"{window}\n{runs} run{'s' * (runs > 1)}", fontsize="x-small")
        row[0].set_ylabel(f"{task}\nvisibility of the test", fontsize="x-small")
    for ax in axes[-1]:
        ax.set_xlabel("weight", fontsize="x-small")
    bar = figure.colorbar(image, ax=axes, shrink=0.7, aspect=30)
    bar.set_label("training less holding out,\nP(accepted is aligned)", fontsize="x-small")
    return figure


def caption(data, verdicts):
    """Return the caption."""
    return (
        "What training on the test gains over holding it out in P(accepted is aligned), with one run and with 100: "
        "orange, train; purple, hold out; crossed out, the 95% interval of the cell holds 0. "
        + claims.caption(data, verdicts).replace("; hollow: the interval holds no difference.", ".")
    )
