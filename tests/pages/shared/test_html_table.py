"""Small tables as HTML: what they show is text, whatever it holds."""

from __future__ import annotations

import re

from pages.shared.html_table import html_table
from tests.fakes import HOSTILE


def test_texts_stand_in_their_cells_and_are_never_interpreted() -> None:
    table = html_table(f'A "{HOSTILE}"', ["Token", "n < 2"], [[HOSTILE, "1,234"], ["a & b", "-5"]])
    assert HOSTILE not in table
    assert table.startswith('<table aria-label="A &quot;&lt;b&gt;x&lt;/b&gt;&quot;"')
    assert re.findall(r"<th [^>]*>(.*?)</th>", table) == ["Token", "n &lt; 2"]
    rows = [re.findall(r"<td [^>]*>(.*?)</td>", row) for row in re.findall(r"<tr>(.*?)</tr>", table)[1:]]
    assert rows == [["&lt;b&gt;x&lt;/b&gt;", "1,234"], ["a &amp; b", "-5"]]


def test_words_begin_at_the_left_and_numbers_end_at_the_right() -> None:
    table = html_table("t", ["a", "b", "c"], [["x", "1", "y"]], texts=(0, 2))
    assert re.findall(r"<td[^>]*text-align:(left|right)", table) == ["left", "right", "left"]
