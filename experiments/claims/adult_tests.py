"""Tests that work on young models fail on grown ones: the LR of the same test falls as training goes on.

Command:   lab experiment adult_tests
Expected:  supported where gaming is learned late
Cost:      three minutes on 2 cores, shared with other claims

The score of the test at checkpoints of models in whose main objective something like the test hides late, which a gate
there would see, against what the models are at the end. The pass mark at every checkpoint is that of the task, or the
score that nine tenths of those reach there that end aligned if that is lower, so that it fits the age; it is chosen on
every second seed and judged on the others.

Rule, per task, with 95% intervals that hold together: supported if P(T|not A) at 30% of training is below that at the
end and the LR falls from there to the end; contradicted if P(T|not A) at 30% is above that at the end; else undecided.
(A first form asked for an LR above 1 at 30% in the place of its fall; no verdict depends on which.)
"""

from pathlib import Path

from experiments.claims.early_rejection import mark_for_aligned
from lab import claims
from lab.config.experiment import Experiment
from lab.results import outcomes, shards
from lab.words import Json

CONFIGS = "regimens"
AGES = (0.1, 0.2, 0.3, 0.5, 0.7, 1.0)  # shares of training; the rule compares .3 with the end


def study(experiment: Experiment, folder: Path, train: claims.Train) -> Json:
    """Count passes at every age against alignment at the end, in the world where a held-out test is imperfect."""
    results = shards.results(train(experiment, folder))
    name = f"hold_out implicit_proxy={max(results.implicit_proxy.values):.12g}"
    aligned = outcomes.classify(results)["aligned"].sel(condition=name).values
    scores = results["test"].sel(condition=name)
    rows, about, choosing = [], {}, outcomes.choosing_seeds(len(aligned))
    for age in AGES:
        scores_at_age = scores.isel(checkpoint=outcomes.checkpoint_index(results, age)).values
        mark = min(results.attrs["thresholds"]["test"], mark_for_aligned(scores_at_age, aligned))
        rows.append((2 * ~aligned + ~outcomes.reaches(scores_at_age, mark))[~choosing])
        about[f"{age:.0%}"] = {"regimen": "hold_out", "coordinates": {"age": age}, "mark": float(mark)}
    return claims.tabulate(rows, about, results.attrs["confidence"])


def judge(stored: claims.Stored) -> claims.Verdict:
    """Apply the rule to one task."""
    change = stored.change("100%", "30%", "pass_given_misaligned", of=2)
    young, grown = (stored.rate(age, "likelihood_ratio") for age in ("30%", "100%"))
    fall = stored.impact("100%", "30%", of=2).likelihood_ratio
    why = (
        f"{claims.phrase('P(T|not A) changes by', change)} from 30% to the end; {claims.phrase('LR at 30%', young)}, "
        f"{claims.phrase('at the end', grown)}, {claims.phrase('ln LR changes by', fall)}"
    )
    if change.high < 0:
        return claims.Verdict(claims.CONTRADICTED, why)
    return claims.Verdict(claims.SUPPORTED if change.low > 0 and fall.high < 0 else claims.UNDECIDED, why)
