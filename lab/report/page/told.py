"""A run as the page tells of it."""

from typing import NamedTuple

import xarray as xr

from lab.report.page.names import Names, condition_names
from lab.results import summary
from lab.results.summary import Summary
from lab.words import Json


class Told(NamedTuple):
    """A run as the page tells of it.

    Attributes:
        results: with all checkpoints.
        manifest: of the run.
        rows: what `lab.summarise` returned for its last checkpoint.
        names: of its conditions.
        suffix: of what is named after it on the page: empty for the first run.
    """

    results: xr.Dataset
    manifest: Json
    rows: tuple[Summary, ...]
    names: Names
    suffix: str

    @property
    def last(self) -> xr.Dataset:
        """The results at the end of training."""
        return self.results.isel(checkpoint=slice(-1, None))


def told(results: xr.Dataset, manifest: Json, suffix: str = "") -> Told:
    """Return a run as the page tells of it.

    Args:
        results: what `lab.results.shards.results` returned, with all checkpoints.
        manifest: of the run.
        suffix: as there.
    """
    rows = summary.summarise(results.isel(checkpoint=slice(-1, None)))
    return Told(results, manifest, rows, condition_names(rows), suffix)
