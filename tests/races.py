"""Short races of two regimens, whole or one condition alone, that tests of training share."""

import dataclasses

from lab.config.experiment import parse
from lab.results import shards
from lab.training import engine

RACE = """
name: race
task: race
seeds: {seeds}
training: {{steps: 100, segments: 10, block_width: 8, learning_rate: {rate}}}
regimens:
  hold_out: [{{until: 1}}]
  late: [{{until: 0.5}}, {{until: 1, weights: {{test: 1}}}}]
"""


def race(seeds=32, rate=0.02):
    return parse(RACE.format(seeds=seeds, rate=rate))


def scores(experiment, folder, **options):
    return shards.results(engine.run(experiment, folder, **options))


def only(experiment, index):
    """The same experiment with one of its conditions alone."""
    condition = experiment.conditions[index]
    config = experiment.config.model_copy(update={"baseline": condition.regimen})
    return dataclasses.replace(experiment, config=config, conditions=(condition,))
