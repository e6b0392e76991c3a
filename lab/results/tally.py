"""Counts of a run that may still be in progress, from its shards, each of which is read once.

It only reads, takes no lock and waits for nobody: shards are published whole, so what is there can be counted.
"""

import math
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import xarray as xr
from jaxtyping import Bool

from lab.results import shards, summary
from lab.results.outcomes import Outcomes, classify
from lab.results.shards import Block
from lab.results.store import PathLike, Run, ShardKey, holders
from lab.statistics import Counts

BLOCKS_AT_ONCE = 64
GROWS = ("seeds", "leaf_seeds")  # what a manifest changes from look to look; anything else makes it another run
ENOUGH = 5  # shards per distinct condition from which on the pace leaves out the first one, with its time of compiling


class Tally:
    """What is known so far of a run.

    Attributes:
        run: opened again whenever its manifest changes.
        expected: keys of all shards of the run as far as it is planned: block by block, and in each block in the order
            of the conditions.
        counted: keys of those that have been read.
        damaged: keys of those that cannot be read, which `lab run` computes again.
        stored: how many shards there are, read or not.
    """

    run: Run
    expected: dict[ShardKey, None]
    counted: set[ShardKey]
    damaged: set[ShardKey]
    stored: int

    def __init__(self, path: PathLike, open_run: Callable[[Path], Run] = Run):
        """Open a run; nothing is read yet.

        Args:
            path: of its folder.
            open_run: opens it, for one that is read with other marks.

        Raises:
            StoreError: as `lab.results.store.Run` does.
        """
        self.open_run = open_run
        self.run = open_run(Path(path))
        self._forget()

    def _forget(self) -> None:
        """Begin anew: nothing has been counted."""
        self.counted, self.damaged, self.stored = set(), set(), 0
        self.times: list[float] = []  # when each counted shard was written
        self.expected = self._expected_shards()
        self.manifest_time = self._manifest_time()
        empty = self._classify([], range(0))
        self.labels = empty.drop_dims("seed")
        self.flags: dict[str, Bool[np.ndarray, "condition seed"]] = {str(name): empty[name].values for name in empty}
        self._widen()

    def _expected_shards(self) -> dict[ShardKey, None]:
        return dict.fromkeys(sorted(shards.expected_shards(self.run.manifest), key=lambda key: key[1]))

    def _manifest_time(self) -> int:
        return (self.run.path / "manifest.json").stat().st_mtime_ns

    def _widen(self) -> None:
        """Make room for the seeds that the manifest names now."""
        count = self.run.manifest["seeds"]["count"]
        self.flags = {name: np.pad(flag, ((0, 0), (0, count - flag.shape[1]))) for name, flag in self.flags.items()}

    def _classify(self, blocks: Sequence[Block], seeds: range) -> Outcomes:
        return classify(shards.assemble(self.run.manifest, blocks, seeds, last_only=True))

    def update(self, limit: float = math.inf) -> bool:
        """Count shards that are new; return whether there were any.

        Args:
            limit: seconds of this thread that it may take, about.

        Raises:
            StoreError: the run's folder holds what is none of its shards, or two results for one.
        """
        end = time.thread_time() + limit
        self._follow_manifest()
        files = {key: path for key, path in self.run.shards().items() if key in self.expected}
        self.stored = len(files)
        first, window = self.run.manifest["seeds"]["first"], BLOCKS_AT_ONCE * self.run.manifest["block_width"]
        windows: dict[int, list[Block]] = {}
        for key in [key for key in self.expected if key in files and key not in self.counted]:
            try:
                arrays, written = shards.read_shard(self.run, files[key]), files[key].stat().st_mtime
            except ValueError:
                self.damaged.add(key)
            except FileNotFoundError:  # set aside while this was reading
                continue
            else:
                leaf, seed = key
                self.damaged.discard(key)
                self.times.append(written)
                windows.setdefault((seed - first) // window, []).append((leaf, seed, arrays))
            if time.thread_time() > end:
                break
        for blocks in windows.values():
            self._count(blocks)
        return bool(windows)

    def _follow_manifest(self) -> None:
        """Open the run again if its manifest has changed: one that stops by a rule has gone on to its next look."""
        if self._manifest_time() == self.manifest_time:
            return
        before, self.run = self.run, self.open_run(self.run.path)
        if any(self.run.manifest[key] != before.manifest[key] for key in before.manifest if key not in GROWS):
            self._forget()
        self.manifest_time, self.expected = self._manifest_time(), self._expected_shards()
        self._widen()

    def _count(self, blocks: Sequence[Block]) -> None:
        """Add what became of the models of some blocks."""
        seeds = shards.all_seeds(self.run.manifest)
        first = min(seed for _, seed, _ in blocks)
        last = min(seeds.stop, max(seed + len(arrays["seed"]) for _, seed, arrays in blocks))
        outcomes = self._classify(blocks, range(first, last))
        columns = slice(first - seeds.start, last - seeds.start)
        for name, table in self.flags.items():  # what an earlier call counted there stays
            table[:, columns] |= outcomes[name].values
        self.counted.update((leaf, seed) for leaf, seed, _ in blocks)

    @property
    def classified(self) -> Outcomes:
        """What `lab.results.outcomes.classify` would return of the shards so far."""
        tables = {name: (("condition", "seed"), flag) for name, flag in self.flags.items()}
        return xr.Dataset(tables, self.labels.coords, self.labels.attrs)

    @property
    def seeds(self) -> list[tuple[int, int]]:
        """(seeds counted, seeds planned so far) of each condition."""
        manifest = self.run.manifest
        planned = manifest["leaf_seeds"]
        return [
            (int(done), planned[condition["leaf"]] if planned else manifest["seeds"]["count"])
            for condition, done in zip(manifest["conditions"], self.flags["trained"].sum(axis=1), strict=True)
        ]

    @property
    def names(self) -> list[str]:
        """Of the conditions."""
        return [condition["name"] for condition in self.run.manifest["conditions"]]

    @property
    def whole(self) -> bool:
        """Whether all that is planned so far has been counted."""
        return len(self.counted) == len(self.expected)

    @property
    def behind(self) -> int:
        """How many stored shards have not been counted yet."""
        return self.stored - len(self.counted | self.damaged)

    def summaries(self, only: Sequence[int] | None = None) -> tuple[summary.Summary, ...]:
        """Return a `lab.results.summary.Summary` of each condition so far.

        Args:
            only: indices of some conditions, instead of all.
        """
        return summary.summaries(self.classified, only=only)

    def counts(self) -> list[Counts]:
        """Return the `lab.statistics.Counts` of each condition so far."""
        outcomes = self.classified
        return [summary.condition_counts(outcomes, index) for index in range(len(self.names))]

    def trainers(self) -> tuple[list[str], list[str]]:
        """Return who trains the run, in words, and who may do so on other machines."""
        owners = holders(self.run.path)
        return [owner for owner, alive in owners if alive], [owner for owner, alive in owners if alive is None]

    def left(self, now: float | None = None) -> float | None:
        """Return about how many seconds are left at the pace since the run was last begun or gone on with.

        Args:
            now: seconds since the epoch; the present by default.

        Returns:
            None where no shard has been written since then.
        """
        locks = [file.stat().st_mtime for file in self.run.path.glob(".lock*")]
        recent = [written for written in self.times if written >= max(locks, default=math.inf)]
        if not recent:
            return None
        now = time.time() if now is None else now
        start, count = max(locks), len(recent)
        if count > ENOUGH * len({leaf for leaf, _ in self.expected}):
            start, count = min(recent), count - 1
        pace = max(1e-9, max(recent) - start) / count
        return max(0.0, pace * (len(self.expected) - self.stored) - (now - max(recent)))
