"""A report as Markdown with tables (GitHub's), and its pictures as SVG files that stand beside it.

Every text is escaped, so that none of its characters means anything in Markdown or HTML.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from engine.exchange.report_parts import Block, Grid, Paragraph, Picture, Report, Section

MEANING = re.compile(r"([\\`*_\[\]<>#|~$&@]|:(?=\S))")  # anywhere in a line; the colon: addresses and emoji
AT_START = re.compile(r"^([-+=])")
NUMBERED = re.compile(r"^(\d+)([.)])")
ADDRESS = re.compile(r"(www)\.", re.IGNORECASE)  # which is made a link
NAMESPACE = 'xmlns="http://www.w3.org/2000/svg"'  # a file of its own needs it


def markdown_of(report: Report, stem: str) -> tuple[str, list[str]]:
    """The text, and the content of the files STEM-1.svg, STEM-2.svg and so on, which it shows."""
    pictures: list[str] = []
    parts = [f"# {escaped(report.title)}"]
    for section in report.sections:
        parts += _section(section, 2, stem, pictures)
    return "\n\n".join(parts) + "\n", pictures


def escaped(text: str) -> str:
    """A text in one line in which no character means anything but itself."""
    line = " ".join(text.split())
    for pattern, replacement in (
        (MEANING, r"\\\1"), (AT_START, r"\\\1"), (NUMBERED, r"\1\\\2"), (ADDRESS, r"\1\\."),
    ):  # fmt: skip
        line = pattern.sub(replacement, line)
    return line


def _section(section: Section, level: int, stem: str, pictures: list[str]) -> Iterator[str]:
    yield f"{'#' * level} {escaped(section.title)}"
    for block in section.blocks:
        yield from _block(block, stem, pictures)
    for inner in section.sections:
        yield from _section(inner, level + 1, stem, pictures)


def _block(block: Block, stem: str, pictures: list[str]) -> Iterator[str]:
    if isinstance(block, Paragraph):
        yield escaped(block.text)
    elif isinstance(block, Picture):
        pictures.append(block.svg.replace("<svg ", f"<svg {NAMESPACE} ", 1) + "\n")
        yield f"![{escaped(block.caption)}](<{_address(stem)}-{len(pictures)}.svg>)"
        yield escaped(block.caption)
    else:
        yield escaped(block.caption)
        yield _grid(block)


def _grid(grid: Grid) -> str:
    lines = [grid.head, [":---" if column in grid.texts else "---:" for column in range(len(grid.head))]]
    rows = [_row([_cell(cell) for cell in lines[0]]), _row(lines[1])]
    return "\n".join([*rows, *(_row([_cell(cell) for cell in row]) for row in grid.rows)])


def _cell(text: str) -> str:
    """Within a table nothing begins a line."""
    return ADDRESS.sub(r"\1\\.", MEANING.sub(r"\\\1", " ".join(text.split())))


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _address(stem: str) -> str:
    """A file's name within the angle brackets of an address."""
    return re.sub(r"([\\<>])", r"\\\1", stem)
