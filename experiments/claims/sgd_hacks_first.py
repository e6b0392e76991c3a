"""SGD can hack a proxy that no finished model would hack, and even then rejecting early dominates rejecting at the end.

Command:   lab experiment sgd_hacks_first
Expected:  supported
Cost:      about four minutes on 2 cores

A proxy that only weights could game, because no input tells a model that it is looked at: what the model says of
itself, beside an objective that this be true (`scratchpad`, `reasoner`), and a linear probe of the hidden layer
(`shortcut`).
Tests are invisible; where they are visible is shown beside it. Held out, and trained on. Rejecting early is a gate at a
fifth of training on the proxy that is held out, whose mark lets nine tenths of the models pass that end aligned; it is
chosen on every second seed and judged on the others, as in `early_rejection`. `race` has no such proxy.

Rule, per task, where tests are invisible, with 95% intervals that hold together: supported if training on the proxy
raises P(T|not A) by more than a half, less than a tenth of misaligned models pass it held out, and the gate raises
P(accepted is aligned) for a compute of three trainings; contradicted if training on it raises P(T|not A) by less than
.1 or the gate lowers P(accepted is aligned); else undecided. (After the run: the .1 was 0, which an effect of exactly
nothing hardly ever stays below; `shortcut` was undecided.)
"""

import numpy as np

from experiments.claims.early_rejection import AGE, gained
from lab import claims
from lab.results import outcomes
from lab.words import number, with_interval


def study(experiment, folder, train):
    """Count every condition, and the fates with and without the early gate."""
    results = outcomes.results(train(experiment, folder))
    hidden = f"hold_out detectability={min(results.detectability.values):.12g}"
    return claims.counted(results) | {"proxy": results.attrs["proxy"], "gate": gate(results, hidden)}


def gate(results, name, mark=None):
    """Return the table of (at the end, early) cells of a condition for a gate on the proxy, on half of the seeds.

    Args:
        results: with all checkpoints.
        name: of the condition.
        mark: of the gate; the one that nine tenths of the aligned models of the other half reach by default.

    Returns:
        16 counts, or None where there is no aligned model to choose a mark by.
    """
    ended, proxy = outcomes.classify(results).sel(condition=name), results.attrs["proxy"]
    aligned, passes = ended["aligned"].values, ended["passes"].values
    early = results[proxy].sel(condition=name).isel(checkpoint=outcomes.checkpoint_index(results, AGE)).values
    choosing = np.arange(len(aligned)) % 2 == 0
    if not (choosing & aligned).any():
        return None
    mark = np.quantile(early[choosing & aligned], 0.1) if mark is None else mark
    survives = outcomes.reaches(early, mark)
    cells = (2 * ~aligned + ~passes)[~choosing], (2 * ~aligned + ~survives)[~choosing]
    return np.bincount(4 * cells[0] + cells[1], minlength=16).tolist()


def judge(stored):
    """Apply the rule to one task."""
    hidden = stored.values("detectability")[0]
    held, trained = (stored.at(name, detectability=hidden) for name in ("hold_out", "train"))
    hacked = stored.change(trained, held, "pass_given_misaligned", 3)
    alone = stored.rate(held, "pass_given_misaligned", 3)
    if stored.data["gate"] is None:
        return claims.Verdict(claims.UNDECIDED, "no aligned model to choose a mark by")
    gain, end, early = gained(np.reshape(stored.data["gate"], (4, 4)), stored.data["confidence"], 3)
    why = (
        f"training on {stored.data['proxy']} changes P(T|not A) by {with_interval(hacked)}, held out "
        f"{claims.said('it is', alone)}; P(accepted is aligned) {number(end)} at the end, {number(early)} with "
        f"the gate, {claims.said('gain', gain)}"
    )
    if hacked.high < 0.1 or gain.high < 0:
        return claims.Verdict(claims.CONTRADICTED, why)
    whole = hacked.low > 0.5 and alone.high < 0.1 and gain.low > 0
    return claims.Verdict(claims.SUPPORTED if whole else claims.UNDECIDED, why)
