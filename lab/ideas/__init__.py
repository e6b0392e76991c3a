"""Exact inference and policies over ideas whose training runs share a cause.

It imports `statistics` alone; `decision` and the claims about ideas import it.

An idea (a way to train, a dataset, a regimen) has a latent propensity theta. Every run on it is aligned with
probability theta, independently given theta, and passes the test with probability s = P(T|A) or f = P(T|not A). A run
therefore passes with probability g = s theta + f (1 - theta), and runs of one idea are informative about each other.

A Beta prior is replaced by a Gauss rule: a few values of theta with weights that give every polynomial up to a chosen
degree its exact expectation. As n runs involve theta only through polynomials of degree n, every answer here is
a finite sum and exact up to rounding, unless its docstring says otherwise.
"""

from lab.ideas.beliefs import (
    Beta,
    Discrete,
    FieldPosterior,
    aligned_given_run,
    evidence,
    field_posterior,
    next_pass,
    posterior_mean,
)
from lab.ideas.field import FieldFit, Range, fit_field
from lab.ideas.policies import POLICIES, PolicyOutcome, policy_outcome, policy_value
from lab.ideas.simulation import Simulated, simulate_policy

__all__ = [
    "POLICIES",
    "Beta",
    "Discrete",
    "FieldFit",
    "FieldPosterior",
    "PolicyOutcome",
    "Range",
    "Simulated",
    "aligned_given_run",
    "evidence",
    "field_posterior",
    "fit_field",
    "next_pass",
    "policy_outcome",
    "policy_value",
    "posterior_mean",
    "simulate_policy",
]
