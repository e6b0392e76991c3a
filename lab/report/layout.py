"""How every table and sentence is laid out for a terminal: no word is broken, and nothing falls off the edge.

A `Sheet` fits the width that it is printed at. Where its cells do not fit side by side, intervals stand below their
values; then long text goes below its row; then the last columns follow in a second table, with the names again.
"""

import math
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property

from rich.cells import cell_len, chop_cells
from rich.console import Console, ConsoleOptions, RenderResult
from rich.text import Text

from lab.words import printable

GAP = 2  # between two columns
READABLE = 24  # columns that a name has, and other text where it can
SHORT = 12  # columns of a cell that stays on one line where it can
FEWEST = 80  # columns that a title and a caption may fill below a narrow table
INDENT = "  "
# what stays on one line: "at least 15", "5% to 10%", "weight 0.3", an interval, a symbol such as P(T|not A); any word
UNIT = re.compile(
    r"at (?:least|most) \S+|[^\W\d]\w* -?\d[\d.]*%?,?(?= |\n|$)|-?[\d.]+%? to -?[\d.]+%?(?=[ ,;:)]|$)|\[[^\]]*\]\S*"
    r"|\S*\((?:at (?:least|most) )?[^\s()]+(?: [^\s()]+)?\)\S*|\S+"
)
JOINT = re.compile(r"(?<=[_=/.,-])")  # where a name that is wider than its column is broken


def wrapped(text: str, width: int, hanging: str = "") -> list[str]:
    """Return text in lines of at most so many columns, broken between words and never within an interval.

    Args:
        text: of any number of lines.
        width: of the lines.
        hanging: what lines begin with that continue another.
    """
    lines = []
    for line in text.split("\n"):
        if cell_len(line) <= width:
            lines.append(line)
            continue
        start = line[: len(line) - len(line.lstrip())]
        current, empty = start, True
        for unit in (part for whole in UNIT.findall(line) for part in _pieces(whole, width - cell_len(hanging))):
            if not empty and cell_len(current) + 1 + cell_len(unit) > width:
                lines.append(current)
                current, empty = hanging, True
            current += unit if empty else f" {unit}"
            empty = False
        lines.append(current)
    return lines


def _pieces(unit: str, width: int) -> list[str]:
    """Return a unit as one piece if it fits, or else in the fewest pieces that do, broken where names have joints."""
    if cell_len(unit) <= width:
        return [unit]
    if " " in unit:
        return [piece for word in unit.split() for piece in _pieces(word, width)]
    pieces = [""]
    for part in (piece for joint in JOINT.split(unit) for piece in chop_cells(joint, max(1, width))):
        if pieces[-1] and cell_len(pieces[-1]) + cell_len(part) > width:
            pieces.append("")
        pieces[-1] += part
    return pieces


@dataclass(frozen=True)
class Row:
    """A row of a sheet: its cells, or the heading of what follows, or neither, which is an empty line."""

    cells: tuple[str, ...] = ()
    heading: str = ""
    style: str = ""


@dataclass(frozen=True)
class Block:
    """Columns that stand side by side.

    Attributes:
        widths: index of a column -> its width.
        below: indices of the columns whose cells go below their row.
    """

    widths: dict[int, int]
    below: tuple[int, ...] = ()

    @property
    def width(self) -> int:
        """The columns of a terminal that it takes."""
        return sum(self.widths.values()) + GAP * (len(self.widths) - 1)


class Sheet:
    """A table for a terminal of any width, with a title above and a caption below."""

    def __init__(self, title: str, columns: Sequence[str], caption: str = "", optional: tuple[str, str] | None = None):
        """Have no rows yet.

        Args:
            title: above it.
            columns: their headings; the first one holds the names of rows.
            caption: below it.
            optional: the column that is left out where it would take another block, and what the caption says of it.
        """
        self.title, self.caption = printable(title), printable(caption)
        self.columns, self.rows = tuple(map(printable, columns)), list[Row]()
        heading, self.about_optional = optional or ("", "")
        self.optional = self.columns.index(heading) if optional else None

    def add_row(self, *cells: str, style: str = "") -> None:
        """Add a row; cells that are not given are empty."""
        self.rows.append(Row((*map(printable, cells), *[""] * (len(self.columns) - len(cells))), style=style))

    def add_heading(self, words: str) -> None:
        """Begin a section of rows that a line says something of."""
        self.rows += [Row(), Row(heading=printable(words), style="bold")]

    # --- how wide columns are -------------------------------------------------------------------------------------

    @cached_property
    def _cells(self) -> list[list[str]]:
        """The cells of each column."""
        return [[row.cells[index] for row in self.rows if row.cells] for index in range(len(self.columns))]

    @cached_property
    def _natural(self) -> list[int]:
        """The width of each column in which every cell is on one line."""
        widths = [max(map(_width, cells), default=0) for cells in self._cells]
        return [max(width, _least(heading)) for width, heading in zip(widths, self.columns, strict=True)]

    @cached_property
    def _headed(self) -> list[int]:
        """The width of each column in which every cell and the heading is on one line."""
        return [max(width, _width(heading)) for width, heading in zip(self._natural, self.columns, strict=True)]

    @cached_property
    def _narrow(self) -> list[int]:
        """The width of each column in which no unit is broken."""
        every = [[heading, *cells] for heading, cells in zip(self.columns, self._cells, strict=True)]
        return [max(map(_least, cells)) for cells in every]

    @cached_property
    def _prose(self) -> set[int]:
        """The columns of text that may have many lines, not of numbers."""
        return {
            index
            for index, cells in enumerate(self._cells)
            if self._natural[index] > SHORT and any(len(UNIT.findall(cell)) > 2 for cell in cells)
        }

    def _side_by_side(self, columns: Sequence[int], width: int, least: int = READABLE) -> Block | None:
        """Return how columns stand side by side in a width, or None if they do not fit."""
        room, name = width - GAP * (len(columns) - 1), columns[0]
        texts = [index for index in columns if index in self._prose or index == name]
        needed = {
            index: max(self._narrow[index], min(self._natural[index], READABLE if index == name else least))
            for index in texts
        }
        for widths in (self._headed, self._natural, self._narrow):
            fixed = {index: widths[index] for index in columns if index not in needed}
            left = room - sum(fixed.values())
            if sum(needed.values()) <= left:
                shared = _share(left, [(needed[index], self._natural[index]) for index in texts])
                found = fixed | dict(zip(texts, shared, strict=True))
                return Block({index: found[index] for index in columns})
        return None

    def blocks(self, width: int) -> list[Block]:
        """Return which columns stand side by side in a width, and what follows below.

        Args:
            width: columns of the terminal.
        """
        every = list(range(len(self.columns)))
        without = [index for index in every if index != self.optional]
        found = self._blocks(without, width)
        if self.optional is not None and len(more := self._blocks(every, width)) <= len(found):
            return more
        return found

    def _blocks(self, columns: Sequence[int], width: int) -> list[Block]:
        """Return the fewest blocks that hold these columns, with as little below their rows as may be."""
        if whole := self._side_by_side(columns, width):
            return [whole]
        texts = sorted(self._prose & set(columns[1:]), key=lambda index: -self._natural[index])
        below = [index for index in texts if self._natural[index] > READABLE]
        for count in range(1, len(below) + 1):
            beside = [index for index in columns if index not in below[:count]]
            if rest := self._side_by_side(beside, width):
                return [Block(rest.widths, tuple(sorted(below[:count])))]
        if tight := self._side_by_side(columns, width, least=SHORT):
            return [tight]
        return self._continued([index for index in columns if index not in below], tuple(sorted(below)), width)

    def _continued(self, columns: Sequence[int], below: tuple[int, ...], width: int) -> list[Block]:
        """Return as many blocks as it takes, each with the names of rows and as many columns as fit beside them."""
        name, rest = columns[0], list(columns[1:])
        for count in range(1, len(rest) + 1):
            most = math.ceil(len(rest) / count)
            parts = [[name, *rest[start : start + most]] for start in range(0, len(rest), most)]
            found = [self._side_by_side(part, width, least=SHORT) for part in parts]
            if most == 1 or all(found):
                pairs = zip(found, parts, strict=True)
                blocks = [block or self._squeezed(name, part[1], width) for block, part in pairs]
                return [Block(blocks[0].widths, below), *blocks[1:]]
        return [Block({name: width}, below)]

    def _squeezed(self, name: int, column: int, width: int) -> Block:
        """Return the names of rows beside one column where even that is too wide: names are broken at their joints."""
        of_column = min(self._narrow[column], max(1, (width - GAP) // 2))
        return Block({name: max(1, width - GAP - of_column), column: of_column})

    # --- what is printed ------------------------------------------------------------------------------------------

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        """Return the lines of the table at the width of a console."""
        width = options.max_width
        blocks = self.blocks(width)
        prose_width = min(width, max(FEWEST, *(block.width for block in blocks)))
        if self.title:
            yield from (_line(line) for line in wrapped(self.title, prose_width))
        for block in blocks:
            yield from self._lines(block, prose_width)
        drawn = any(self.optional in block.widths for block in blocks)
        caption = " ".join(filter(None, [self.caption, self.about_optional if drawn else ""]))
        if caption:
            yield from (_line(line, "italic dim") for line in wrapped(caption, prose_width))

    def _lines(self, block: Block, width: int) -> Iterator[Text]:
        """Return the lines of columns that stand side by side: headings, a rule, rows, and an empty line."""
        if any(self.columns[index] for index in block.widths):
            yield from _beside([self.columns[index] for index in block.widths], block, "bold", bottom=True)
        yield _line("─" * block.width)
        previous = None
        for row in self.rows:
            if row.cells:
                yield from _beside([row.cells[index] for index in block.widths], block, row.style)
                for text in (self._below(row, index) for index in block.below if row.cells[index]):
                    yield from (_line(INDENT + line) for line in wrapped(text, width - len(INDENT), INDENT))
            elif row.heading:
                yield from (_line(line, row.style) for line in wrapped(row.heading, width, INDENT))
            elif previous is not None:
                yield _line("")
            previous = row
        yield _line("")

    def _below(self, row: Row, index: int) -> str:
        """Return a cell that stands below its row, with what it is called."""
        heading = self.columns[index]
        return f"{heading}: {row.cells[index]}" if heading else row.cells[index]


def _width(text: str) -> int:
    """Return the width of text with its own line breaks."""
    return max(map(cell_len, text.split("\n")))


def _least(text: str) -> int:
    """Return the width of the widest unit of text."""
    return max(map(cell_len, UNIT.findall(text)), default=0)


def _share(room: int, ranges: Sequence[tuple[int, int]]) -> list[int]:
    """Share room among columns, each at least as wide as it needs and at most as wide as its text.

    Args:
        room: what there is for all; at least the sum of what they need.
        ranges: what each column needs, and the width of its text on one line.
    """
    widths = [needed for needed, _ in ranges]
    for _ in range(room - sum(widths)):
        growing = [index for index, (_, most) in enumerate(ranges) if widths[index] < most]
        if not growing:
            break
        widths[min(growing, key=lambda index: widths[index] / ranges[index][1])] += 1
    return widths


def _line(text: str, style: str = "") -> Text:
    return Text(text.rstrip(), style=style, no_wrap=True, overflow="ignore")


def _beside(cells: Sequence[str], block: Block, style: str = "", bottom: bool = False) -> Iterator[Text]:
    """Return the lines of cells side by side, each wrapped in its column; at the bottom if headings are."""
    columns = [wrapped(cell, width) for cell, width in zip(cells, block.widths.values(), strict=True)]
    height = max(map(len, columns))
    for column in columns:
        empty = [""] * (height - len(column))
        column[:] = [*empty, *column] if bottom else [*column, *empty]
    for parts in zip(*columns, strict=True):
        padded = (
            part + " " * (width - cell_len(part)) for part, width in zip(parts, block.widths.values(), strict=True)
        )
        yield _line((" " * GAP).join(padded), style)
