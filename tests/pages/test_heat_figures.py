"""Heat maps: cells where their labels are, text that can be read, clicks that say which cell."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from pages.figures import heat, palette
from pages.figures.heat import Grid
from pages.figures.palette import Palette


def luminance(colour: str) -> float:
    """Relative luminance as WCAG 2 defines it."""
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def contrast(first: str, second: str) -> float:
    bright, dim = sorted((luminance(first), luminance(second)), reverse=True)
    return (bright + 0.05) / (dim + 0.05)


@pytest.mark.parametrize("colours", [palette.LIGHT, palette.DARK], ids=["light", "dark"])
@pytest.mark.parametrize("name", ["arm", "mdm", "shared"])
def test_text_can_be_read_on_every_shade(colours: Palette, name: str) -> None:
    colour = getattr(colours, name)
    for share in np.linspace(0, heat.DEEPEST, 20):
        assert contrast(colours.text, heat.blend(colours.background, colour, float(share))) >= 4.5


def test_two_colours_mix_in_shares() -> None:
    assert heat.blend("#000000", "#FF8040", 0.5) == "#804020"
    assert heat.blend("#102030", "#FFFFFF", 0) == "#102030"
    assert heat.blend("#102030", "#405060", 1) == "#405060"


def test_the_first_row_is_on_top_and_every_cell_beside_its_label() -> None:
    drawn = heat.heat_figure(Grid(np.eye(2, 3), ["up", "down"], ["a", "b", "c"]), "#0072B2", palette.LIGHT)
    low, high = drawn.layout.yaxis.range
    assert low > high  # the axis points down
    assert dict(zip(drawn.layout.yaxis.tickvals, drawn.layout.yaxis.ticktext, strict=True)) == {0: "up", 1: "down"}
    assert dict(zip(drawn.layout.xaxis.tickvals, drawn.layout.xaxis.ticktext, strict=True)) == {0: "a", 1: "b", 2: "c"}
    cells = drawn.data[0]
    assert [list(row) for row in cells.z] == [[1, 0, 0], [0, 1, 0]]
    assert (list(cells.x), list(cells.y)) == ([0, 1, 2], [0, 1])


@pytest.mark.parametrize(("count", "shown"), [(1, 1), (34, 34), (35, 18), (200, 34), (0, 0)])
def test_at_most_so_many_labels_are_shown(count: int, shown: int) -> None:
    labels = heat.thinned(count, 34)
    assert len(labels) == shown
    assert len({b - a for a, b in pairwise(labels)}) <= 1


def test_a_box_goes_around_its_cell() -> None:
    line = heat.outlines([(3, 5), (0, 1)], "#000000", "box")
    x, y = np.array(line.x, dtype=float).reshape(2, 6), np.array(line.y, dtype=float).reshape(2, 6)
    for row, column, i in ((3, 5, 0), (0, 1, 1)):
        assert np.isnan(x[i, 5])
        assert (x[i, :5].min() + x[i, :5].max()) / 2 == pytest.approx(column)
        assert (y[i, :5].min() + y[i, :5].max()) / 2 == pytest.approx(row)
        assert 0.8 < np.ptp(x[i, :5]) < 1
        assert (x[i, 0], y[i, 0]) == (x[i, 4], y[i, 4])
