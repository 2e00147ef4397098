"""What a report is made of: sections of paragraphs, tables and pictures, in plain text that renderers escape."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field


@dataclass(frozen=True)
class Paragraph:
    text: str
    small: bool = False  # where numbers come from, and what is missing


@dataclass(frozen=True)
class Grid:
    """A table; every row has as many cells as the head. `texts`: columns that hold text, by index; others numbers."""

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    texts: Sequence[int] = (0,)

    def __post_init__(self) -> None:
        if any(len(row) != len(self.head) for row in self.rows):
            raise ValueError(f"a row of {self.caption!r} has not as many cells as its head")


@dataclass(frozen=True)
class Picture:
    """`svg`: an <svg> element whose texts are escaped; its title stands for it where it can't be seen."""

    svg: str
    caption: str


Block = Paragraph | Grid | Picture


@dataclass(frozen=True)
class Section:
    title: str
    blocks: Sequence[Block]
    sections: Sequence[Section] = field(default=())


@dataclass(frozen=True)
class Report:
    title: str
    sections: Sequence[Section]
