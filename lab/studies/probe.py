"""A linear probe of hidden layers, fitted to a population of models whose alignment is known.

Tasks record what share of a hidden layer's variance lies along a few functions of the input (`encodes_*`), which
does not depend on how units are numbered, so one probe fits all seeds. Its weights are knobs (`probe_*`): fit a probe
to one run, put its knobs into the config of another, hold it out or train on it there, and fit it again afterwards.
"""

from dataclasses import dataclass

import numpy as np
import scipy
from jaxtyping import Bool, Float

from lab.results.outcomes import Results, UnknownName, choosing_seeds, classify, common
from lab.results.summary import find
from lab.statistics import Estimate
from lab.studies.roc import roc

PREFIX = "encodes_"
PENALTY = 1e-3  # on squared weights; small beside the loss, it keeps separable classes finite


@dataclass(frozen=True)
class Probe:
    """A probe fitted to half of a population and judged on the other.

    Attributes:
        condition: name of the condition.
        knobs: knob -> value of the fitted probe; None where the fitting half has models of one kind alone.
        area: area under its ROC curve on the seeds that it was not fitted to.
        own_area: the same of the probe that the run had, on the same seeds.
    """

    condition: str
    knobs: dict[str, float] | None
    area: Estimate
    own_area: Estimate

    @property
    def gap(self) -> float:
        """What the run's own probe misses and the new one sees: the area of the new one less that of the other."""
        return self.area.value - self.own_area.value


def logistic(
    features: Float[np.ndarray, "models features"], aligned: Bool[np.ndarray, " models"]
) -> Float[np.ndarray, " weights"]:
    """Return the bias and the weights of a ridge logistic regression.

    Minimises the mean of -ln P(label) + PENALTY / 2 |w|^2, w being the weights of standardised features, so that
    separable classes have finite weights.

    Args:
        features: a row for each model.
        aligned: its label.
    """
    centre, scale = features.mean(axis=0), features.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    rows = np.column_stack([np.ones(len(features)), (features - centre) / scale])
    sign = np.where(aligned, 1.0, -1.0)

    def loss(weights: Float[np.ndarray, " weights"]) -> tuple[float, Float[np.ndarray, " weights"]]:
        margin = sign * (rows @ weights)
        slope = -(sign * scipy.special.expit(-margin)) @ rows / len(rows)
        ridge = np.concatenate([[0.0], PENALTY * weights[1:]])
        return np.logaddexp(0, -margin).mean() + ridge @ weights / 2, slope + ridge

    bias, *standardised = scipy.optimize.minimize(loss, np.zeros(rows.shape[1]), jac=True, method="L-BFGS-B").x
    weights = np.array(standardised) / scale
    return np.concatenate([[bias - weights @ centre], weights])


def refit(results: Results, condition: str) -> Probe:
    """Return the `Probe` fitted to the even seeds of a condition and judged on the odd ones.

    Args:
        results: what `lab.run` returned, at the end of training.
        condition: name of a condition, or of a regimen that has only one.

    Raises:
        UnknownName: no such condition.
        ValueError: the task records nothing of its hidden layers.
    """
    names = [str(name) for name in results.data_vars if str(name).startswith(PREFIX)]
    if not names or "probe" not in results:
        raise ValueError("the task has no scores encodes_*: nothing of its hidden layers is recorded")
    models = common(results.isel(condition=[find(results, condition)]))
    name = str(models.condition.values[0])
    features = np.stack([models[feature].values[0, :, -1] for feature in names], axis=1).astype(float)
    aligned = classify(models)["aligned"].values[0]
    choosing = choosing_seeds(models.sizes["seed"])
    fitting = choosing & np.isfinite(features).all(axis=1)
    both_kinds = aligned[fitting].any() and not aligned[fitting].all()
    weights = logistic(features[fitting], aligned[fitting]) if both_kinds else np.zeros(len(names) + 1)
    score = (weights[0] + features @ weights[1:]).astype(np.float32)[None, :, None]
    refitted = models.assign(refitted=(models.probe.dims, np.repeat(score, models.sizes["checkpoint"], axis=2)))
    judging = refitted.isel(seed=np.flatnonzero(~choosing))
    knobs = ("probe_bias", *(f"probe_{feature.removeprefix(PREFIX)}" for feature in names))
    return Probe(
        name,
        dict(zip(knobs, map(float, weights), strict=True)) if both_kinds else None,
        roc(judging, name, "refitted").area,
        roc(judging, name, "probe").area,
    )


def run(results: Results, regimen: str | None = None) -> tuple[Probe, ...]:
    """Fit a probe to each condition of a run, or of one of its regimens, and judge it beside the run's own.

    Args:
        results: what `lab.run` returned, at the end of training.
        regimen: all by default.

    Raises:
        UnknownName: no such regimen.
        ValueError: the task records nothing of its hidden layers.
    """
    regimens = list(map(str, results.regimen.values))
    if regimen is not None and regimen not in regimens:
        raise UnknownName(f"no regimen {regimen!r}; known: {', '.join(dict.fromkeys(regimens))}")
    conditions = zip(map(str, results.condition.values), regimens, strict=True)
    return tuple(refit(results, name) for name, of_condition in conditions if regimen in (None, of_condition))
