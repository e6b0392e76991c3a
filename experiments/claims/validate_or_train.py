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

In `reasoner` 256 seeds leave it undecided: a late push leaves P(A|T) at .14 [.10, .20], and .2 is the limit. With 512
the verdict depends, as in `scratchpad`, if shares stay; with 768 the calibration is near enough to right in nine of ten
runs.
"""

from lab import claims, figures
from lab.words import Json, with_interval

# of the rule: what the sentence promises, and how near to it the calibration and P(A|T) have to be
PRIOR, PRIOR_WITHIN = 0.1, 0.04  # P(A) held out
RIGHT, WRONG, LIKELIHOODS_WITHIN = 0.9, 0.1, 0.05  # P(T|A) and P(T|not A) held out
VALIDATED, VALIDATED_WITHIN = 0.5, 0.1  # P(A|T) validating
TRAINED = 0.1  # P(A|T) after training on the proxy
MOST_TRAINED = 0.2  # what stands for `TRAINED` in the rule
COLUMNS = ("base_rate", "pass_given_misaligned", "aligned_given_pass", "expected_runs")
WORDS = {"validate": "hold out, validate"}


def judge(stored: claims.Stored) -> claims.Verdict:
    """Apply the rule to one task."""
    base_rate, right, wrong, validated, runs = (
        stored.rate("validate", name)
        for name in ("base_rate", "pass_given_aligned", "pass_given_misaligned", "aligned_given_pass", "expected_runs")
    )
    regimens = {"training early": "train_early", "training late": "train_late"}
    trained = {words: stored.rate(name, "aligned_given_pass") for words, name in regimens.items()}
    gains = [
        stored.difference(name, claims.aligned_share_of_passing, "validate", claims.aligned_share_of_passing, of=2)
        for name in regimens.values()
    ]
    together = [stored.rate(name, "aligned_given_pass", of=2) for name in regimens.values()]
    why = (
        f"{claims.phrases({'P(A)': base_rate, 'P(T|A)': right, 'P(T|not A)': wrong})}; P(A|T) "
        f"{claims.phrase('validating', validated)} in {with_interval(runs)} runs, {claims.phrases(trained)}"
    )
    calibrated = (
        abs(base_rate.value - PRIOR) <= PRIOR_WITHIN
        and abs(right.value - RIGHT) <= LIKELIHOODS_WITHIN
        and abs(wrong.value - WRONG) <= LIKELIHOODS_WITHIN
    )
    verdict = claims.UNDECIDED
    if calibrated:
        less = [gain.high < 0 and rate.high < MOST_TRAINED for gain, rate in zip(gains, together, strict=True)]
        more = [rate.low > MOST_TRAINED for rate in together]
        if all(less) and abs(validated.value - VALIDATED) <= VALIDATED_WITHIN:
            verdict = claims.SUPPORTED
        elif all(more):
            verdict = claims.CONTRADICTED
        elif any(less) and any(more):
            verdict = claims.DEPENDS
    return claims.Verdict(verdict, why)


def draw(data: Json) -> figures.Figure:
    """Rates and cost of each regimen, with the promised 50% and 10% marked."""
    shown = {name: figures.COLUMNS[name] for name in COLUMNS}
    shown["aligned_given_pass"] = shown["aligned_given_pass"]._replace(lines=(VALIDATED, TRAINED))
    return figures.estimates_figure(data, list(shown.values()))


CAPTION = claims.Caption(
    question="Is P(A|T) at the promised 50% where the test validates, and at 10% where it is trained on (dotted)?",
    marks="dotted: .5 and .1",
)
