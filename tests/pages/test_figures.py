"""Figures: what stands where, what is told apart, what is text."""

from __future__ import annotations

import re
from dataclasses import replace
from itertools import pairwise

import plotly.graph_objects as go
import pytest

from engine.circuits.graph import Graph
from engine.runs.rows import LayerLens, NodeLens
from pages.figures import palette
from pages.figures.lens import ModelLens, component_lens, residual_figure
from pages.figures.token_label import as_text
from pages.shared.state import k_options

GRAPH = Graph(3, 2)
PALETTE = palette.LIGHT


def trace(drawn: go.Figure, name: str) -> go.Scatter:
    return next(entry for entry in drawn.data if entry.name == name)


@pytest.mark.parametrize(
    ("token", "shown"),
    [
        ("<b>x</b>", "&lt;b&gt;x&lt;/b&gt;"),
        (" the", "␣the"),
        ("\n", "⏎"),
        ("", "∅"),
        ("`x`", "`x`"),
        ("a&b", "a&amp;b"),
        ("\x00", "\\x00"),
        ("x" * 40, "x" * 17 + "…"),
    ],
)
def test_tokens_are_shown_and_never_interpreted(token: str, shown: str) -> None:
    assert as_text(token) == shown


def test_a_lens_shows_every_token_beside_its_own_bar() -> None:
    arm = NodeLens(0, 1, 0.5, -0.5, 1.0, 0.9, ("<b>x</b>", "Mary"), ("Mary", "to"), (2.0, 1.0), (-4.0, -1.0))
    mdm = replace(arm, promoted=("a&b", "Mary"), promoted_logit=(0.4, 0.2))
    drawn = component_lens([ModelLens("arm", "ARM", arm), ModelLens("mdm", "MDM", mdm)], "Mary", "<b>x</b>", PALETTE)
    tables = re.findall(r"<table.*?</table>", drawn)
    row = r">([^<>]*)(?: <span[^>]*>([^<]*)</span>)?</th><td.*?<div style=\"width:([0-9.]+)%.*?<span>([^<]*)<"
    rows = [re.findall(row, table) for table in tables]
    hostile, down = "&lt;b&gt;x&lt;/b&gt;", [("Mary", "(answer)", "100.0", "-4.00"), ("to", "", "25.0", "-1.00")]
    pair = [("Mary", "(answer)", "12.5", "+0.50"), (hostile, "(foil)", "12.5", "-0.50")]
    assert rows[0] == [*pair, (hostile, "(foil)", "50.0", "+2.00"), ("Mary", "(answer)", "25.0", "+1.00"), *down]
    assert rows[1] == [*pair, ("a&amp;b", "", "10.0", "+0.40"), ("Mary", "(answer)", "5.0", "+0.20"), *down]
    assert "<b>x" not in drawn


def test_the_residual_lens_escapes_the_tokens_it_tells() -> None:
    rows = [LayerLens(0, layer, 0.1 * layer, 0.2, 1.0, 3, 4, ("<b>x</b>",), (0.5,)) for layer in range(33)]
    drawn = residual_figure({"arm": rows, "mdm": rows[:3]}, {"arm": "ARM", "mdm": "control"}, PALETTE)
    assert [trace.name for trace in drawn.data] == ["ARM answer", "ARM foil", "control answer", "control foil"]
    answer = trace(drawn, "control answer")
    assert list(answer.y) == pytest.approx([0, 0.1, 0.2])
    assert set(answer.customdata) == {"&lt;b&gt;x&lt;/b&gt;"}
    assert drawn.layout.xaxis.ticktext[:2] == ("emb.", "2") and len(drawn.layout.xaxis.ticktext) <= 14


@pytest.mark.parametrize("n_edges", [3628, 57, 1_592_881])
def test_k_goes_from_ten_to_all_edges_through_round_numbers(n_edges: int) -> None:
    options = k_options(n_edges)
    assert options[0] == 10
    assert options[-1] == n_edges
    assert options == sorted(set(options))
    assert {k for k in (10, 20, 50, 100, 200, 500, 1000, 2000) if k <= n_edges} <= set(options)
    assert all(above / below < 1.5 for below, above in pairwise(options))


@pytest.mark.parametrize("colours", [palette.LIGHT, palette.DARK])
def test_every_colour_can_be_seen_on_its_background(colours: palette.Palette) -> None:
    def luminance(colour: str) -> float:
        parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return sum(w * p for w, p in zip((0.2126, 0.7152, 0.0722), linear, strict=True))

    ground = luminance(colours.background)
    for colour, least in (
        (colours.shared, 3),
        (colours.arm, 3),
        (colours.mdm, 3),
        (colours.neutral, 4.5),
        (colours.text, 7),
    ):
        light, dark = sorted((luminance(colour), ground), reverse=True)
        assert (light + 0.05) / (dark + 0.05) >= least
