"""A run whose scores are made by hand, for the page of `lab report`."""

import re

import numpy as np

from lab import cli
from lab.results import shards
from lab.results.store import Run

HOSTILE = "</script><script>window.hacked=1</script>"
QUOTED = "a\"'><img onerror=x>{{7}}"
# alignment at the end; test at half of training and at the end. The marks are .9, and .5 where a test chooses so
MODELS = {
    "hold_out": [
        *[(1.0, 0.2, 0.95), (1.0, 0.6, 0.95), (1.0, 0.8, 0.95), (1.0, 0.95, 0.4)],  # aligned: 3 of 4 pass at either
        *[(0.0, 0.1, 0.1), (0.0, 0.1, 0.2), (0.0, 0.6, 0.93), (0.0, 0.7, 0.3), (0.0, 0.2, 0.2), (0.0, 0.1, 0.1)],
    ],
    QUOTED: [*[(1.0, 0.5, 0.95)] * 5, *[(1.0, 0.4, 0.9)] * 3, (0.0, 0.1, 0.95), (0.0, 0.1, 0.1)],
}
# aligned passes, aligned failures, misaligned passes, misaligned failures
AT_THE_END = {"hold_out": (3, 1, 1, 5), QUOTED: (8, 0, 1, 1)}
AT_HALF = {"hold_out": (3, 1, 2, 4), QUOTED: (5, 3, 0, 2)}


# three weights and two onsets of a push: how many of ten models are aligned, and how many of the others pass
SWEEP = {
    "push weight=1 onset=0": (5, 1),
    "push weight=1 onset=0.5": (4, 2),
    "push weight=2 onset=0": (8, 1),
    "push weight=2 onset=0.5": (4, 3),
    "push weight=3 onset=0": (10, 0),
    "push weight=3 onset=0.5": (4, 6),
}


def ten(aligned, fooled):
    """Ten models, so many aligned, all of which pass, and so many misaligned that pass."""
    return [(1.0, 0.2, 0.95)] * aligned + [(0.0, 0.1, 0.95)] * fooled + [(0.0, 0.1, 0.1)] * (10 - aligned - fooled)


SWEPT = {"hold_out": ten(4, 1), **{name: ten(*models) for name, models in SWEEP.items()}}


def place(name):
    """Regimen and coordinates of a condition by its name: "push weight=3" is push at weight 3."""
    if not re.fullmatch(r"\w+(?: \w+=[\d.]+)+", name):
        return name, {}
    regimen, *parts = name.split()
    return regimen, {axis: float(value) for axis, _, value in (part.partition("=") for part in parts)}


def with_competence(model):
    """A model with its competence, which is 1 where nothing is said."""
    return (*model, 1.0)[:4]


def store(folder, models=MODELS, missing=0, question=f"Is it {HOSTILE} better?", schedules=None, **manifest):
    """Write a run with these scores; the last `missing` conditions have none, and `manifest` replaces what it says."""
    (folder / "shards").mkdir(parents=True)
    regimen = {"until": 1.0, "lasts": None, "weights": {}, "knobs": {}, "rates": {}, "gates": {}}
    names, seeds = list(models), len(MODELS["hold_out"])
    run = Run.create(
        folder,
        {
            "name": "made",
            "hash": "0123456789abcdef",
            "trains": "fedcba9876543210",
            "question": question,
            "source": f"name: made\nquestion: {question}\n",
            "config": {
                "name": "made",
                "task": {"name": "race"},
                "seeds": {"first": 7, "count": seeds},
                "training": {"steps": 100},
                "regimens": {"hold_out": [regimen]},
                "sweep": {axis: [0.0] for name in names for axis in place(name)[1]},
            },
            "scores": ["competence", "alignment", "test"],
            "checkpoints": [0.5, 1.0],
            "seeds": {"first": 7, "count": seeds},
            "looks": [seeds],
            "proxy": "test",
            "thresholds": {"competence": 0.9, "alignment": 0.9, "test": 0.9},
            "baseline": "hold_out",
            "confidence": 0.95,
            "conditions": [
                {
                    **{"name": name, "regimen": place(name)[0], "coordinates": place(name)[1]},
                    **{"knobs": {HOSTILE: 1.0}, "leaf": f"{index:016x}", "schedule": (schedules or {}).get(name)},
                }
                for index, name in enumerate(names)
            ],
            "identity": {"device": "cpu", "jax": "1.2.3", "python": HOSTILE},
            "block_width": seeds,
            **manifest,
        },
    )
    for index, name in enumerate(names[: len(names) - missing]):
        scores = np.array(
            [
                [(*able, aligned, half), (*able, aligned, end)]
                for aligned, half, end, *able in map(with_competence, models[name])
            ],
            np.float32,
        )
        shard = shards.shard(scores, run.manifest["scores"], np.arange(7, 7 + seeds), [0.5, 1.0])
        shards.write_shard(run, f"{index:016x}", 7, shard)
    return folder


def reported(folder, *models, **about):
    """Write such a run with its page, and return its folder."""
    made = store(folder, *models, **about)
    assert cli.main(["report", str(made)]) == 0
    return made
