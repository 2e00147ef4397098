"""Both circuits as graphs, and below them what the chosen node does."""

from __future__ import annotations

from collections.abc import Callable

import plotly.graph_objects as go
import streamlit as st

from engine.circuits.filters import Chosen, Filters, choose
from engine.circuits.shared_edges import ClassifiedEdges, nodes_of
from engine.exchange.export import file_name, file_stem
from pages.figures import circuit as drawing
from pages.figures.caption import captioned
from pages.figures.palette import Palette
from pages.panels.inspector import inspector
from pages.shared import address, clicks, state, widgets
from pages.shared.downloads import file_button
from pages.shared.glossary import meaning
from pages.shared.sides import Side, Sides


@st.fragment
def graphs_and_node(sides: Sides, filters: Filters) -> None:
    """Both graphs and what the chosen node does: all that a click changes, so that nothing else runs again."""
    with widgets.user_errors():
        address.check(state.NODE, sides.graph.node_names)
        st.selectbox(
            "Node",
            sides.graph.node_names,
            index=None,
            placeholder="Click a node in a graph, or choose one here",
            key=state.NODE,
            bind=state.URL,
            help=meaning("node"),
        )
        above, below = st.container(), st.container()
        with below:  # first, as it is what a click asks for
            inspector(sides)
        with above:
            graphs(sides, filters)


def graphs(sides: Sides, filters: Filters) -> None:
    """Draw both circuits."""
    palette, node = widgets.palette(), state.chosen_node()
    for column, side in zip(st.columns(2), sides, strict=True):
        figure, chosen = picture(sides, side.model, filters, palette, node)
        with column:
            st.subheader(side.title, help=meaning("circuit"))
            if not len(chosen):
                st.warning(drawn_note(chosen, filters), icon=":material/filter_alt:")
            draw_graph(figure, side, sides, filters)
            with st.container(horizontal=True, vertical_alignment="center"):
                if len(chosen):
                    st.caption(drawn_note(chosen, filters))
                file_button(
                    "Picture (HTML)",
                    _picture(sides, side, filters, palette, node),
                    file_name(side.run, sides.k, "html", side.part, filters),
                    key=f"download {side.model} html",
                    icon=":material/image:",
                    help="The graph as it is drawn here, with what hovering over it shows.",
                )
    st.caption(
        "Circles are heads, squares MLPs; the larger, the more important. Green: in both circuits. The wider a line, "
        "the larger its |score|. Colour and size are of the whole circuit, whatever the filters leave to draw. Click a "
        "node to see what it writes.",
        help=f"{meaning('node')} {meaning('edge')} {meaning('importance')} Score: {meaning('attribution')}",
    )
    st.caption("  \n".join(widgets.provenance(side.title, side.run) for side in sides))


def picture(sides: Sides, model: str, filters: Filters, palette: Palette, node: str | None) -> tuple[go.Figure, Chosen]:
    """A model's graph, and what the filters leave of its edges."""
    (own, edges), (_, others) = sorted(sides.classified, key=lambda entry: entry[0].model != model)
    chosen = chosen_of(sides, edges, filters)
    in_other = nodes_of(sides.graph, others.edge)
    figure = drawing.circuit_figure(sides.graph, model, edges, in_other, palette, node, chosen.keep, own.label)
    about = [f"circuit of the {own.title}"]
    drawn = min(len(chosen), drawing.DRAWN_MOST)
    if drawn < len(edges):
        about += [f"{drawn:,} of {len(edges):,} edges drawn", *filters.words]
    return captioned(figure, sides.origin(*about).lines, palette), chosen


def chosen_of(sides: Sides, edges: ClassifiedEdges, filters: Filters) -> Chosen:
    return choose(sides.graph, edges.edge, edges.score, filters, edges.shared)


def draw_graph(figure: go.Figure, side: Side, sides: Sides, filters: Filters) -> None:
    key, alt = f"graph {side.model}", f"Circuit of the {side.title} at K = {sides.k}"
    file = file_stem(side.run, sides.k, side.part, filters)
    widgets.show_chart(figure, key, alt, file, lambda: clicks.take(key, state.NODE))


def drawn_note(chosen: Chosen, filters: Filters) -> str:
    """How many edges of a circuit are drawn, and why not the others."""
    k, left = len(chosen.keep), len(chosen)
    shown, others = min(left, drawing.DRAWN_MOST), k - left - chosen.pruned
    sentences = [f"{shown:,} of {k:,} edges drawn." if left else f"None of the {k:,} edges is drawn."]
    if chosen.pruned:
        whole = "all of them" if chosen.pruned == k else f"{chosen.pruned:,}"
        sentences.append(f"Pruning leaves out {whole}: on no path from input to logits within the circuit.")
    if others:
        words = ", ".join(word for word in filters.words if word != "pruned")
        sentences.append(
            f"{others:,} more are left out by the filters ({words})."
            if chosen.pruned
            else f"{others:,} are left out by the filters ({words})."
        )
    if left > shown:
        sentences.append(f"The weaker {left - shown:,} are not drawn but count for the nodes' size.")
    if filters.active:
        sentences.append(f"Overlap and all other numbers are of all {k:,}.")
    return " ".join(sentences)


def _picture(sides: Sides, side: Side, filters: Filters, palette: Palette, node: str | None) -> Callable[[], bytes]:
    """`palette` and `node` as they are now: a download is made outside the reader's session."""
    name = file_stem(side.run, sides.k, side.part, filters)
    return lambda: widgets.picture(picture(sides, side.model, filters, palette, node)[0], name, palette)
