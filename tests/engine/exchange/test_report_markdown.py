"""Markdown shows every text as it is, has rectangular tables, and names its pictures."""

from __future__ import annotations

import re

import pytest

from engine.exchange.report_markdown import escaped, markdown_of
from engine.exchange.report_parts import Grid, Paragraph, Picture, Report, Section

HOSTILE = "<b>a</b> | `x` *y* _z_ [l](http://a.b) ![p](q) # & $1$ ~~s~~ @me www.a.b\n- 1. :smile: \\"


def rows(markdown: str) -> list[list[str]]:
    """The cells of all table rows: what stands between bars that are not escaped."""
    lines = [line for line in markdown.splitlines() if line.startswith("| ")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def plain(text: str) -> str:
    """What is shown of an escaped text."""
    return re.sub(r"\\(.)", r"\1", text)


@pytest.mark.parametrize("character", list("\\`*_[]<>#|~$&@"))
def test_characters_with_a_meaning_are_escaped(character: str) -> None:
    assert escaped(f"a{character}b") == f"a\\{character}b"


def test_escaping_loses_nothing_but_white_space() -> None:
    assert plain(escaped(HOSTILE)) == " ".join(HOSTILE.split())
    assert not re.search(r"(?<!\\)[<>`*_\[\]|@$~]", escaped(HOSTILE))
    assert "http\\://" in escaped(HOSTILE) and "www\\." in escaped(HOSTILE)
    assert (escaped("- a"), escaped("1. a"), escaped("+ a"), escaped("a - 1. b")) == (
        "\\- a", "1\\. a", "\\+ a", "a - 1. b",
    )  # fmt: skip


def test_tables_are_rectangular_whatever_is_in_them() -> None:
    grid = Grid(HOSTILE, ("a", HOSTILE, "c"), [("-0.5", HOSTILE, "1"), ("2", "", HOSTILE)], (0, 1))
    text, pictures = markdown_of(Report(HOSTILE, [Section(HOSTILE, [grid])]), "r")
    table = rows(text)
    assert [len(row) for row in table] == [3] * 4 and table[1] == [":---", ":---", "---:"]
    shown = " ".join(HOSTILE.split())
    assert [[plain(cell) for cell in row] for row in (table[0], *table[2:])] == [
        ["a", shown, "c"], ["-0.5", shown, "1"], ["2", "", shown],
    ]  # fmt: skip
    assert pictures == [] and text.endswith("\n") and text.startswith("# ")


def test_pictures_are_files_of_their_own() -> None:
    drawn = [Picture(f"<svg viewBox='{i}'></svg>", f"caption {i}") for i in (1, 2)]
    section = Section("s", [drawn[0], Paragraph("between")], [Section("u", [drawn[1]])])
    text, pictures = markdown_of(Report("t", [section]), "a <b")
    assert "(<a \\<b-1.svg>)" in text and "(<a \\<b-2.svg>)" in text and "### u" in text
    assert pictures == [
        f"<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox='{i}'></svg>\n" for i in (1, 2)
    ]  # fmt: skip
