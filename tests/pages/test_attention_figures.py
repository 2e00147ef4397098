"""The attention panel's figures: weights at their tokens, roles, scores among all heads, and what a head is called."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from engine.runs.rows import Head, KeptInput, RoleAttention
from pages.figures import attention as drawing
from pages.figures import palette

PALETTE = palette.LIGHT
HOSTILE = "<b>x</b>"


def kept(n: int = 4, start: int = 3) -> KeptInput:
    tokens = (HOSTILE, *(f"w{i}" for i in range(1, n - 1)), "<mask>")
    return KeptInput(0, 0, "step-00", tokens, ("other",) * n, start)


def head(node: int, **scores: float) -> Head:
    return replace(Head(node, 1.0, 2.0, 3.0, 0.0, 0.0, 0.0, 0.0), **scores)


def test_a_weight_stands_at_its_query_and_key_and_tells_both() -> None:
    pattern = np.zeros((4, 4))
    pattern[3, 0], pattern[1, 2] = 0.75, 0.25
    drawn = drawing.pattern_figure(kept(), pattern, "mdm", 0.75, PALETTE)
    cells = drawn.data[0]
    assert cells.z[3][0] == 0.75 and cells.z[1][2] == 0.25
    assert cells.zmax == 0.75
    assert cells.customdata[3][0] == "&lt;mask&gt; (3) attends to &lt;b&gt;x&lt;/b&gt; (0): 0.75"
    assert cells.customdata[1][2] == "w1 (1) attends to w2 (2): 0.25"
    assert drawn.layout.yaxis.title.text == "query token"
    assert list(drawn.layout.yaxis.ticktext) == ["&lt;b&gt;x&lt;/b&gt;", "w1", "w2", "&lt;mask&gt;"]


def test_lines_mark_where_the_answer_begins() -> None:
    shapes = drawing.pattern_figure(kept(5, 3), np.eye(5), "arm", 1.0, PALETTE).layout.shapes
    assert {(shape.x0, shape.x1) for shape in shapes if shape.yref == "y domain"} == {(2.5, 2.5)}
    assert {(shape.y0, shape.y1) for shape in shapes if shape.xref == "x domain"} == {(2.5, 2.5)}


def test_long_inputs_get_fewer_labels_and_short_hovers() -> None:
    drawn = drawing.pattern_figure(kept(80), np.eye(80), "arm", 1.0, PALETTE)
    assert (len(drawn.layout.xaxis.ticktext), len(drawn.layout.yaxis.ticktext)) == (20, 27)
    assert drawn.data[0].customdata[79][2] == "token 79 attends to token 2: 0.00"


def test_a_pattern_of_a_long_input_fits_on_a_screen() -> None:
    heights = [drawing.pattern_figure(kept(n), np.eye(n), "arm", 1.0, PALETTE).layout.height for n in (10, 20, 40, 300)]
    assert heights[1] - heights[0] == 10 * 15
    assert max(heights) <= 900


def test_roles_stand_in_rows_of_queries_and_columns_of_keys() -> None:
    rows = [RoleAttention(5, "end", "second subject", 0.9, 64), RoleAttention(5, "second subject", "end", 0.125, 32)]
    drawn = drawing.role_figure(rows, ["second subject", "end"], "arm", PALETTE)
    cells = drawn.data[0]
    assert cells.z[1][0] == 0.9 and cells.z[0][1] == 0.125
    assert np.isnan(cells.z[0][0])
    assert [list(row) for row in cells.text] == [["", ".12"], [".90", ""]]
    assert cells.customdata[1][0] == "end attends to second subject: 0.900<br>mean of 64 queries"
    assert list(drawn.layout.yaxis.ticktext) == ["second subject", "end"]
    assert drawn.layout.yaxis.title.text == "query token" and drawn.layout.xaxis.title.text == "key token"


def test_a_head_stands_among_all_heads_of_its_model() -> None:
    heads = {
        "arm": [head(1, previous_token=0.9), head(2, previous_token=0.4), head(3, previous_token=0.6)],
        "mdm": [head(1, copying=-0.5), head(2, copying=0.5), head(3)],
    }
    drawn = drawing.score_figure(heads, 2, PALETTE)
    own = {trace.name: trace for trace in drawn.data if "this head" in trace.name}
    assert list(own["ARM, this head"].x) == [0.4, 0, 0, 0]
    assert list(own["MDM, this head"].x) == [0, 0, 0, 0.5]
    assert own["ARM, this head"].customdata[0] == "rank 3 of 3 heads"
    assert own["MDM, this head"].customdata[3] == "rank 1 of 3 heads"
    every = next(trace for trace in drawn.data if trace.name == "ARM, every head")
    assert sorted(x for x, y in zip(every.x, every.y, strict=True) if y < 0.5) == [0.4, 0.6, 0.9]
    assert own["ARM, this head"].marker.symbol != own["MDM, this head"].marker.symbol


def test_a_head_without_a_copying_score_has_no_mark_and_no_rank() -> None:
    heads = {
        "arm": [replace(head(1), copying=None), head(2, copying=0.5), head(3, copying=0.7)],
        "mdm": [head(1), head(2), replace(head(3), copying=None)],
    }
    for node, rank in ((1, "no such score"), (2, "rank 2 of 2 heads")):
        drawn = drawing.score_figure(heads, node, PALETTE)
        own = next(trace for trace in drawn.data if trace.name == "ARM, this head")
        assert own.customdata[3] == rank and (own.x[3] is None) == (node == 1)
        every = next(trace for trace in drawn.data if trace.name == "ARM, every head")
        assert np.isnan(every.x).sum() == 1


@pytest.mark.parametrize(
    ("scores", "kind"),
    [
        ({"previous_token": 0.8, "induction": 0.6}, "a previous-token head"),
        ({"duplicate_token": 0.51}, "a duplicate-token head"),
        ({"induction": 0.9, "duplicate_token": 0.7}, "an induction head"),
        ({"previous_token": 0.5}, None),
        ({"copying": 0.99, "induction": 0.3}, None),
    ],
)
def test_only_a_clear_score_names_a_head(scores: dict[str, float], kind: str | None) -> None:
    assert drawing.verdict(head(0, **scores)) == kind
