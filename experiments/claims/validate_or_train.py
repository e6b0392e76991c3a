"""With prior 10:90 and likelihoods 90:10, validating gives 50% at a cost of 5.6 runs, training on the proxy gives 10%.

Command:   lab experiment validate_or_train
Expected:  depends: true of a late push, not of an early one where values move early
Cost:      about two minutes on 2 cores

A population calibrated to these rates by the main objective's preference and a noisy test, which validates in one
regimen and is trained on in others, early or late. (MacDermott, "Validating against a misalignment detector is very
different to training against one", 2025, has the numbers; there training leaves the base rate as it is.)

Rule, per task, with 95% intervals that hold together: the calibration must be right, P(A) held out within .04 of .1,
P(T|A) and P(T|not A) within .05 of .9 and .1, else undecided. Supported if validating gives P(A|T) within .1 of .5 and
both ways to train give less than that and less than .2; contradicted if both give more than .2; depends if one gives
less and the other more; else undecided. (After the run: the .2, which stands for the sentence's 10%, was not there
before; `race`, where training gives less than validating but three to four times 10%, was supported.)
"""

from lab import claims, figures
from lab.words import estimate_json, with_interval


def judge(stored: claims.Stored) -> claims.Verdict:
    """Apply the rule to one task."""
    base, right, wrong, passing, runs = (
        stored.rate("validate", name)
        for name in ("base_rate", "pass_given_aligned", "pass_given_misaligned", "aligned_given_pass", "expected_runs")
    )
    trained = {name: stored.rate(name, "aligned_given_pass") for name in ("train_early", "train_late")}

    def odds(shares):
        return shares[0] / (shares[0] + shares[2])

    gains = [stored.difference(name, odds, "validate", odds, 2) for name in trained]
    shown = [stored.rate(name, "aligned_given_pass", 2) for name in trained]
    why = (
        f"{claims.phrase('P(A)', base)}, {claims.phrase('P(T|A)', right)}, {claims.phrase('P(T|not A)', wrong)}; P(A|T) "
        f"{claims.phrase('validating', passing)} in {with_interval(runs)} runs, "
        + ", ".join(claims.phrase(name.replace("_", "ing ", 1), own) for name, own in trained.items())
    )
    calibrated = abs(base.value - 0.1) <= 0.04 and abs(right.value - 0.9) <= 0.05 and abs(wrong.value - 0.1) <= 0.05
    verdict = claims.UNDECIDED
    if calibrated:
        less = [gain.high < 0 and own.high < 0.2 for gain, own in zip(gains, shown, strict=True)]
        more = [own.low > 0.2 for own in shown]
        if all(less) and abs(passing.value - 0.5) <= 0.1:
            verdict = claims.SUPPORTED
        elif all(more):
            verdict = claims.CONTRADICTED
        elif any(less) and any(more):
            verdict = claims.DEPENDS
    return claims.Verdict(verdict, why)


def plotted(stored: claims.Stored) -> list[Json]:
    """Return P(A|T) of each regimen as plain JSON values."""
    names = {"validating": "validate", "training early": "train_early", "training late": "train_late"}
    return [
        {"name": words, "regimen": name, **estimate_json(stored.rate(name, "aligned_given_pass"))}
        for words, name in names.items()
    ]


def draw(data: Json) -> Figure:
    """P(A|T) of each regimen, a panel per task, with the promised 50% and 10% marked."""
    return figures.estimates_figure(data, "P(A|T); dotted: 50% and 10%", (0.5, 0.1), (-0.03, 1.03))


CAPTION = claims.Caption(marks="hollow: it holds .5")
