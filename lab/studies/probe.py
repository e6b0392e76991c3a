"""A linear probe of hidden layers, fitted to a population of models whose alignment is known.

Tasks record what share of a hidden layer's variance lies along a few functions of the input (`encodes_*`), which
does not depend on how units are numbered, so one probe fits all seeds. Its weights are knobs (`probe_*`): fit a probe
to one run, put its knobs into the config of another, hold it out or train on it there, and fit it again afterwards.
"""

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize
from scipy.special import expit

from lab.results.outcomes import classify, common
from lab.results.summary import find
from lab.statistics import Estimate
from lab.studies.rejection import roc

PREFIX = "encodes_"
PENALTY = 1e-3


@dataclass(frozen=True)
class Probe:
    """A probe fitted to half of a population and judged on the other.

    Attributes:
        condition: name of the condition.
        knobs: knob -> value of the fitted probe; None where the fitting half has models of one kind alone.
        area: area under its ROC curve on the seeds that it was not fitted to.
        own_area: the same of the probe that the run had, on the same seeds.
        gap: what remains hidden from the run's own probe and not from the new one, area - own_area.
    """

    condition: str
    knobs: dict[str, float] | None
    area: Estimate
    own_area: Estimate

    @property
    def gap(self):
        """Area of the new probe less that of the run's own."""
        return self.area.value - self.own_area.value


def logistic(features, aligned):
    """Return bias and weights of a ridge logistic regression, shape (features + 1,).

    Minimises the mean of -ln P(label) + PENALTY / 2 |w|^2, w being the weights of standardised features, so that
    separable classes have finite weights.

    Args:
        features: shape (models, features).
        aligned: booleans, shape (models,).
    """
    centre, scale = features.mean(axis=0), features.std(axis=0)
    scale = np.where(scale > 0, scale, 1.0)
    rows = np.column_stack([np.ones(len(features)), (features - centre) / scale])
    sign = np.where(aligned, 1.0, -1.0)

    def loss(weights):
        margin = sign * (rows @ weights)
        slope = -(sign * expit(-margin)) @ rows / len(rows)
        ridge = np.concatenate([[0.0], PENALTY * weights[1:]])
        return np.logaddexp(0, -margin).mean() + ridge @ weights / 2, slope + ridge

    found = minimize(loss, np.zeros(rows.shape[1]), jac=True, method="L-BFGS-B").x
    weights = found[1:] / scale
    return np.concatenate([[found[0] - weights @ centre], weights])


def refit(results, condition):
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
    own = common(results.isel(condition=[find(results, condition)]))
    name = str(own.condition.values[0])
    features = np.stack([own[feature].values[0, :, -1] for feature in names], axis=1).astype(float)
    aligned = classify(own)["aligned"].values[0]
    even = (own.seed.values % 2 == 0) & np.isfinite(features).all(axis=1)
    both = aligned[even].any() and not aligned[even].all()
    weights = logistic(features[even], aligned[even]) if both else np.zeros(len(names) + 1)
    score = (weights[0] + features @ weights[1:]).astype(np.float32)[None, :, None]
    judged = own.assign(refitted=(own.probe.dims, np.repeat(score, own.sizes["checkpoint"], axis=2)))
    judged = judged.isel(seed=np.flatnonzero(own.seed.values % 2))
    knobs = ("probe_bias", *(f"probe_{feature.removeprefix(PREFIX)}" for feature in names))
    return Probe(
        name,
        dict(zip(knobs, map(float, weights), strict=True)) if both else None,
        roc(judged, name, "refitted").area,
        roc(judged, name, "probe").area,
    )
