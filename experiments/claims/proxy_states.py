"""A proxy can be useless, worse than useless or very effective, and very effective is not automatically good.

Command:   lab experiment proxy_states
Expected:  supported
Cost:      two minutes on 2 cores, and what four_regimens takes

The regimens of `four_regimens` in both of their worlds, and a world whose overseer mostly errs, or wants few
confessions.

Rule, per task, with 95% intervals one by one: supported if some regimen makes the test useless (LR within .8 to 1.25),
the erring overseer's is worse than useless (LR below 1), and some regimen makes it very effective (LR above 20) while
its P(A) is below that of holding out in the same world; contradicted if the erring overseer's LR is above 1 or no
regimen's LR can be above 20; else undecided.
"""

import json
from pathlib import Path

from lab import claims
from lab.config.experiment import Experiment, load
from lab.results import shards
from lab.words import Json

# LRs of the rule
USELESS = (0.8, 1.25)
EFFECTIVE = 20
ERRING = "overseer who errs"  # the condition whose proxy is opposed


def study(experiment: Experiment, folder: Path, train: claims.Train) -> Json:
    """Count the world of the erring overseer, and the regimens on as many of the same seeds."""
    opposed = claims.count_conditions(shards.results(train(experiment, folder), last_only=True))
    regimens = load(claims.ROOT / "configs/claims/regimens.yaml", task=experiment.task.name)
    regimens = regimens.with_seeds(min(len(regimens.seeds), len(experiment.seeds)), experiment.seeds[0])
    results = shards.results(train(regimens, folder.parent / regimens.folder_name), last_only=True)
    data = claims.count_conditions(results)
    data["order"].append(ERRING)
    data["conditions"][ERRING] = json.loads(json.dumps(opposed["conditions"]["hold_out"]))
    return data


def shown(stored: claims.Stored) -> list[str]:
    """Return the conditions that the figure shows."""
    return [*(name for name in stored.names if stored.coordinates(name).get("implicit_proxy", 0) > 0), ERRING]


def judge(stored: claims.Stored) -> claims.Verdict:
    """Apply the rule to one task."""
    ratios = {name: stored.rate(name, "likelihood_ratio") for name in stored.names}
    opposed = ratios.pop(ERRING)
    useless = [name for name, ratio in ratios.items() if USELESS[0] < ratio.low and ratio.high < USELESS[1]]
    held_out = {value: stored.at("hold_out", implicit_proxy=value) for value in stored.values("implicit_proxy")}
    effective = [name for name, ratio in ratios.items() if ratio.low > EFFECTIVE]
    costly = [
        name
        for name in effective
        if stored.change(name, held_out[stored.coordinates(name)["implicit_proxy"]], "base_rate").high < 0
    ]
    why = (
        f"useless: {', '.join(useless) or 'none'}; {claims.phrase('erring overseer: LR', opposed)}; very effective "
        f"with fewer aligned than held out: {', '.join(costly) or 'none'}, of {len(effective)} very effective"
    )
    if opposed.low > 1 or all(ratio.high < EFFECTIVE for ratio in ratios.values()):
        return claims.Verdict(claims.CONTRADICTED, why)
    every = useless and opposed.high < 1 and costly
    return claims.Verdict(claims.SUPPORTED if every else claims.UNDECIDED, why)
