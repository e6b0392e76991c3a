"""How every table for a terminal is laid out: title and caption on the left, and long cells folded, never cut."""

from collections.abc import Iterable

from rich.table import Table
from rich.text import Text


def table_of(title: str, columns: Iterable[str], caption: str | None = None) -> Table:
    """Return a `rich.table.Table` without rows.

    Args:
        title: above it.
        columns: their headings.
        caption: below it.
    """
    view = Table(
        title=Text(title),
        caption=None if caption is None else Text(caption),
        title_justify="left",
        caption_justify="left",
    )
    for column in columns:
        view.add_column(column, overflow="fold")
    return view
