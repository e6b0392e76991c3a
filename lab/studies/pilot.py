"""How many seeds and how much time an interval of a width needs, foreseen from a pilot on seeds of its own."""

import math
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from lab import statistics
from lab.config.seeds import PILOTS
from lab.results import outcomes, shards, summary

if TYPE_CHECKING:
    from lab.config.experiment import Experiment


class Need(NamedTuple):
    """What the interval of one condition needs.

    Attributes:
        name: of the condition.
        width: of its interval in the pilot.
        seeds: with which it is as narrow as wanted; inf where an empty cell of the pilot leaves that open.
    """

    name: str
    width: float
    seeds: float


@dataclass(frozen=True)
class Pilot:
    """What a pilot foresees.

    Attributes:
        needs: of every condition, or of every one that is compared.
        confidence: of the intervals.
        conditions: number of all conditions.
        seconds_per_seed: that training one seed of all of them took here, compiling aside.
    """

    needs: tuple[Need, ...]
    confidence: float
    conditions: int
    seconds_per_seed: float

    @property
    def seeds(self) -> int | None:
        """The seeds with which every interval that can be foreseen is as narrow as wanted; None if none can be."""
        return max((int(need.seeds) for need in self.needs if math.isfinite(need.seeds)), default=None)


def run(
    experiment: "Experiment",
    width: float,
    of: str = "net",
    seeds: int = 256,
    progress: Callable[[int, int], None] | None = None,
) -> Pilot:
    """Train a pilot of an experiment and foresee what an interval of a width needs.

    Args:
        experiment: whose conditions are trained, on other seeds.
        width: of the widest interval (rates as they are, everything else in nats).
        of: the quantity: net, or one of `lab.statistics.QUANTITIES`.
        seeds: of the pilot.
        progress: called with (lane-steps done, lane-steps in all) now and then.

    Raises:
        lab.config.source.ConfigError: there is no such quantity, width or number of seeds.
    """
    from lab.training import engine

    experiment = experiment.with_stop(of=of, width=width).with_stop().with_seeds(seeds, first=PILOTS.first)
    marks = []

    def note(done: int, total: int) -> None:
        if progress:
            progress(done, total)
        marks.append((time.monotonic(), done, total))

    with tempfile.TemporaryDirectory() as folder:
        stored = engine.run(experiment, Path(folder, "pilot"), progress=note)
        results = shards.results(stored, last_only=True)
    rows = [row for row in summary.comparisons(results) if of != "net" or row.other is not None]
    confidence = outcomes.attribute(results, "confidence")
    (started, first, total), (ended, last, _) = marks[0], marks[-1]
    trained = stored.manifest["block_width"] * len(shards.block_seeds(stored.manifest))
    return Pilot(
        needs=tuple(
            Need(
                row.name,
                statistics.width(row, of, confidence),
                statistics.seeds_needed(row, of, width, confidence),
            )
            for row in rows
        ),
        confidence=confidence,
        conditions=len(experiment.conditions),
        seconds_per_seed=(ended - started) * total / max(1, last - first) / trained,
    )
