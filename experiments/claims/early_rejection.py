"""Rejecting early dominates rejecting at the very end, per unit of compute.

Command:   lab experiment early_rejection
Expected:  supported where values settle early and gaming late
Cost:      three minutes on 2 cores, shared with other claims

P(accepted is aligned) for a compute of three trainings: with a gate at a fifth of training before the test at the end,
and with the test at the end alone. A run is rejected only while the compute left pays for another; the last is accepted
in any case. The gate's mark lets nine tenths of the models pass that end aligned; it is chosen on every second seed and
judged on the others. In the world of `four_regimens` where a held-out test is imperfect.

Rule, per task: supported if the early gate raises it (95% interval above 0), contradicted if it lowers it, else
undecided.
"""

import numpy as np

from lab import claims
from lab.results import outcomes
from lab.statistics import draw_shares, family_wise, from_draws
from lab.studies import rejection as gates
from lab.words import number

CONFIGS = "regimens"
COMPUTE, AGE = 3.0, 0.2


def study(experiment, folder, train):
    """Count the fates of models with and without the early gate."""
    results = outcomes.results(train(experiment, folder))
    name = f"hold_out implicit_proxy={max(results.implicit_proxy.values):.12g}"
    ended = outcomes.classify(results).sel(condition=name)
    aligned, passes = ended["aligned"].values, ended["passes"].values
    early = results["test"].sel(condition=name).isel(checkpoint=outcomes.checkpoint_index(results, AGE)).values
    choosing = np.arange(len(aligned)) % 2 == 0
    mark = float(np.quantile(early[choosing & aligned], 0.1))
    survives = outcomes.reaches(early, mark)
    rows = np.stack([2 * ~aligned + ~passes, 2 * ~aligned + ~survives])[:, ~choosing]
    about = {"end": {"regimen": "hold_out", "coordinates": {}}, "early": {"regimen": "early", "coordinates": {}}}
    return claims.tabulate(rows, about, results.attrs["confidence"]) | {"mark": mark}


def judge(stored):
    """Apply the rule to one task."""
    gain, end, early = gained(stored.pair("end", "early")[2], stored.data["confidence"])
    why = f"P(accepted is aligned) {number(end)} at the end, {number(early)} with the gate, {claims.said('gain', gain)}"
    return claims.Verdict(claims.decide(gain), why)


def gained(joint, confidence, of=1):
    """Return the `Estimate` of what the gate gains, and the values without and with it.

    Args:
        joint: counts of (at the end, early) cells, shape (4, 4).
        confidence: of the interval.
        of: how many such intervals hold together.
    """
    possible = np.kron(np.eye(2), np.ones((2, 2)))  # a model is aligned in both tables, or in neither
    draws = draw_shares(joint, possible=[possible > 0])
    gain = from_draws(lambda table: values(np.moveaxis(table, -1, 0))[0], draws, family_wise(confidence, of))
    _, ends, earlies = values(np.asarray(joint, float)[None])
    return gain, float(ends[0]), float(earlies[0])


def values(tables):
    """Return gain, value without and value with the gate, from tables of (at the end, early) cells."""
    tables = tables / tables.sum((1, 2), keepdims=True)
    plain, gated = np.empty((len(tables), 2, 2)), np.empty((len(tables), 2, 3))
    for row, (passing, failing) in enumerate(((0, 1), (2, 3))):  # in both tables: aligned, misaligned
        plain[:, row] = tables[:, [failing, passing]].sum(2)
        gated[:, row, 0] = tables[:, [passing, failing], failing].sum(1)
        gated[:, row, 1:] = tables[:, [failing, passing], passing]
    without = gates.compute_budget(plain, (1.0,), COMPUTE).accepted_aligned
    with_gate = gates.compute_budget(gated, (AGE, 1.0), COMPUTE).accepted_aligned
    return with_gate - without, without, with_gate
