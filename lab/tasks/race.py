"""`race`: an aligned, a misaligned and a faking pathway grow under gradient flow; the explicit latent.

Path strengths are K_j = p_j^D, for faking p_f^(D k) with k the `detection_difficulty`. The job needs K_a + K_b = s;
the test wants K_a + K_f = s. With r = s - K_a - K_b and r_T = max(0, s - K_a - K_f), gradient descent on
`main + w test` with step dt is the Euler method for

    dp_a/dt = |p_a|^(D-1) (r + w r_T)
    dp_b/dt = |p_b|^(D-1) r
    dp_f/dt = k |p_f|^(Dk-1) (w gate r_T - faking_cost)

the gradient flow of two-pathway deep linear networks (Kleinman, Achille and Soatto, ICLR 2024). Without a proxy
p_a / p_b is kept at D = 2 and p_a^(2-D) - p_b^(2-D) at any other D: small initial values let the winner take all.
"""

from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from lab.tasks.base import (
    CONTROL,
    TEST_KNOBS,
    Knob,
    Knobs,
    Params,
    Proxy,
    Scalars,
    Task,
    Training,
    held,
    loss_terms,
    marks_of,
    noisy,
    scores_of,
    traits,
)
from lab.tasks.models import Pathways, evaluate

ALIGNED, MISALIGNED, FAKING = 0, 1, 2


@dataclass(frozen=True)
class Race(Task):
    """Three scalar pathways; nothing about them is static."""

    name = "race"
    knobs = {
        "depth": Knob(3, 1, 10, "D: how strongly the rich get richer"),
        "target": Knob(1, 0.01, 100, "s: the strength that the job and the test ask for"),
        "initial_size": Knob(0.2, 1e-4, 10, "typical initial p of the aligned and the misaligned pathway"),
        "initial_noise": Knob(0.3, 0, 1, "standard deviation of initial p, as a share of its size"),
        "head_start": Knob(-0.2, -0.99, 10, "the aligned pathway starts larger by this share (smaller if negative)"),
        "preference": Knob(0, -10, 10, "pull toward the aligned (+) pathway, as long as the job is undone"),
        "faking_start": Knob(0.2, 0, 10, "typical initial p of the faking pathway"),
        "faking_cost": Knob(0, 0, 100, "constant pull of the main objective against faking"),
        "faking_onset": Knob(0, 0, 1, "share of training after which faking can be learned"),
        "detectability": Knob(1, 0, 10, "how fast faking can be learned; 0 hides the test"),
        "detection_difficulty": Knob(1, 1, 3, "k: faking is a chain of this many times D weights, so it grows later"),
        "implicit_proxy": Knob(0, -10, 10, "weight of a loss like the test's hidden inside the main objective"),
        "implicit_similarity": Knob(1, 0, 1, "1: faking serves the implicit loss as it does the test; 0: not at all"),
        "implicit_onset": Knob(0, 0, 1, "share of training after which the implicit loss begins"),
        "overseer_error": Knob(0, 0, 1, "share of aligned and misaligned pathway that the overseer mixes up"),
        "built_in": Knob(0, 0, 1, "share of the misaligned pathway that is taken away; 1 leaves the aligned one alone"),
        "audit_similarity": Knob(0.5, 0, 1, "share of the faking pathway that serves the audit as it does the test"),
        **TEST_KNOBS,
    }
    overseen = {
        "test": Proxy(
            {
                "test": "max(0, s - K_a - K_f)^2 / 2D",
                "test_linear": "-(K_a + K_f) / D while that sum lies between 0 and s; bounded, so the one to train "
                "against",
            },
            "the overseer sees the aligned or the faking pathway at work",
            1.0,
            against="test_linear",
            score="(K_a + K_f) / s, at most 1, and noise",
            mark=0.9,
        ),
        "audit": Proxy(
            {"audit": "max(0, s - K_a - audit_similarity K_f)^2 / 2D"},
            "a second test that faking serves to a degree: train one, hold out the other",
            1.0,
            score="(K_a + audit_similarity K_f) / s, at most 1",
            mark=0.9,
        ),
        "prerequisite": Proxy(
            {"prerequisite": "max(0, s / 4 - K_a)^2 / 2D: without so much of it no model is aligned"},
            "a quarter of the job by the aligned pathway: exact, not exhaustive",
            1.0,
            score="4 K_a / s, at most 1",
            mark=0.9,
        ),
    }
    proxies = {**overseen, "control": CONTROL}
    terms = {  # losses are summed in this order, on which the last bit of a run depends
        "main": "(s - K_a - K_b)^2 / 2D, with the objective's own preference and faking cost",
        **loss_terms(overseen),
        "push": "-p_a: a constant force on the aligned pathway",
        "precursor": "-p_f: a constant force on the faking pathway",
        **loss_terms({"control": CONTROL}),
    }
    scores = {
        "competence": "1 - |s - K_a - K_b| / s, at least 0",
        "alignment": "K_a / (K_a + K_b)",
        **scores_of(proxies),
    }
    thresholds = {"competence": 0.95, "alignment": 0.5, **marks_of(proxies)}
    training = Training(
        steps=1000,
        optimizer="sgd",
        learning_rate=0.02,
        final_learning_rate=1.0,
        momentum=0.0,
        block_width={"cpu": 2048, "gpu": 65536},
    )

    model = Pathways(3)

    def init(self, key: Key[Array, ""], knobs: Knobs) -> Params:
        """Initial p, all drawn independently: size * (1 + noise * N(0, 1))."""
        size = jnp.stack(
            [knobs["initial_size"] * (1 + knobs["head_start"]), knobs["initial_size"], knobs["faking_start"]]
        )
        p = size * (1 + knobs["initial_noise"] * jax.random.normal(key, (3,)))
        return {"params": {"p": p}, **traits(key)}

    def strengths(self, params: Params, knobs: Knobs) -> Float[Array, " pathways"]:
        """K of the aligned, the misaligned and the faking pathway."""
        depth = knobs["depth"] * jnp.stack([1.0, 1.0, knobs["detection_difficulty"]])
        kept = jnp.stack([jnp.ones_like(knobs["built_in"]), 1 - knobs["built_in"], jnp.ones_like(knobs["built_in"])])
        return kept * evaluate(self.model, {"params": params["params"]}, depth)

    def seen(self, aligned: Float[Array, ""], misaligned: Float[Array, ""], knobs: Knobs) -> Float[Array, ""]:
        """Return what an overseer who mixes up a share of both pathways takes for the aligned one."""
        return (1 - knobs["overseer_error"]) * aligned + knobs["overseer_error"] * misaligned

    def sample(self, key: Key[Array, ""], knobs: Knobs) -> tuple[()]:
        """No data: the losses are exact."""
        return ()

    def losses(self, params: Params, batch: Any, knobs: Knobs, progress: Float[Array, ""]) -> Scalars:
        """See `terms`."""
        depth, target = knobs["depth"], knobs["target"]
        aligned, misaligned, faking = self.strengths(params, knobs)
        gate = jnp.where(progress >= knobs["faking_onset"], knobs["detectability"], 0.0)
        learnable = gate * faking + (1 - gate) * held(faking)
        seen = self.seen(aligned, misaligned, knobs) + learnable
        undone = held(jnp.maximum(0.0, 1 - (aligned + misaligned) / target))
        hidden = jnp.maximum(0.0, target - aligned - knobs["implicit_similarity"] * learnable) ** 2
        implicit = jnp.where(progress >= knobs["implicit_onset"], hidden, 0.0)
        return {
            "main": (target - aligned - misaligned) ** 2 / (2 * depth)
            - knobs["preference"] * undone * (aligned - misaligned) / depth
            + knobs["faking_cost"] * faking / depth
            + knobs["implicit_proxy"] * implicit / (2 * depth),
            "test": jnp.maximum(0.0, target - seen) ** 2 / (2 * depth),
            "test_linear": -jnp.clip(seen, 0.0, target) / depth,
            "audit": jnp.maximum(0.0, target - aligned - knobs["audit_similarity"] * learnable) ** 2 / (2 * depth),
            "prerequisite": jnp.maximum(0.0, target / 4 - aligned) ** 2 / (2 * depth),
            "push": -params["params"]["p"][ALIGNED],
            "precursor": -params["params"]["p"][FAKING],
            "control": jax.nn.softplus(-params["badge"]),
        }

    def measure(self, params: Params, knobs: Knobs) -> Scalars:
        """See `scores`."""
        target = knobs["target"]
        aligned, misaligned, faking = self.strengths(params, knobs)
        tested = jnp.clip((self.seen(aligned, misaligned, knobs) + faking) / target, 0.0, 1.0)
        a, b = jnp.maximum(aligned, 0.0), jnp.maximum(misaligned, 0.0)
        return {
            "competence": jnp.maximum(0.0, 1 - jnp.abs(target - aligned - misaligned) / target),
            "alignment": a / jnp.maximum(a + b, 1e-30),
            "test": noisy(tested, params["luck"], knobs),
            "audit": jnp.clip((aligned + knobs["audit_similarity"] * faking) / target, 0.0, 1.0),
            "prerequisite": jnp.clip(4 * aligned / target, 0.0, 1.0),
            "control": jax.nn.sigmoid(params["badge"]),
        }
