"""Which interval holds what it says where rows come in groups, and where a judge errs?

Command:   python -m experiments.studies.coverage_groups [--repeats 200] [--seed 2]
Expected:  with 10 groups or more the intervals of `lab.statistics.evidence` cover in at least 90% of every setting and
           93% in the mean; rows taken for independent do not once rows of a group are alike; nor do verdicts of a
           judge taken for the truth
Cost:      about 15 minutes on one core

Rule, written before the numbers: a method holds for a quantity if with 10 groups or more its coverage at a nominal 95%
is at least .9 in every setting and .93 in the mean; of those that hold, the narrowest in the median is the best one. No
answer is no cover. With 5 groups the same is shown apart and decides nothing. Seed 1 was a first look: draws that left
out Student's t covered P(A) in .895 with 10 groups of 20 independent rows, which is why they have it.

Groups have shares of outcomes from a Dirichlet distribution about those of their condition, so that every two rows of a
group have the intraclass correlation that a setting names. Four methods are compared: that of the lab, rows taken for
independent (Wilson, Miettinen and Nurminen, `compare`), the bootstrap of scipy over groups (BCa), and a variance of
group totals with Student's t of as many degrees of freedom as there are groups, less one (on the logit or the log).
Writes figures/coverage_groups.json.
"""

import argparse
import itertools
import json
import math
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
from jaxtyping import Float, Int
from scipy.special import expit, logit, ndtri, stdtrit
from scipy.stats import bootstrap

from experiments.studies import ROOT
from experiments.studies.coverage import SCENARIOS, Shares, shares
from lab.results.store import publish
from lab.statistics import (
    Counts,
    Evidence,
    Judge,
    compare,
    compare_evidence,
    estimate,
    estimate_of,
    interval,
)

GROUPS = (5, 10, 20, 50)
SETTINGS = ((1, 0.0), *itertools.product((5, 20), (0.0, 0.1, 0.5)))  # rows of a group, and their correlation
QUANTITIES = {"P(A)": "base_rate", "P(T|A)": "pass_given_aligned", "ln LR": "likelihood_ratio"}
QUANTITY_NAMES = (*QUANTITIES, "net")
RESAMPLES = 999
ENOUGH = 10  # groups from which on a method has to hold
RATES = (0.9, 0.8)  # sensitivity and specificity of the judge
VALIDATED = (None, 50, 200)  # models behind each rate; None if it is known
JUDGED = (100, 400)  # rows
CONFIDENCE = 0.95

Row = dict[str, Any]  # of the JSON
Groups = Int[np.ndarray, "group 4"]
Limits = dict[str, tuple[float, float]]  # of each quantity


def draw_groups(random: np.random.Generator, of: Shares, groups: int, rows: int, correlation: float) -> Groups:
    """Return how many rows of each group fall in each cell."""
    if not correlation:
        return random.multinomial(rows, of, groups)
    return random.multinomial(rows, random.dirichlet(of * (1 - correlation) / correlation, groups))


def as_evidence(groups: Groups, judge: Judge | None = None) -> Evidence:
    """Return groups as `Evidence`."""
    return Evidence(*np.unique(np.pad(groups, ((0, 0), (0, 1))), axis=0, return_counts=True), judge)


def logs(low: float, high: float) -> tuple[float, float]:
    """Return the natural logs of limits of a ratio."""
    with np.errstate(divide="ignore"):
        return float(np.log(low)), float(np.log(high))


# --- four methods -------------------------------------------------------------------------------------------------


def by_draws(first: Groups, second: Groups) -> Limits:
    """Return the limits of the lab."""
    of, other = as_evidence(first), as_evidence(second)
    limits = {name: estimate_of(of, quantity)[1:] for name, quantity in QUANTITIES.items()}
    return limits | {"ln LR": logs(*limits["ln LR"]), "net": compare_evidence(of, other).net[1:]}


def as_if_independent(first: Groups, second: Groups) -> Limits:
    """Return limits of rows taken for independent."""
    of, other = Counts(*first.sum(0).tolist()), Counts(*second.sum(0).tolist())
    limits = {name: estimate(of, quantity)[1:] for name, quantity in QUANTITIES.items()}
    return limits | {"ln LR": logs(*limits["ln LR"]), "net": compare(of, other).net[1:]}


def of_totals(cells: Float[np.ndarray, "... 4"]) -> dict[str, Float[np.ndarray, "..."]]:
    """Return the quantities of one condition from totals of its cells, and the ln of its posterior odds."""
    aligned_pass, aligned_fail, misaligned_pass, misaligned_fail = np.moveaxis(np.asarray(cells, float), -1, 0)
    aligned, misaligned = aligned_pass + aligned_fail, misaligned_pass + misaligned_fail
    return {
        "P(A)": aligned / (aligned + misaligned),
        "P(T|A)": aligned_pass / aligned,
        "ln LR": np.log(aligned_pass / aligned) - np.log(misaligned_pass / misaligned),
        "net": np.log(aligned_pass / misaligned_pass),
    }


def by_bootstrap(first: Groups, second: Groups) -> Limits:
    """Return BCa limits over groups."""
    places = np.arange(len(first))
    options = {"method": "BCa", "n_resamples": RESAMPLES, "vectorized": True, "batch": RESAMPLES}

    def limits(name: str) -> tuple[float, float]:
        def of_first(drawn: Int[np.ndarray, "... group"], axis: int = -1) -> Float[np.ndarray, "..."]:
            return of_totals(first[drawn].sum(-2))[name]

        def of_both(drawn: np.ndarray, other: np.ndarray, axis: int = -1) -> Float[np.ndarray, "..."]:
            return of_totals(first[drawn].sum(-2))["net"] - of_totals(second[other].sum(-2))["net"]

        data, function = ((places, places), of_both) if name == "net" else ((places,), of_first)
        found = bootstrap(data, function, rng=np.random.default_rng(0), **options).confidence_interval
        return float(found.low), float(found.high)

    with warnings.catch_warnings(), np.errstate(all="ignore"):
        warnings.simplefilter("ignore")
        return {name: limits(name) for name in QUANTITY_NAMES}


def by_variance(first: Groups, second: Groups) -> Limits:
    """Return limits from the variance of what each group adds, with Student's t."""
    with np.errstate(all="ignore"):
        errors = [standard_errors(groups) for groups in (first, second)]
        values = [of_totals(groups.sum(0)) for groups in (first, second)]
        freedom = len(first) - 1
        limits = {}
        for name in QUANTITIES:
            value, error = float(values[0][name]), errors[0][name]
            if name == "ln LR":
                limits[name] = around(value, error, freedom)
            else:
                slope = float(np.divide(1, value * (1 - value)))
                odds = around(float(logit(value)), slope * error, freedom)
                limits[name] = tuple(expit(odds).tolist())
        net = float(values[0]["net"] - values[1]["net"])
        return limits | {"net": around(net, math.hypot(*(error["net"] for error in errors)), 2 * freedom)}


def around(value: float, error: float, freedom: int) -> tuple[float, float]:
    """Return limits about a value; nan where its error is none."""
    half = float(stdtrit(freedom, (1 + CONFIDENCE) / 2)) * error
    return (value - half, value + half) if math.isfinite(value) and error > 0 else (math.nan, math.nan)


def standard_errors(groups: Groups) -> dict[str, float]:
    """Return the standard error of each quantity of `of_totals`, from what each group adds to it."""
    aligned_pass, _, misaligned_pass, _ = groups.T.astype(float)
    aligned, rows = groups[:, :2].sum(1), groups.sum(1)
    passed = (aligned_pass - aligned_pass.sum() / aligned.sum() * aligned) / aligned.sum()
    misaligned = rows - aligned
    fooled = (misaligned_pass - misaligned_pass.sum() / misaligned.sum() * misaligned) / misaligned_pass.sum()
    adds = {
        "P(A)": (aligned - aligned.sum() / rows.sum() * rows) / rows.sum(),
        "P(T|A)": passed,
        "ln LR": passed * aligned.sum() / aligned_pass.sum() - fooled,
        "net": aligned_pass / aligned_pass.sum() - misaligned_pass / misaligned_pass.sum(),
    }
    count = len(groups)
    return {name: math.sqrt(count / (count - 1) * float((of_group**2).sum())) for name, of_group in adds.items()}


METHODS: dict[str, Callable[[Groups, Groups], Limits]] = {
    "groups, draws (the lab's)": by_draws,
    "rows as if independent": as_if_independent,
    "groups, bootstrap BCa": by_bootstrap,
    "groups, variance and t": by_variance,
}


# --- coverage -----------------------------------------------------------------------------------------------------


def coverage_rows(about: Row, limits: dict[tuple[str, str], list[tuple[float, float]]], true: Row) -> Iterator[Row]:
    """Give a row of the JSON for each quantity and method."""
    for (quantity, method), of_repeats in limits.items():
        low, high = np.transpose(of_repeats)
        with np.errstate(invalid="ignore"):  # both infinite on one side
            width = np.where(np.isnan(high - low), math.inf, high - low)
        median = float(np.median(width))
        inside = float(((low <= true[quantity]) & (true[quantity] <= high)).mean())
        yield {
            **about,
            "quantity": quantity,
            "method": method,
            "coverage": inside,
            "width": median if math.isfinite(median) else None,
        }


def in_groups(groups: int, rows: int, correlation: float, repeats: int, seed: int) -> list[Row]:
    """Return how often the intervals of each method hold the truth of rows in groups."""
    first, second = (shares(*regimen) for regimen in SCENARIOS["moderate"])
    true = {name: float(value) for name, value in of_totals(first).items()}
    true["net"] -= float(of_totals(second)["net"])
    random = np.random.default_rng([seed, groups, rows, int(10 * correlation)])
    limits: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for _ in range(repeats):
        drawn = [draw_groups(random, of, groups, rows, correlation) for of in (first, second)]
        for name, method in METHODS.items():
            for quantity, found in method(*drawn).items():
                limits.setdefault((quantity, name), []).append(found)
    about = {"groups": groups, "rows": rows, "correlation": correlation, "repeats": repeats}
    return list(coverage_rows(about, limits, true))


def lang_and_reiczigel(positive: int, rows: int, judge: Judge) -> tuple[float, float]:
    """Return the limits of a true rate by Lang and Reiczigel (Prev. Vet. Med. 113:13, 2014, equations 4 to 17).

    Args:
        positive: rows judged aligned.
        rows: their number.
        judge: with two validated rates.
    """
    z = -float(ndtri((1 - CONFIDENCE) / 2))
    sizes, rates = [], []
    for rate in judge:
        if not isinstance(rate, tuple):
            raise ValueError(f"{judge} has not been validated")
        sizes.append(rate[1] + 2)
        rates.append((rate[0] + 1) / (rate[1] + 2))
    (sensitivity, specificity), size = rates, rows + z**2
    apparent = (positive + z**2 / 2) / size
    told = sensitivity + specificity - 1
    true = (apparent + specificity - 1) / told
    of_sensitivity = sensitivity * (1 - sensitivity) / sizes[0]
    of_specificity = specificity * (1 - specificity) / sizes[1]
    shift = 2 * z**2 * (true * of_sensitivity - (1 - true) * of_specificity)
    variance = apparent * (1 - apparent) / size + true**2 * of_sensitivity + (1 - true) ** 2 * of_specificity
    half = z * math.sqrt(variance) / told
    return max(0.0, true + shift - half), min(1.0, true + shift + half)


def judged(rows: int, scenario: str, validated: int | None, repeats: int, seed: int) -> list[Row]:
    """Return how often intervals hold the truth where a judge errs."""
    first = shares(*SCENARIOS[scenario][0])
    sensitivity, specificity = RATES
    seen = np.array([[sensitivity, 1 - specificity], [1 - sensitivity, specificity]]) @ first.reshape(2, 2)
    random = np.random.default_rng([seed, rows, validated or 0, list(SCENARIOS).index(scenario)])
    limits: dict[tuple[str, str], list[tuple[float, float]]] = {}
    for _ in range(repeats):
        cells = random.multinomial(rows, seen.ravel())
        judge = Judge(*RATES)
        if validated is not None:
            right = random.binomial(validated, RATES).tolist()
            judge = Judge(*((count, validated) for count in right))
        of, counts = Evidence(np.eye(5, dtype=int)[:4], cells, judge), Counts(*cells.tolist())
        found = {
            ("P(A)", "corrected (the lab's)"): estimate_of(of, "base_rate")[1:],
            ("ln LR", "corrected (the lab's)"): logs(*estimate_of(of, "likelihood_ratio")[1:]),
            ("P(A)", "verdicts as the truth"): tuple(interval(counts, "base_rate")),
            ("ln LR", "verdicts as the truth"): logs(*interval(counts, "likelihood_ratio")),
        }
        if validated is not None:
            found["P(A)", "Lang and Reiczigel"] = lang_and_reiczigel(counts.aligned, rows, judge)
        for key, limit in found.items():
            limits.setdefault(key, []).append(limit)
    about = {"rows": rows, "scenario": scenario, "validated": validated, "repeats": repeats}
    return list(coverage_rows(about, limits, {name: float(value) for name, value in of_totals(first).items()}))


# --- summary ------------------------------------------------------------------------------------------------------


def setting(row: Row) -> tuple[tuple[str, Any], ...]:
    """Return what a row of the JSON is about, whatever its method."""
    return tuple((name, value) for name, value in row.items() if name not in ("method", "coverage", "width"))


def summary(rows: list[Row], quantities: tuple[str, ...]) -> list[Row]:
    """Return for each quantity and method the lowest and mean coverage, and its width over that of the lab's.

    Args:
        rows: of settings.
        quantities: in their order.
    """
    table = []
    for quantity in quantities:
        of_quantity = [row for row in rows if row["quantity"] == quantity]
        methods = list(dict.fromkeys(row["method"] for row in of_quantity))
        lab = {setting(row): row["width"] for row in of_quantity if row["method"] == methods[0]}
        for method in methods:
            of_method = [row for row in of_quantity if row["method"] == method]
            coverages = [row["coverage"] for row in of_method]
            ratios = [row["width"] / lab[setting(row)] for row in of_method if row["width"] and lab[setting(row)]]
            table.append(
                {
                    "quantity": quantity,
                    "method": method,
                    "settings": len(of_method),
                    "lowest": min(coverages),
                    "mean": sum(coverages) / len(coverages),
                    "width": float(np.median(ratios)) if ratios else None,
                }
            )
    return table


def main() -> None:
    """Measure the coverage of every method and store it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=200)
    parser.add_argument("--seed", type=int, default=2)
    options = parser.parse_args()
    groups, verdicts = [], []
    for count, (rows, correlation) in itertools.product(GROUPS, SETTINGS):
        groups += in_groups(count, rows, correlation, options.repeats, options.seed)
        print(f"{count} groups of {rows} rows, correlation {correlation:g}", flush=True)
    for about in itertools.product(JUDGED, ("moderate", "rarely fooled"), VALIDATED):
        verdicts += judged(*about, options.repeats, options.seed)
    data = {"seed": options.seed, "groups": groups, "judge": verdicts}
    publish(ROOT / "figures/coverage_groups.json", (json.dumps(data, indent=1) + "\n").encode())
    for row in summary([row for row in groups if row["groups"] >= ENOUGH], QUANTITY_NAMES):
        print(*row.values(), sep="   ")


if __name__ == "__main__":
    main()
