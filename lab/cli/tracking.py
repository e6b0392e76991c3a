"""What `lab run --tracker` mirrors: the config at first, each condition as it is complete, the table at the end."""

import contextlib
import time

from lab import report
from lab.cli.console import UsageError, errors

PROJECT = "proxy-lab"


class Mirror:
    """Follows one sweep and tells a `lab.report.trackers.Tracker`."""

    def __init__(self, tracker):
        self.tracker, self.begun, self.told = tracker, False, set()

    def _begin(self, stored):
        if not self.begun:
            self.begun = True
            keys = ("name", "hash", "question", "proxy", "baseline", "confidence", "block_width")
            config = {key: stored.manifest[key] for key in keys}
            # versions on top, where a tracker can filter by them; and how to find the models behind the numbers
            config |= stored.manifest["identity"] | {"folder": stored.path.resolve().name}
            config["config"] = stored.manifest["config"]
            self.tracker.send(begin={"project": PROJECT, "name": stored.path.resolve().name, "config": config})

    def _tell(self, row):
        self.told.add((row.name, row.counts.seeds))
        self.tracker.send(condition=row.name, numbers=report.numbers(row))

    def follow(self, tally, limit):
        """Tell of conditions whose seeds are complete; about `limit` seconds of this thread at most."""
        self._begin(tally.run)
        end = time.thread_time() + limit
        for index, (name, (done, planned)) in enumerate(zip(tally.names, tally.seeds, strict=True)):
            if done == planned and (name, done) not in self.told and time.thread_time() < end:
                self._tell(*tally.summaries([index]))

    def end(self, stored, rows):
        """Tell of all that is left, and the table."""
        self._begin(stored)
        for row in rows:
            if (row.name, row.counts.seeds) not in self.told:
                self._tell(row)
        self.tracker.send(end=report.text_table(rows))


@contextlib.contextmanager
def mirrored(kind):
    """Give a `Mirror` to a tracker of this kind, or None for None. Raises `UsageError` where it is not installed."""
    if kind is None:
        yield None
        return
    from lab.report.trackers import Tracker

    try:
        tracker = Tracker(kind, lambda line: errors.print(line, markup=False, soft_wrap=True))
    except ModuleNotFoundError as error:
        raise UsageError(str(error)) from None
    with tracker:
        yield Mirror(tracker)
