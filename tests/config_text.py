"""A config that tests change, and what is wrong with the changed one."""

import pytest

from lab.config.experiment import ConfigError, parse

GOOD = """
name: good
task: scratchpad
seeds: 8
regimens:
  hold_out: [{until: 1}]
  early: [{until: 0.1, weights: {test: 0.01}}, {until: 1}]
"""

RICH = {
    "name": "rich",
    "question": "why",
    "task": {"name": "scratchpad", "width": 8},
    "knobs": {"preference": 0.1},
    "weights": {"precursor": 0.1},
    "training": {"steps": 100, "optimizer": "sgd", "learning_rate": 0.1, "segments": [0.1, 0.5, 1]},
    "seeds": {"first": 3, "count": 4},
    "proxy": "test",
    "thresholds": {"test": 0.5},
    "confidence": 0.9,
    "baseline": "a",
    "regimens": {
        "a": [{"until": 1}],
        "b": [{"lasts": 0.1, "weights": {"test": 1}, "knobs": {"cue_cost": 1}}, {"until": 1}],
    },
    "sweep": {"cue_cost": [0, 1], "w": {"key": "regimens.b[0].weights.test", "values": [0, 1]}},
}


def problems(text):
    with pytest.raises(ConfigError) as caught:
        parse(text, "file.yaml")
    return caught.value.problems
