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
from collections.abc import Callable, Sequence
from concurrent.futures import ProcessPoolExecutor
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy.stats import binom, kstest

from experiments.studies import published_intervals
from experiments.studies.coverage_figure import Row, figure, summary, words
from lab.decision import accepted_aligned
from lab.figures import save
from lab.ideas import Discrete, fit_field
from lab.ideas.beliefs import belief_about
from lab.statistics import (
    PARTS,
    Comparison,
    Counts,
    Estimate,
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
MODELS = 4_096  # of a regimen where an outcome is rare
ODDS_RATIO = "odds ratio, score (the lab's)"
CONFIDENCE = 0.95

Shares = Float[np.ndarray, "4"]


def shares(base: float, passes: float, fooled: float) -> Shares:
    """Return the shares of the four outcomes."""
    return np.array([base * passes, base * (1 - passes), (1 - base) * fooled, (1 - base) * (1 - fooled)])


def joint_shares(first: Shares, second: Shares, common: float) -> Float[np.ndarray, "4 4"]:
    """Return joint shares of two regimens; a part `common` of the seeds ends as alike as the margins allow."""
    alike = np.minimum(first, second)
    rest = first - alike, second - alike
    together = np.diag(alike) + (np.outer(*rest) / rest[0].sum() if rest[0].sum() > 0 else 0)
    return common * together + (1 - common) * np.outer(first, second)


def truths(first: Shares, second: Shares) -> dict[str, float]:
    """Return the true log impacts: likelihood ratio, base rate, net."""
    net, base = (
        math.log(first[0] / first[2] * second[2] / second[0]),
        math.log(sum(first[:2]) / sum(first[2:]) * sum(second[2:]) / sum(second[:2])),
    )
    return {"likelihood_ratio": net - base, "base_rate": base, "net": net}


def accepted(counts: Counts, runs: int, confidence: float = CONFIDENCE) -> Estimate:
    """Return the `Estimate` of P(accepted is aligned) of one regimen."""
    return from_draws(lambda cells: accepted_aligned(cells, runs), draw_shares(counts.cells), confidence)


def covers(estimate: Any, truth: float) -> bool:
    """Return whether an interval holds the truth."""
    return bool(estimate.low <= truth <= estimate.high)


# --- one table, exactly -------------------------------------------------------------------------------------------


def one_table(task: tuple[str, tuple[int, int]]) -> list[Row]:
    """Return rows of exact coverage of one method for one pair of group sizes."""
    name, (n1, n2) = task
    method = odds_ratio_interval if name == ODDS_RATIO else RATIO_METHODS[name]
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


def one_rate(trials: int) -> list[Row]:
    """Return exact coverage of Wilson's interval over a grid of rates."""
    limits = np.array([wilson_interval(successes, trials) for successes in range(trials + 1)])
    rows = []
    for rate in (0.001, 0.01, 0.05, 0.1, 0.2, 0.3, 0.5):
        inside = (limits[:, 0] <= rate) & (rate <= limits[:, 1])
        coverage = float(binom.pmf(range(trials + 1), trials, rate) @ inside)
        rows.append({"method": "rate, Wilson (the lab's)", "trials": trials, "rates": [rate], "coverage": coverage})
    return rows


# --- comparisons, budgets, fields: by simulation ------------------------------------------------------------------


def covered_impacts(tables: Float[np.ndarray, "repeat 4 4"], true: dict[str, float], shared: bool) -> dict[str, int]:
    """Return for each part of the log impact how many of its intervals hold the truth."""
    covered = dict.fromkeys(PARTS, 0)
    for table in tables:
        impact = compare(Counts(*table.sum(1)), Counts(*table.sum(0)), table if shared else None)
        for part in covered:
            covered[part] += covers(getattr(impact, part), true[part])
    return covered


def covered_budgets(tables: Float[np.ndarray, "repeat 4 4"], first: Shares, budgets: Sequence[int]) -> dict[int, int]:
    """Return for each budget how many intervals of P(accepted is aligned) hold the truth."""
    true = {runs: float(accepted_aligned(first, runs)) for runs in budgets}
    covered = dict.fromkeys(budgets, 0)
    for table in tables:
        for runs in budgets:
            covered[runs] += covers(accepted(Counts(*table.sum(1)), runs), true[runs])
    return covered


def comparisons(task: tuple[str, int, float | None, int, int]) -> list[Row]:
    """Return how often the intervals of log impacts and of budgets hold the truth."""
    name, seeds, common, repeats, seed = task
    first, second = (shares(*regimen) for regimen in SCENARIOS[name])
    random = np.random.default_rng([seed, seeds, list(SCENARIOS).index(name), int(10 * (common or 0))])
    joint = np.outer(first, second) if common is None else joint_shares(first, second, common)
    tables = random.multinomial(seeds, joint.ravel(), repeats).reshape(-1, 4, 4)
    about = {"scenario": name, "seeds": seeds, "shared": common, "repeats": repeats}
    covered = covered_impacts(tables, truths(first, second), common is not None)
    rows = [{**about, "quantity": f"log impact, {part}", "coverage": n / repeats} for part, n in covered.items()]
    if common is None:
        rows += [
            {**about, "quantity": f"P(accepted aligned), {runs} runs", "coverage": n / repeats}
            for runs, n in covered_budgets(tables, first, BUDGETS).items()
        ]
    return rows


def rare(task: tuple[str, float, float | None, int, int]) -> list[Row]:
    """Return how often the intervals of log impacts hold the truth where an outcome is rare."""
    name, expected, common, repeats, seed = task
    first, second = (np.array([*cells, MODELS - sum(cells)]) / MODELS for cells in RARE[name](expected))
    random = np.random.default_rng([seed, 55, list(RARE).index(name), int(10 * expected), int(10 * (common or 0))])
    joint = np.outer(first, second) if common is None else joint_shares(first, second, common)
    if name == "seeds that differ":  # rather than as alike as the margins allow
        joint = np.diag([800, 400, 800, 2096 - 2 * expected]) / MODELS
        joint[2, 3] = joint[3, 2] = expected / MODELS
    tables = random.multinomial(MODELS, joint.ravel(), repeats).reshape(-1, 4, 4)
    about = {"scenario": f"{expected:g} {name}", "seeds": MODELS, "shared": common, "repeats": repeats}
    kind = "rare outcomes"
    covered = covered_impacts(tables, truths(joint.sum(1), joint.sum(0)), common is not None)
    rows = [
        {**about, "quantity": f"log impact of {kind}, {part}", "coverage": n / repeats} for part, n in covered.items()
    ]
    if common is None:
        budget = covered_budgets(tables, first, (10,))[10]
        rows.append({**about, "quantity": f"P(accepted aligned) of {kind}, 10 runs", "coverage": budget / repeats})
    return rows


def selection(task: tuple[int, float, int, int]) -> list[Row]:
    """Return how often the interval of the best of equal regimens holds the truth, and how often none is called so."""
    count, common, repeats, seed = task
    regimen, seeds = shares(0.35, 0.85, 0.15), 256
    random = np.random.default_rng([seed, 66, count, int(100 * common)])
    covered, calm = dict.fromkeys(BUDGETS, 0), dict.fromkeys(BUDGETS, 0)
    for _ in range(repeats):
        cells = random.choice(4, (count, seeds), p=regimen)
        cells = np.where(random.random(seeds) < common, random.choice(4, seeds, p=regimen), cells)
        counts = [Counts(*np.bincount(row, minlength=4)) for row in cells]
        drawn = np.moveaxis(shared_posterior(cells, seed=int(random.integers(2**31))), -1, 0)
        for runs in BUDGETS:
            estimates = accepted_aligned(np.transpose([condition.cells for condition in counts]), runs)
            best = accepted(counts[int(estimates.argmax())], runs, family_wise(CONFIDENCE, count))
            covered[runs] += covers(best, float(accepted_aligned(regimen, runs)))
            calm[runs] += none_is_best(estimates, accepted_aligned(drawn, runs))
    about = {"scenario": f"best of {count}", "seeds": seeds, "shared": common, "repeats": repeats}
    return [
        {**about, "quantity": f"{what}, {runs} runs", "coverage": times[runs] / repeats}
        for what, times in (("best of equal regimens", covered), ("no best of equal regimens said", calm))
        for runs in BUDGETS
    ]


def none_is_best(estimates: Float[np.ndarray, " condition"], drawn: Float[np.ndarray, "draw condition"]) -> bool:
    """Return whether no regimen is called the best for sure."""
    first = drawn == drawn.max(1, keepdims=True)
    equal = estimates == estimates.max()
    probability = (first / first.sum(1, keepdims=True)).mean(0)
    return bool(equal.all() or probability[equal].sum() < (1 + CONFIDENCE) / 2)


def fields(task: tuple[float, float, int, int, int, int]) -> list[Row]:
    """Return how often the intervals of a fitted field hold its mean and correlation."""
    a, b, ideas, runs, repeats, seed = task
    random = np.random.default_rng([seed, 77, ideas, runs])
    covered = {"mean": 0, "correlation": 0}
    for _ in range(repeats):
        aligned = random.binomial(runs, random.beta(a, b, ideas)).tolist()
        try:
            fit = fit_field([(of_idea, runs - of_idea) for of_idea in aligned])
        except ValueError:  # no idea with both outcomes: no answer is no cover
            continue
        covered["mean"] += covers(fit.propensity, a / (a + b))
        covered["correlation"] += covers(fit.correlation, 1 / (a + b + 1))
    about = {"scenario": f"Beta({a:g}, {b:g}), {ideas} ideas", "seeds": runs, "shared": None, "repeats": repeats}
    return [{**about, "quantity": f"field, {part}", "coverage": n / repeats} for part, n in covered.items()]


# --- stopping -----------------------------------------------------------------------------------------------------


def stopping(task: tuple[str, str, int, int]) -> list[Row]:
    """Return what a rule for stopping does: coverage at the stop and seeds used, or how often it decides wrongly."""
    rule, name, repeats, seed = task
    first, second = (shares(*regimen) for regimen in SCENARIOS[name])
    random = np.random.default_rng([seed, 99, len(rule), list(SCENARIOS).index(name)])
    joint, true = joint_shares(first, second, 0.5).ravel(), truths(first, second)["net"]
    most, looks = 2_000, (PLANNED_LOOKS if rule == "planned looks" else 20)
    right = used = 0
    for _ in range(repeats):
        cells = random.choice(16, size=most, p=joint)
        done, seeds = False, 0
        for look in range(1, looks + 1):
            seeds = most * look // looks
            done = is_done(rule, *two_regimens(cells[:seeds]))
            if done:
                break
        used += seeds
        # a decision is wrong where nothing differs
        right += covers(compare(*two_regimens(cells[:seeds])).net, true) if rule == "width" else not done
    return [
        {"rule": rule, "scenario": name, "repeats": repeats, "right": right / repeats, "mean_seeds": used / repeats}
    ]


PLANNED_LOOKS = 5


def two_regimens(cells: Int[np.ndarray, " seed"]) -> tuple[Counts, Counts, Int[np.ndarray, "4 4"]]:
    """Return the counts of two regimens and their joint counts from the joint cells of their seeds."""
    table = np.bincount(cells, minlength=16).reshape(4, 4)
    return Counts(*table.sum(1)), Counts(*table.sum(0)), table


def is_done(rule: str, first: Counts, second: Counts, joint: Int[np.ndarray, "4 4"]) -> bool:
    """Return whether a rule stops."""
    comparison = Comparison("first", first, "second", second, joint)
    if rule == "width":
        return narrow(comparison, "net", 1.0)
    if rule == "every look at 95%":
        net = compare(first, second, joint).net
        return net.low > 0 or net.high < 0
    return decided(comparison, "net", PLANNED_LOOKS if rule == "planned looks" else None)


# --- simulation-based calibration ---------------------------------------------------------------------------------


def ranks(task: tuple[str, int, int]) -> tuple[str, list[float]]:
    """Return ranks of parameters drawn from the prior in their posterior, as shares in (0, 1)."""
    kind, repeats, seed = task
    random = np.random.default_rng([seed, 123, len(kind)])
    return kind, [RANKS[kind](random) for _ in range(repeats)]


def rank_of_a_gain(random: np.random.Generator) -> float:
    """Return the rank of the change of P(A) between two regimens that share seeds."""
    joint = random.dirichlet(np.full(16, 1 / 8))
    cells = np.stack(np.unravel_index(random.choice(16, size=100, p=joint), (4, 4)))
    drawn = shared_posterior(cells, draws=2_000, seed=int(random.integers(2**31)))
    table = joint.reshape(4, 4)
    gain = drawn[:, 0, :2].sum(1) - drawn[:, 1, :2].sum(1)
    return float((gain < table[:2].sum() - table[:, :2].sum()).mean())


def rank_of_a_budget(random: np.random.Generator) -> float:
    """Return the rank of P(accepted is aligned) of three runs."""
    regimen = random.dirichlet(np.full(4, 0.5))
    cells = random.choice(4, size=100, p=regimen)
    drawn = shared_posterior(cells[None], draws=2_000, seed=int(random.integers(2**31)))[:, 0]
    return float((accepted_aligned(drawn.T, 3) < accepted_aligned(regimen, 3)).mean())


def rank_of_a_propensity(random: np.random.Generator) -> float:
    """Return the rank of the propensity of an idea with a noisy test; ties are broken at random."""
    prior = Discrete(tuple(np.linspace(0, 1, 41)), (1 / 41,) * 41)
    true = random.integers(41)
    theta = prior.values[true]
    passes = int(random.binomial(20, 0.9 * theta + 0.2 * (1 - theta)))
    posterior = belief_about(passes, 20 - passes, prior, 0.9, 0.2).weights
    return float(posterior[:true].sum() + random.random() * posterior[true])


RANKS: dict[str, Callable[[np.random.Generator], float]] = {
    "two regimens, shared seeds": rank_of_a_gain,
    "budget of 3 runs": rank_of_a_budget,
    "propensity of an idea": rank_of_a_propensity,
}


# --- the command ------------------------------------------------------------------------------------------------------


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--repeats", type=int, default=1_000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--workers", type=int, default=os.cpu_count())
    parser.add_argument("--out", type=Path, default=Path("figures"))
    parser.add_argument("--redraw", action="store_true", help="draw again from the numbers in OUT")
    options = parser.parse_args()
    if options.redraw:
        data = json.loads((options.out / "calibration.json").read_text())
        print(save(figure, data | words(data), options.out, "calibration"))
        return
    repeats, seed = options.repeats, options.seed
    names = [*RATIO_METHODS, ODDS_RATIO]
    shared = (None, 0.5, 1.0)
    rules = [("width", name) for name in ("moderate", "early push")]
    rules += [(rule, "identical") for rule in ("every look at 95%", "planned looks", "confidence sequence")]
    sparse = [
        setting
        for setting in itertools.product(RARE, EXPECTED, shared)
        if setting[0] != "seeds that differ" or setting[2] == 1.0
    ]
    with ProcessPoolExecutor(options.workers, get_context("spawn")) as pool:
        exact = pool.map(one_table, itertools.product(names, SIZES))
        simulated = pool.map(
            comparisons, [(*setting, repeats, seed) for setting in itertools.product(SCENARIOS, SEEDS, shared)]
        )
        uncommon = pool.map(rare, [(*setting, repeats, seed) for setting in sparse])
        equals = [(*setting, repeats // 2, seed) for setting in itertools.product(EQUAL, (0.0, 0.5, 0.95))]
        chosen = pool.map(selection, equals)
        fitted = pool.map(fields, [(1, 1, 20, 50, repeats // 4, seed), (2, 6, 10, 200, repeats // 4, seed)])
        stopped = pool.map(stopping, [(*rule, repeats // 2, seed) for rule in rules])
        ranked = pool.map(ranks, [(kind, 2 * repeats, seed) for kind in RANKS])
        data = {
            "seed": seed,
            "one_table": list(itertools.chain(*exact, *map(one_rate, (20, 100, 1000)))),
            "simulated": list(itertools.chain(*simulated, *uncommon, *chosen, *fitted)),
            "stopping": list(itertools.chain(*stopped)),
            "ranks": {
                kind: {"kolmogorov_p": float(kstest(of_kind, "uniform").pvalue), "ranks": np.round(of_kind, 4).tolist()}
                for kind, of_kind in ranked
            },
        }
    path = save(figure, data | words(data), options.out, "calibration")
    for row in summary(data):
        print(*row, sep="   ")
    print(path)


if __name__ == "__main__":
    main()
