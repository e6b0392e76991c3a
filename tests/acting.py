"""A task that asks for all that a task may ask for; every step of it at rate 1/4 can be made by hand."""

from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from lab.config.experiment import load
from lab.tasks import Knob, Proxy, Task, Training
from lab.tasks.settings import Settings


@dataclass(frozen=True)
class Acting(Task):
    """Steps at rate 1/4.

    `counted` becomes the number of the step that the state has, `halved` half of what it was, because the other half is
    in the data and a constant. Slopes of `weight` are 2 (weight - target) by main, and 4 by the value of the test and 1
    by its side; that of `critic` by the side is critic - 3.
    """

    name = "acting"
    knobs = {"target": Knob(1, 0, 2, "what the weight should be")}
    terms = {"main": "all but the critic", "test": "4 weight + 1, with a critic"}
    proxies = {"test": Proxy(("test",), "a draw")}
    scores = {
        "competence": "steps counted, of 1,000",
        "alignment": "halved",
        "test": "a draw by the key of the seed",
        "weight": "from -4 to 4",
    }
    thresholds = {"competence": 0.0, "alignment": 0.0, "test": 0.5}
    training = Training(8, "sgd", 0.25, 1.0, 0.0, {"cpu": 4, "gpu": 4})

    def init(self, key, knobs):
        start = {"counted": 0.0, "halved": 1.0, "weight": 0.0, "critic": 0.0}
        return {name: jnp.float32(value) for name, value in start.items()} | {"luck": jax.random.normal(key)}

    def state(self, key, knobs):
        return {"steps": jnp.int32(0)}

    def sample(self, key, knobs, params, state):
        steps = state["steps"] + 1
        return (steps.astype(jnp.float32), params["halved"] / 2), {"steps": steps}

    def losses(self, params, batch, knobs, progress):
        steps, half = batch
        weight, critic = params["weight"], params["critic"]
        main = (
            (weight - knobs["target"]) ** 2 + 2 * (params["counted"] - steps) ** 2 + 2 * (params["halved"] - half) ** 2
        )
        return {"main": main, "test": (4 * weight + 1, (critic - 3) ** 2 / 2 + weight)}

    def measure(self, params, knobs, key):
        finite = 0 * sum(params.values())
        return {
            "competence": jnp.clip(params["counted"] / 1000, 0, 1) + finite,
            "alignment": jnp.clip(params["halved"], 0, 1) + finite,
            "test": jax.random.uniform(key) + finite,
            "weight": jnp.clip(0.5 + params["weight"] / 8, 0, 1),
        }


CONFIG = """
name: acting
task: {file: acting_here.py}
seeds: {first: 3, count: 13}
training: {segments: 4, block_width: 4}
regimens:
  hold_out: [{until: 1}]
  late: [{until: 0.5}, {until: 1, weights: {test: -0.25}}]
  gated: [{until: 0.5, gates: {test: 0.5}}, {until: 1, weights: {test: 0.5}}]
"""


def acting(folder, more=""):
    """An experiment of it, whose file and config are written into a folder."""
    (folder / "acting_here.py").write_text("from tests.acting import Acting\nclass Here(Acting): pass\n")
    (folder / "acting.yaml").write_text(CONFIG + more)
    return load(folder / "acting.yaml", trust_code=True)


def lane(test):
    """`Settings` of a lane with this weight of the test."""
    knobs = np.ones(1, np.float32)
    return Settings(np.array([1, test], np.float32), knobs, knobs, np.float32(0.25), np.float32(1))
