"""Counts of a run that may still be in progress, from its shards, each of which is read once.

It only reads, takes no lock and waits for nobody: shards are published whole, so what is there can be counted.
"""

import math
import time

import numpy as np
import xarray as xr

from lab.results import outcomes, summary
from lab.results.store import Run, holders

BLOCKS_AT_ONCE = 64
GROWS = ("seeds", "leaf_seeds")  # what a manifest changes from look to look; anything else makes it another run


class Tally:
    """What is known so far of a run.

    Attributes:
        run: the `lab.results.store.Run`, opened again whenever its manifest changes.
        expected: keys (leaf, first seed) of all shards of the run as far as it is planned, in order.
        counted: keys of those that have been read.
        damaged: keys of those that cannot be read, which `lab run` computes again.
        stored: how many shards there are, read or not.
    """

    def __init__(self, path):
        """Open a run; nothing is read yet. Raises `lab.results.store.StoreError` as `lab.results.store.Run` does."""
        self.run = Run(path)
        self._began()

    def _began(self):
        self.counted, self.damaged, self.stored, self.written = set(), set(), 0, []
        self.expected = self._expected()
        self.version = self._version()
        empty = self._classify([], range(0))
        self.labels = empty.drop_dims("seed")
        self.flags = {name: empty[name].values for name in empty}
        self._widen()

    def _expected(self):
        """Keys of the shards, as those of a dict: block by block, and there in the order of the conditions."""
        return dict.fromkeys(sorted(outcomes.expected_shards(self.run.manifest), key=lambda key: key[1]))

    def _version(self):
        return (self.run.path / "manifest.json").stat().st_mtime_ns

    def _widen(self):
        """Make room for the seeds that the manifest names now."""
        count = self.run.manifest["seeds"]["count"]
        self.flags = {name: np.pad(flag, ((0, 0), (0, count - flag.shape[1]))) for name, flag in self.flags.items()}

    def _classify(self, shards, seeds):
        return outcomes.classify(outcomes.assemble(self.run.manifest, shards, seeds, last_only=True))

    def update(self, limit=math.inf):
        """Count shards that are new, for about `limit` seconds of this thread at most; return whether there were any.

        Raises:
            StoreError: the run's folder holds what is none of its shards, or two results for one.
        """
        end = time.thread_time() + limit
        if self._version() != self.version:  # a run that stops by a rule has gone on to its next look
            before, self.run = self.run, Run(self.run.path)
            if any(self.run.manifest[key] != before.manifest[key] for key in before.manifest if key not in GROWS):
                self._began()
            self.version, self.expected = self._version(), self._expected()
            self._widen()
        manifest = self.run.manifest
        files = {key: path for key, path in self.run.shards().items() if key in self.expected}
        self.stored = len(files)
        new = [key for key in self.expected if key in files and key not in self.counted]
        first, window = manifest["seeds"]["first"], BLOCKS_AT_ONCE * manifest["block_width"]
        pieces = {}
        for leaf, seed in new:
            try:
                block, written = self.run.read(files[leaf, seed]), files[leaf, seed].stat().st_mtime
            except ValueError:
                self.damaged.add((leaf, seed))
            except FileNotFoundError:  # set aside while this was reading
                continue
            else:
                self.damaged.discard((leaf, seed))
                self.written.append(written)
                pieces.setdefault((seed - first) // window, []).append((leaf, seed, block))
            if time.thread_time() > end:
                break
        for shards in pieces.values():
            self._add(shards)
        return bool(pieces)

    def _add(self, shards):
        seeds = outcomes.all_seeds(self.run.manifest)
        first = min(seed for _, seed, _ in shards)
        last = min(seeds.stop, max(seed + len(block["seed"]) for _, seed, block in shards))
        own = self._classify(shards, range(first, last))
        place = first - self.run.manifest["seeds"]["first"]
        for name, table in self.flags.items():  # what an earlier call counted there stays
            table[:, place : place + last - first] |= own[name].values
        self.counted.update((leaf, seed) for leaf, seed, _ in shards)

    @property
    def classified(self):
        """What `lab.results.outcomes.classify` would return of the shards so far."""
        tables = {name: (("condition", "seed"), own) for name, own in self.flags.items()}
        return xr.Dataset(tables, self.labels.coords, self.labels.attrs)

    @property
    def seeds(self):
        """(seeds counted, seeds planned so far) of each condition."""
        manifest = self.run.manifest
        planned = manifest["leaf_seeds"]
        return [
            (int(done), planned[condition["leaf"]] if planned else manifest["seeds"]["count"])
            for condition, done in zip(manifest["conditions"], self.flags["trained"].sum(axis=1), strict=True)
        ]

    @property
    def names(self):
        """Of the conditions."""
        return [condition["name"] for condition in self.run.manifest["conditions"]]

    @property
    def whole(self):
        """Whether all that is planned so far has been counted."""
        return len(self.counted) == len(self.expected)

    @property
    def behind(self):
        """How many stored shards have not been counted yet."""
        return self.stored - len(self.counted | self.damaged)

    def summaries(self, only=None):
        """Return a `lab.results.summary.Summary` of each condition so far, or of some by their indices."""
        return summary.summaries(self.classified, only=only)

    def trainers(self):
        """Return who trains the run, in words, and who may do so on other machines."""
        found = holders(self.run.path)
        return [owner for owner, alive in found if alive], [owner for owner, alive in found if alive is None]

    def left(self, now=None):
        """Return about how many seconds are left at the pace since the run was last begun or gone on with, or None."""
        locks = [file.stat().st_mtime for file in self.run.path.glob(".lock*")]
        since = [written for written in self.written if written >= max(locks, default=math.inf)]
        if not since:
            return None
        now = time.time() if now is None else now
        start, count = max(locks), len(since)
        if count > 5 * len({leaf for leaf, _ in self.expected}):  # enough of them to leave out the time of compiling
            start, count = min(since), count - 1
        pace = max(1e-9, max(since) - start) / count
        return max(0.0, pace * (len(self.expected) - self.stored) - (now - max(since)))
