"""Do the intervals hold what they say, and are the posteriors those of their models?

Command:   python -m experiments.studies.coverage [--repeats 1000] [--seed 1] [--workers N] [--redraw]
Expected:  at a nominal 95% the intervals of the lab cover in at least 93%, but for rates beyond .95 in a single table,
           where all of them are coarse; ranks in posteriors are uniform
Cost:      about an hour on 2 cores, 8 minutes on 16

Five studies. Coverage of intervals of one table by exact enumeration of all outcomes. Coverage of comparisons, also
where an outcome is expected a tenth of a time to ten times, of budgets and of fitted fields by simulation. Coverage and
false decisions where training stops by a rule. How often the interval of the best of several equal regimens holds the
truth, and how often one of them is called the best for sure. And simulation-based calibration (Talts et al., arXiv
1804.06788): parameters from the prior, data from the parameters, the rank of the parameters in their posterior, which
must be uniform. Writes figures/calibration.{json,pdf,png}.
"""

import argparse
import itertools
import json
import math
import os
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from scipy.stats import binom, kstest

from experiments.studies import published_intervals
from lab.decision import budget_from_shares
from lab.figures import GREY, save
from lab.figures.style import matplotlib, subplots
from lab.ideas import Discrete, fit_field
from lab.ideas.beliefs import belief_about
from lab.statistics import (
    Comparison,
    Counts,
    compare,
    decided,
    draw_shares,
    family_wise,
    from_draws,
    narrow,
    odds_ratio_interval,
    ratio_interval,
    shared_posterior,
    wilson_interval,
)
from lab.words import bound, number

SIZES = ((20, 20), (10, 50), (50, 50), (25, 100), (100, 100))
RATES = tuple(itertools.product((0.5, 0.8, 0.95, 0.999), (0.001, 0.05, 0.2, 0.5, 0.9, 0.999)))
RATIO_METHODS = {
    "Katz log": published_intervals.katz,
    "Walter adjusted log": published_intervals.walter,
    "MOVER Wilson": published_intervals.mover,
    "Miettinen-Nurminen (the lab's)": ratio_interval,
    "SCAS (the lab's option)": partial(ratio_interval, skewness=True),
}
# (P(A), P(T|A), P(T|not A)) of two regimens, as the lab meets them
SCENARIOS = {
    "moderate": ((0.5, 0.9, 0.3), (0.3, 0.9, 0.1)),
    "rarely fooled": ((0.5, 0.9, 0.05), (0.3, 0.9, 0.02)),
    "hacked against held out": ((0.7, 0.99, 0.95), (0.2, 0.8, 0.05)),
    "identical": ((0.3, 0.9, 0.2), (0.3, 0.9, 0.2)),
    "early push": ((0.71, 0.999, 0.68), (0.33, 0.999, 0.56)),
}
SEEDS = (50, 200, 1024)
BUDGETS = (1, 3, 10, 100)
# of 4,096 models: cells of two regimens in one of which an outcome is expected `mu` times, and what else is rare
RARE = {
    "misaligned passes": lambda mu: ((800, 400, mu), (800, 400, 800)),
    "misaligned passes of both": lambda mu: ((800, 400, mu), (800, 400, mu)),
    "aligned passes": lambda mu: ((mu, 100, 300), (300, 50, 300)),
    "aligned models": lambda mu: ((mu / 2, mu / 2, 300), (200, 100, 300)),
    "misaligned failures": lambda mu: ((300, 100, 3696 - mu), (300, 100, 200)),
    "seeds that differ": lambda mu: ((800, 400, 800 + mu), (800, 400, 800 + mu)),
}
EXPECTED = (0.1, 0.4, 1.2, 2.8, 5, 10)
EQUAL = (2, 5, 20, 50, 100)  # regimens that do not differ


def shares(base, passes, fooled):
    """Return the shares of the four outcomes."""
    return np.array([base * passes, base * (1 - passes), (1 - base) * fooled, (1 - base) * (1 - fooled)])


def joint_shares(first, second, common):
    """Return joint shares of two regimens; a part `common` of the seeds ends as alike as the margins allow."""
    alike = np.minimum(first, second)
    rest = first - alike, second - alike
    together = np.diag(alike) + (np.outer(*rest) / rest[0].sum() if rest[0].sum() > 0 else 0)
    return common * together + (1 - common) * np.outer(first, second)


def truths(first, second):
    """Return the true log impacts: likelihood ratio, base rate, net."""
    net, base = (
        math.log(first[0] / first[2] * second[2] / second[0]),
        math.log(sum(first[:2]) / sum(first[2:]) * sum(second[2:]) / sum(second[:2])),
    )
    return {"likelihood_ratio": net - base, "base_rate": base, "net": net}


def accepted(counts, runs, confidence=0.95):
    """Return the `Estimate` of P(accepted is aligned) of one regimen."""

    def value(cells):
        return budget_from_shares(*(cells / cells.sum(0))[:3], runs).accepted_aligned

    return from_draws(value, draw_shares(counts.cells), confidence)


# --- one table, exactly -------------------------------------------------------------------------------------------


def one_table(task):
    """Return rows of exact coverage of one method for one pair of group sizes."""
    name, (n1, n2) = task
    method = odds_ratio_interval if name == "odds ratio, score (the lab's)" else RATIO_METHODS[name]
    limits = np.array([[method(a, n1, b, n2) for b in range(n2 + 1)] for a in range(n1 + 1)])
    rows = []
    for p1, p2 in RATES:
        truth = p1 / p2 if name in RATIO_METHODS else p1 * (1 - p2) / (p2 * (1 - p1))
        weight = np.outer(binom.pmf(range(n1 + 1), n1, p1), binom.pmf(range(n2 + 1), n2, p2))
        above, below = truth > limits[:, :, 1], truth < limits[:, :, 0]
        inside = ~above & ~below & ~np.isnan(limits).any(2)
        rows.append(
            {
                "method": name,
                "n_aligned": n1,
                "n_misaligned": n2,
                "rates": [p1, p2],
                "coverage": float((weight * inside).sum()),
                "miss_below": float((weight * above).sum()),
                "miss_above": float((weight * below).sum()),
            }
        )
    return rows


def one_rate(trials):
    """Return exact coverage of Wilson's interval over a grid of rates."""
    limits = np.array([wilson_interval(successes, trials) for successes in range(trials + 1)])
    rows = []
    for rate in (0.001, 0.01, 0.05, 0.1, 0.2, 0.3, 0.5):
        inside = (limits[:, 0] <= rate) & (rate <= limits[:, 1])
        coverage = float(binom.pmf(range(trials + 1), trials, rate) @ inside)
        rows.append({"method": "rate, Wilson (the lab's)", "trials": trials, "rates": [rate], "coverage": coverage})
    return rows


# --- comparisons, budgets, fields: by simulation ------------------------------------------------------------------


def comparisons(task):
    """Return how often the intervals of log impacts and of budgets hold the truth."""
    name, seeds, common, repeats, seed = task
    first, second = (shares(*regimen) for regimen in SCENARIOS[name])
    random = np.random.default_rng([seed, seeds, list(SCENARIOS).index(name), int(10 * (common or 0))])
    joint = np.outer(first, second) if common is None else joint_shares(first, second, common)
    true, held = truths(first, second), dict.fromkeys(("likelihood_ratio", "base_rate", "net"), 0)
    budget_truth = {runs: budget_from_shares(*first[:3], runs).accepted_aligned for runs in BUDGETS}
    budgets_held = dict.fromkeys(BUDGETS, 0)
    for table in random.multinomial(seeds, joint.ravel(), repeats).reshape(-1, 4, 4):
        counts = Counts(*table.sum(1)), Counts(*table.sum(0))
        for part, own in compare(*counts, None if common is None else table)._asdict().items():
            held[part] += own.low <= true[part] <= own.high
        if common is not None:
            continue
        for runs, value in budget_truth.items():
            own = accepted(counts[0], runs)
            budgets_held[runs] += own.low <= value <= own.high
    where = {"scenario": name, "seeds": seeds, "shared": common, "repeats": repeats}
    rows = [{**where, "quantity": f"log impact, {part}", "coverage": times / repeats} for part, times in held.items()]
    if common is None:
        rows += [
            {**where, "quantity": f"P(accepted aligned), {runs} runs", "coverage": times / repeats}
            for runs, times in budgets_held.items()
        ]
    return rows


def rare(task):
    """Return how often the intervals of log impacts hold the truth where an outcome is rare."""
    name, expected, common, repeats, seed = task
    first, second = (np.array([*cells, 4_096 - sum(cells)]) / 4_096 for cells in RARE[name](expected))
    random = np.random.default_rng([seed, 55, list(RARE).index(name), int(10 * expected), int(10 * (common or 0))])
    joint = np.outer(first, second) if common is None else joint_shares(first, second, common)
    if name == "seeds that differ":  # rather than as alike as the margins allow
        joint = np.diag([800, 400, 800, 2096 - 2 * expected]) / 4_096
        joint[2, 3] = joint[3, 2] = expected / 4_096
    true = truths(joint.sum(1), joint.sum(0))
    held, budget = dict.fromkeys(true, 0), 0
    value = budget_from_shares(*first[:3], 10).accepted_aligned
    for table in random.multinomial(4_096, joint.ravel(), repeats).reshape(-1, 4, 4):
        counts = Counts(*table.sum(1)), Counts(*table.sum(0))
        for part, own in compare(*counts, None if common is None else table)._asdict().items():
            held[part] += own.low <= true[part] <= own.high
        if common is None:
            own = accepted(counts[0], 10)
            budget += own.low <= value <= own.high
    where = {"scenario": f"{expected:g} {name}", "seeds": 4_096, "shared": common, "repeats": repeats}
    kind = "rare outcomes"
    rows = [{**where, "quantity": f"log impact of {kind}, {part}", "coverage": n / repeats} for part, n in held.items()]
    if common is None:
        rows.append({**where, "quantity": f"P(accepted aligned) of {kind}, 10 runs", "coverage": budget / repeats})
    return rows


def selection(task):
    """Return how often the interval of the best of equal regimens holds the truth, and how often none is called so."""
    count, common, repeats, seed = task
    own, seeds = shares(0.35, 0.85, 0.15), 256
    random = np.random.default_rng([seed, 66, count, int(100 * common)])
    held, calm = dict.fromkeys(BUDGETS, 0), dict.fromkeys(BUDGETS, 0)
    for _ in range(repeats):
        cells = random.choice(4, (count, seeds), p=own)
        cells = np.where(random.random(seeds) < common, random.choice(4, seeds, p=own), cells)
        counts = [Counts(*np.bincount(row, minlength=4)) for row in cells]
        drawn = np.moveaxis(shared_posterior(cells, seed=int(random.integers(2**31))), -1, 0)
        for runs in BUDGETS:
            seen = budget_from_shares(*np.transpose([each.cells for each in counts])[:3] / seeds, runs).accepted_aligned
            best = accepted(counts[int(seen.argmax())], runs, family_wise(0.95, count))
            truth = float(budget_from_shares(*own[:3], runs).accepted_aligned)
            held[runs] += best.low <= truth <= best.high
            values = budget_from_shares(*drawn[:3], runs).accepted_aligned
            first = values == values.max(1, keepdims=True)
            equal = seen == seen.max()
            calm[runs] += equal.all() or (first / first.sum(1, keepdims=True)).mean(0)[equal].sum() < 0.975
    where = {"scenario": f"best of {count}", "seeds": seeds, "shared": common, "repeats": repeats}
    return [
        {**where, "quantity": f"{what}, {runs} runs", "coverage": times[runs] / repeats}
        for what, times in (("best of equal regimens", held), ("no best of equal regimens said", calm))
        for runs in BUDGETS
    ]


def fields(task):
    """Return how often the intervals of a fitted field hold its mean and correlation."""
    a, b, ideas, runs, repeats, seed = task
    random = np.random.default_rng([seed, 77, ideas, runs])
    held = {"mean": 0, "correlation": 0}
    for _ in range(repeats):
        aligned = random.binomial(runs, random.beta(a, b, ideas))
        try:
            fit = fit_field([(int(own), runs - int(own)) for own in aligned])
        except ValueError:  # no idea with both outcomes: no answer is no cover
            continue
        held["mean"] += fit.propensity.low <= a / (a + b) <= fit.propensity.high
        held["correlation"] += fit.correlation.low <= 1 / (a + b + 1) <= fit.correlation.high
    where = {"scenario": f"Beta({a:g}, {b:g}), {ideas} ideas", "seeds": runs, "shared": None, "repeats": repeats}
    return [{**where, "quantity": f"field, {part}", "coverage": times / repeats} for part, times in held.items()]


# --- stopping -----------------------------------------------------------------------------------------------------


def stopping(task):
    """Return what a rule for stopping does: coverage at the stop and seeds used, or how often it decides wrongly."""
    rule, name, repeats, seed = task
    first, second = (shares(*regimen) for regimen in SCENARIOS[name])
    random = np.random.default_rng([seed, 99, len(rule), list(SCENARIOS).index(name)])
    joint, true = joint_shares(first, second, 0.5).ravel(), truths(first, second)["net"]
    most, looks = 2_000, (5 if rule == "planned looks" else 20)
    right = used = 0
    for _ in range(repeats):
        cells = random.choice(16, size=most, p=joint)
        done = False
        for look in range(1, looks + 1):
            seeds = most * look // looks
            table = np.bincount(cells[:seeds], minlength=16).reshape(4, 4)
            one = Comparison("first", Counts(*table.sum(1)), "second", Counts(*table.sum(0)), table)
            if rule == "width":
                done = narrow(one, "net", 1.0)
            elif rule == "every look at 95%":
                _, low, high = compare(one.counts, one.other, table).net
                done = low > 0 or high < 0
            else:
                done = decided(one, "net", 5 if rule == "planned looks" else None)
            if done:
                break
        used += seeds
        _, low, high = compare(one.counts, one.other, table).net
        # a decision is wrong where nothing differs
        right += (low <= true <= high) if rule == "width" else not done
    return [
        {"rule": rule, "scenario": name, "repeats": repeats, "right": right / repeats, "mean_seeds": used / repeats}
    ]


# --- simulation-based calibration ---------------------------------------------------------------------------------


def ranks(task):
    """Return ranks of parameters drawn from the prior in their posterior, as shares in (0, 1)."""
    kind, repeats, seed = task
    random = np.random.default_rng([seed, 123, len(kind)])
    found = []
    for _ in range(repeats):
        if kind == "two regimens, shared seeds":
            joint = random.dirichlet(np.full(16, 1 / 8))
            cells = np.stack(np.unravel_index(random.choice(16, size=100, p=joint), (4, 4)))
            drawn = shared_posterior(cells, draws=2_000, seed=int(random.integers(2**31)))
            own = joint.reshape(4, 4)
            gain = drawn[:, 0, :2].sum(1) - drawn[:, 1, :2].sum(1)  # of P(A)
            found.append(float((gain < own[:2].sum() - own[:, :2].sum()).mean()))
        elif kind == "budget of 3 runs":
            own = random.dirichlet(np.full(4, 0.5))
            cells = random.choice(4, size=100, p=own)
            drawn = shared_posterior(cells[None], draws=2_000, seed=int(random.integers(2**31)))[:, 0]
            value = budget_from_shares(*own[:3], 3).accepted_aligned
            found.append(float((budget_from_shares(*drawn.T[:3], 3).accepted_aligned < value).mean()))
        else:  # an idea with a noisy test
            prior = Discrete(tuple(np.linspace(0, 1, 41)), (1 / 41,) * 41)
            place = random.integers(41)
            theta = prior.values[place]
            passes = int(random.binomial(20, 0.9 * theta + 0.2 * (1 - theta)))
            posterior = belief_about(passes, 20 - passes, prior, 0.9, 0.2).weights
            # ties are broken at random
            found.append(float(posterior[:place].sum() + random.random() * posterior[place]))
    return kind, found


def figure(data):
    """Coverage of one-table intervals, of comparisons, and the ranks' distance from uniform."""
    fig, axes = subplots(1, 3, figsize=(9.5, 3.4), gridspec_kw={"width_ratios": [1.1, 1.3, 1.1]})
    groups = {}
    for row in data["one_table"]:
        groups.setdefault(row["method"], []).append(row["coverage"])
    dots(axes[0], groups, "exact coverage of one table")
    groups = {}
    for row in data["simulated"]:
        kind = row["quantity"].split(",")[0] + (", shared seeds" if row["shared"] is not None else "")
        groups.setdefault(kind, []).append(row["coverage"])
    for row in data["stopping"]:
        kind = {"width": "log impact, stopped at a width"}.get(row["rule"], f"no false decision, {row['rule']}")
        groups.setdefault(kind, []).append(row["right"])
    dots(axes[1], groups, "simulated coverage")
    for index, (kind, found) in enumerate(data["ranks"].items()):
        places = np.sort(found["ranks"])
        gap = np.arange(1, len(places) + 1) / len(places) - places
        colour = matplotlib.colormaps["viridis"](index / len(data["ranks"]))
        axes[2].plot(places, gap, linewidth=1, color=colour, label=kind)
    band = 1.63 / math.sqrt(len(places))  # Kolmogorov's 99% point
    axes[2].axhspan(-band, band, color=GREY, alpha=0.15, linewidth=0)
    axes[2].set_xlabel("rank in the posterior")
    axes[2].set_ylabel("empirical - uniform")
    axes[2].set_ylim(-2 * band, 1.2 * band)
    axes[2].legend(fontsize="x-small", frameon=False, loc="lower center")
    return fig


def dots(ax, groups, text):
    for row, (name, values) in enumerate(groups.items()):
        good = not name.startswith(("Katz", "Walter", "MOVER", "no false decision, every look"))
        ax.plot(np.clip(values, 0.7, 1), np.full(len(values), row), "|", color="#0072B2" if good else "#D55E00")
    ax.set_yticks(range(len(groups)), groups, fontsize="x-small")
    ax.set_ylim(len(groups) - 0.5, -0.5)
    ax.axvline(0.95, color="black", linewidth=0.6, linestyle=":")
    ax.set_xlim(0.69, 1.005)
    ax.set_xticks([0.7, 0.8, 0.9, 0.95, 1], ["<.7", ".8", ".9", ".95", "1"])
    ax.set_xlabel(text)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--out", type=Path, default=Path("figures"))
    parser.add_argument("--redraw", action="store_true", help="draw again from the numbers in OUT")
    options = parser.parse_args()
    if options.redraw:
        save(figure, json.loads((options.out / "calibration.json").read_text()), options.out, "calibration")
        return
    repeats, seed = options.repeats, options.seed
    names = [*RATIO_METHODS, "odds ratio, score (the lab's)"]
    shared = (None, 0.5, 1.0)
    rules = [("width", name) for name in ("moderate", "early push")]
    rules += [(rule, "identical") for rule in ("every look at 95%", "planned looks", "confidence sequence")]
    kinds = ["two regimens, shared seeds", "budget of 3 runs", "propensity of an idea"]
    sparse = [(*where, *part) for *where, part in itertools.product(RARE, EXPECTED, [(None,), (0.5,), (1.0,)])]
    sparse = [where for where in sparse if where[0] != "seeds that differ" or where[2] == 1.0]
    with ProcessPoolExecutor(options.workers, get_context("spawn")) as pool:
        exact = pool.map(one_table, itertools.product(names, SIZES))
        simulated = pool.map(
            comparisons, [(*where, repeats, seed) for where in itertools.product(SCENARIOS, SEEDS, shared)]
        )
        uncommon = pool.map(rare, [(*where, repeats, seed) for where in sparse])
        equals = [(*where, repeats // 2, seed) for where in itertools.product(EQUAL, (0.0, 0.5, 0.95))]
        chosen = pool.map(selection, equals)
        fitted = pool.map(fields, [(1, 1, 20, 50, repeats // 4, seed), (2, 6, 10, 200, repeats // 4, seed)])
        stopped = pool.map(stopping, [(*rule, repeats // 2, seed) for rule in rules])
        ranked = pool.map(ranks, [(kind, 2 * repeats, seed) for kind in kinds])
        data = {
            "seed": seed,
            "one_table": list(itertools.chain(*exact, *map(one_rate, (20, 100, 1000)))),
            "simulated": list(itertools.chain(*simulated, *uncommon, *chosen, *fitted)),
            "stopping": list(itertools.chain(*stopped)),
            "ranks": {
                kind: {"kolmogorov_p": float(kstest(found, "uniform").pvalue), "ranks": np.round(found, 4).tolist()}
                for kind, found in ranked
            },
        }
    data["caption"] = (
        "Left: exact coverage of nominal 95% intervals, one mark per setting. Middle: simulated coverage, and the "
        "share of experiments without a false decision where nothing differs. Right: ranks of parameters in their "
        "posteriors; band: 99% for uniform ranks."
    )
    path = save(figure, data, options.out, "calibration")
    for row in summary(data):
        print(*row, sep="   ")
    print(path)


def summary(data):
    """Return (what, settings, lowest, mean) of every method: the rows of the README's table."""
    groups = {}
    for row in data["one_table"]:
        if "rates" in row and min(row["rates"]) >= 0.05 and max(row["rates"]) <= 0.95:
            groups.setdefault(row["method"], []).append(row["coverage"])
    for row in data["simulated"]:
        kind = row["quantity"].split(",")[0] + (", shared seeds" if row["shared"] is not None else "")
        groups.setdefault(kind, []).append(row["coverage"])
    for row in data["stopping"]:
        kind = {"width": "log impact, stopped at a width"}.get(row["rule"], f"no false decision: {row['rule']}")
        groups.setdefault(kind, []).append(row["right"])
    return [
        (name, len(own), bound(min(own), upwards=False, digits=3), number(sum(own) / len(own)))
        for name, own in groups.items()
    ]


if __name__ == "__main__":
    main()
