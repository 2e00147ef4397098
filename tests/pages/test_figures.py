"""Figures: what stands where, what is told apart, what is text."""

from __future__ import annotations

import json
import re
from dataclasses import replace
from itertools import pairwise

import numpy as np
import plotly.graph_objects as go
import pytest

from engine.circuits import comparison, profiles
from engine.circuits.edges import OverlapCurve
from engine.circuits.filters import CLASSES, KINDS, SIGNS, Filters, choose
from engine.circuits.graph import Graph
from engine.circuits.shared_edges import ClassifiedEdges, classify, mean_jaccard, nodes_of
from engine.runs.rows import LayerLens, NodeLens
from pages.figures import circuit as drawing
from pages.figures import palette
from pages.figures.circuit_layout import layout
from pages.figures.lens import ModelLens, component_lens, residual_figure
from pages.figures.overlap import Curve, overlap_figure
from pages.figures.profile import profile_figure
from pages.figures.token_label import as_text
from pages.shared.state import k_options

GRAPH = Graph(3, 2)
PALETTE = palette.LIGHT
EVERY_FILTER = [
    Filters(kinds, sign, show, pruned)
    for kinds in (KINDS, ("q", "k"), ("v", "mlp", "logits"), ())
    for sign in SIGNS
    for show in CLASSES
    for pruned in (False, True)
]


LARGE = Graph(32, 32)


def curve_of(curve: OverlapCurve) -> Curve:
    return Curve("ARM with MDM", curve.k, mean_jaccard(curve), "pair")


def scores(seed: int, graph: Graph = GRAPH) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal(graph.n_edges).astype(np.float32)


def both(k: int, graph: Graph = GRAPH, seed: int = 1) -> tuple[ClassifiedEdges, ClassifiedEdges]:
    mine = scores(seed, graph)
    tables = [(comparison.order_of(s), s) for s in (mine, mine + scores(seed + 1, graph))]
    (a, of_a), (b, of_b) = tables
    return (
        classify(a[:k], of_a[a[:k]], b[:k]),
        classify(b[:k], of_b[b[:k]], a[:k]),
    )


def figure(edges: ClassifiedEdges, graph: Graph = GRAPH, selected: str | None = None) -> go.Figure:
    everywhere = np.ones(graph.n_nodes, dtype=bool)
    return drawing.circuit_figure(graph, "arm", edges, everywhere, PALETTE, selected)


def filtered(edges: ClassifiedEdges, filters: Filters) -> go.Figure:
    kept = choose(GRAPH, edges.edge, edges.score, filters, edges.shared)
    return drawing.circuit_figure(GRAPH, "arm", edges, np.ones(GRAPH.n_nodes, dtype=bool), PALETTE, keep=kept.keep)


def named(edges: ClassifiedEdges) -> list[str]:
    """The nodes at both ends of every edge."""
    return [end.partition("<")[0] for edge in edges.edge for end in GRAPH.edge_name(int(edge)).split("->")]


def hover_lines(drawn: go.Figure) -> list[list[str]]:
    """The lines that hovering over a node shows."""
    return [text.split("<br>") for text in trace(drawn, drawing.NODE_TRACE).text]


def names(drawn: go.Figure) -> list[str]:
    """What the legend says."""
    return [t.name for t in drawn.data if t.showlegend is None]


def curves_by_width(drawn: go.Figure) -> set[tuple[float, str]]:
    return {(line.line.width, curve) for line in lines(drawn) for curve in re.findall(r"M[^M]+C[^M]+", line.path)}


def trace(drawn: go.Figure, name: str) -> go.Scatter:
    return next(t for t in drawn.data if t.name == name)


def lines(drawn: go.Figure, *groups: str) -> list[go.layout.Shape]:
    return [shape for shape in drawn.layout.shapes if shape.name in (groups or ("shared", "arm"))]


def counted(shapes: list[go.layout.Shape]) -> int:
    """How many edges are drawn by these: each begins with a move of the pen."""
    return sum(shape.path.count("C") for shape in shapes)


def points_of(path: str) -> np.ndarray:
    return np.array([float(number) for number in re.findall(r"-?[\d.]+", path)]).reshape(-1, 4, 2)


def test_no_two_nodes_stand_in_one_place() -> None:
    place = layout(GRAPH)
    assert len(set(zip(place.x.tolist(), place.y.tolist(), strict=True))) == GRAPH.n_nodes


@pytest.mark.parametrize("layers_heads", [(6, 8), (28, 28)])
def test_the_layout_shows_a_later_node_higher(layers_heads: tuple[int, int]) -> None:
    graph = Graph(*layers_heads)
    place, names = layout(graph), graph.node_names
    order = ["input", "a0.h3", "m0", "a1.h0", "m1", "logits"]
    heights = [place.y[names.index(name)] for name in order]
    assert all(below < above for below, above in pairwise(heights))
    assert place.x[names.index("a0.h3")] == place.x[names.index("a5.h3")] == 3


def test_nodes_stay_where_they_are_whatever_is_drawn() -> None:
    few, many = both(5)[0], both(GRAPH.n_edges)[0]
    drawn = [figure(few), figure(many), filtered(many, Filters(("q",), "positive", "only", pruned=True))]
    places = [trace(figure_, drawing.NODE_TRACE) for figure_ in drawn]
    frames = [figure_.layout for figure_ in drawn]
    assert all(np.array_equal(p.x, places[0].x) and np.array_equal(p.y, places[0].y) for p in places)
    assert len({frame.xaxis.range for frame in frames}) == len({frame.yaxis.range for frame in frames}) == 1
    assert list(places[0].customdata) == GRAPH.node_names


@pytest.mark.parametrize("k", [1, 7, 40, GRAPH.n_edges])
def test_as_many_edges_are_shared_as_the_engine_counts(k: int) -> None:
    arm, mdm = both(k)
    counted = comparison.shared_counts(comparison.order_of(scores(1)), comparison.order_of(scores(1) + scores(2)))[
        k - 1
    ]
    assert arm.shared.sum() == mdm.shared.sum() == counted
    assert set(arm.edge[arm.shared]) == set(mdm.edge[mdm.shared])


def test_every_edge_is_drawn_once_in_the_colour_and_dash_of_its_class() -> None:
    edges = both(40)[0]
    drawn = figure(edges)
    shared, only = lines(drawn, "shared"), lines(drawn, "arm")
    assert counted(shared) == edges.shared.sum()
    assert counted(only) == (~edges.shared).sum()
    assert {t.line.dash for t in shared}.isdisjoint({t.line.dash for t in only})
    assert {t.line.color for t in shared}.isdisjoint({t.line.color for t in only})
    assert counted(lines(drawn)) == 40


def test_an_edge_begins_at_its_source_and_ends_at_its_destination() -> None:
    edge = GRAPH.edge_named("a0.h1->a2.h0<k>")
    edge = ClassifiedEdges(
        np.array([edge], np.int32), np.ones(1, np.float32), np.zeros(1, np.int32), np.zeros(1, dtype=bool)
    )
    (line,) = points_of(next(shape.path for shape in lines(figure(edge), "arm") if counted([shape])))
    place, names = layout(GRAPH), GRAPH.node_names
    source, target = names.index("a0.h1"), names.index("a2.h0")
    assert line[0] == pytest.approx((place.x[source], place.y[source]))
    assert line[-1] == pytest.approx((place.x[target], place.y[target]))


@pytest.mark.parametrize(("seed", "k"), [(1, 3), (2, 12), (3, 40), (4, GRAPH.n_edges)])
def test_nodes_and_widths_speak_of_the_whole_circuit_whatever_is_drawn(seed: int, k: int) -> None:
    whole, other = both(k, GRAPH, seed)
    in_other, mine, theirs = nodes_of(GRAPH, other.edge), set(named(whole)), set(named(other))
    words = {(True, True): "in both circuits", (True, False): "in the ARM's alone"}
    before = drawing.circuit_figure(GRAPH, "arm", whole, in_other, PALETTE)
    wanted = hover_lines(before)
    assert [line[1] for line in wanted] == [
        words.get((name in mine, name in theirs), "not in it") for name in GRAPH.node_names
    ]
    for filters in EVERY_FILTER:
        kept = choose(GRAPH, whole.edge, whole.score, filters, whole.shared)
        after = drawing.circuit_figure(GRAPH, "arm", whole, in_other, PALETTE, keep=kept.keep)
        assert (
            trace(after, drawing.NODE_TRACE).marker == trace(before, drawing.NODE_TRACE).marker
        )  # colour, size, symbol
        assert [line[:3] for line in hover_lines(after)] == [line[:3] for line in wanted], filters
        assert counted(lines(after)) == len(kept), filters
        assert curves_by_width(after) <= curves_by_width(before), filters


def test_legend_and_hover_say_how_much_is_drawn() -> None:
    whole, _ = both(40)
    for filters in EVERY_FILTER:
        kept = choose(GRAPH, whole.edge, whole.score, filters, whole.shared).keep
        drawn = filtered(whole, filters)
        for name, of in (("ARM only", ~whole.shared), ("shared", whole.shared)):
            count, shown = int(of.sum()), int((of & kept).sum())
            assert (f"{name}: {count}" if shown == count else f"{name}: {shown} of {count}") in names(drawn), filters
        for node, line in zip(GRAPH.node_names, hover_lines(drawn), strict=True):
            ends, left = named(whole).count(node), named(whole.where(kept)).count(node)
            assert line[3:] == ([f"{left} of its {ends} edges drawn"] if ends and not kept.all() else []), filters


def test_more_edges_than_can_be_drawn_still_count_for_the_nodes() -> None:
    graph = Graph(6, 8)
    edges = both(graph.n_edges, graph)[0]
    drawn = figure(edges, graph)
    assert counted(lines(drawn)) == drawing.DRAWN_MOST < len(edges)
    assert sum(int(re.sub(r"\D", "", name.split(" of ")[-1])) for name in names(drawn)) == len(edges)
    weight = profiles.importance(graph, edges.edge, edges.score)
    sizes = np.array(trace(drawn, drawing.NODE_TRACE).marker.size)
    assert np.array_equal(np.argsort(sizes[1:-1], kind="stable"), np.argsort(weight[1:-1], kind="stable"))


def test_the_figure_has_the_same_traces_at_every_k() -> None:
    def structure(drawn: go.Figure) -> list[object]:
        shapes = [(shape.name, shape.line.width) for shape in drawn.layout.shapes]
        return [*((t.name or "").partition(":")[0] for t in drawn.data), *shapes]

    assert structure(figure(both(1)[0])) == structure(figure(both(40)[0], selected="m1"))


def test_the_selected_node_is_ringed_and_its_edges_stand_out() -> None:
    drawn = figure(both(GRAPH.n_edges)[0], selected="a1.h0")
    ring, place = trace(drawn, "selected"), layout(GRAPH)
    node = GRAPH.node_names.index("a1.h0")
    assert (ring.x[0], ring.y[0]) == (place.x[node], place.y[node])
    of_node = (GRAPH.edge_source == node) | (GRAPH.destination_node[GRAPH.edge_destination] == node)
    assert counted([shape for shape in lines(drawn) if shape.opacity == 1.0]) == of_node.sum()


def test_nothing_that_answers_the_mouse_lies_on_a_node() -> None:
    graph = Graph(6, 8)
    drawn = figure(both(1000, graph)[0], graph)
    edges, nodes = trace(drawn, "edges"), trace(drawn, drawing.NODE_TRACE)
    apart = np.hypot(np.subtract.outer(edges.x, nodes.x), np.subtract.outer(edges.y, nodes.y))
    assert len(edges.x) > 500
    assert apart.min() > 0.25


def test_kinds_of_nodes_have_symbols_of_their_own() -> None:
    symbols = trace(figure(both(5)[0]), drawing.NODE_TRACE).marker.symbol
    by_name = dict(zip(GRAPH.node_names, symbols, strict=True))
    assert len({by_name[name] for name in ("input", "a0.h0", "m0", "logits")}) == 4


def test_a_nodes_colour_says_in_whose_circuit_it_is() -> None:
    edges, other = both(5)
    in_other = nodes_of(GRAPH, other.edge)
    drawn = drawing.circuit_figure(GRAPH, "arm", edges, in_other, PALETTE)
    marker, present = trace(drawn, drawing.NODE_TRACE).marker, nodes_of(GRAPH, edges.edge)

    def colours(shown: go.scatter.Marker) -> list[str]:
        at = (np.array(shown.color) - shown.cmin) / (shown.cmax - shown.cmin)
        return [[name for place, name in shown.colorscale if place <= share + 1e-9][-1] for share in at]

    wanted = np.where(present, np.where(in_other, PALETTE.shared, PALETTE.arm), PALETTE.background)
    assert set(wanted) == {PALETTE.shared, PALETTE.arm, PALETTE.background}
    assert colours(marker) == wanted.tolist()
    assert colours(marker.line) == np.where(present, PALETTE.background, PALETTE.neutral).tolist()


@pytest.mark.parametrize("k", [200, 5_000, Graph(32, 32).n_edges])
def test_a_graph_of_a_7b_model_stays_small(k: int) -> None:
    edges = both(k, LARGE)[0]
    drawn = figure(edges, LARGE)
    assert counted(lines(drawn)) == min(k, drawing.DRAWN_MOST)
    assert len(drawn.to_json()) < 500_000
    assert (len(drawn.data), len(drawn.layout.shapes)) == (5, 8)
    sizes, across = np.array(trace(drawn, drawing.NODE_TRACE).marker.size), 540 / 33  # of half a page
    assert np.percentile(sizes, 90) < across and sizes.max() < drawn.layout.height / 34


def test_a_curve_over_a_million_edges_has_few_points() -> None:
    n = LARGE.n_edges
    sizes = comparison.curve_sizes(n)
    curve = curve_of(OverlapCurve(sizes, (sizes**2 / n).astype(np.int32)))
    assert len(overlap_figure([curve], n, n, 1.0, PALETTE).to_json()) < 40_000


def test_the_overlap_curve_is_the_jaccard_index_at_every_k() -> None:
    a, b = comparison.order_of(scores(1)), comparison.order_of(scores(1) + scores(2))
    sizes, shared = comparison.curve_sizes(GRAPH.n_edges), comparison.shared_counts(a, b)
    curve = curve_of(OverlapCurve(sizes, shared[sizes - 1]))
    drawn = overlap_figure([curve], GRAPH.n_edges, 12, float(comparison.jaccard(shared)[11]), PALETTE)
    line, marker, chance = trace(drawn, "ARM with MDM"), trace(drawn, "K"), trace(drawn, "chance")
    for k, value in zip(line.x, line.y, strict=True):
        first, other = set(a[:k].tolist()), set(b[:k].tolist())
        assert value == pytest.approx(len(first & other) / len(first | other))
    expected = len(set(a[:12].tolist()) & set(b[:12].tolist()))
    assert (marker.x[0], marker.y[0]) == (12, pytest.approx(expected / (24 - expected)))
    assert chance.y == pytest.approx([comparison.chance(int(k), GRAPH.n_edges) for k in chance.x])


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


def drawn_at_every_k() -> dict[str, go.Figure]:
    """The figures that skip Plotly's checks."""
    sizes = comparison.curve_sizes(GRAPH.n_edges)
    curve = curve_of(OverlapCurve(sizes, (sizes / 2).astype(np.int32)))
    shares = np.array([0.5, 0.25, 0.25])
    return {
        "circuit": figure(both(20)[0], selected="a1.h0"),
        "no edge": figure(both(0)[0]),
        "overlap": overlap_figure([curve], GRAPH.n_edges, 12, 0.5, PALETTE),
        "layers": profile_figure(shares, shares, 1, PALETTE),
    }


@pytest.mark.parametrize("name", drawn_at_every_k())
def test_a_figure_without_plotlys_checks_is_what_plotly_would_have_made_of_it(name: str) -> None:
    unchecked = drawn_at_every_k()[name]
    checked = go.Figure(json.loads(unchecked.to_json()))  # raises for what Plotly does not know
    assert json.loads(checked.to_json()) == json.loads(unchecked.to_json())
