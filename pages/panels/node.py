"""What one node does in both models: its lens, the residual around it, its strongest edges."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import streamlit as st

from engine.circuits.edges import RankedEdges
from engine.circuits.graph import Graph
from engine.models.token_text import visible
from engine.runs.rows import LayerLens, ReadoutRow
from pages.figures.lens import lens_figure, residual_figure
from pages.panels.attention import attention_panel
from pages.shared import address, cached_reads, state, token_text, widgets
from pages.shared.artifacts import awaited
from pages.shared.glossary import meaning
from pages.shared.sides import Sides
from pages.shared.state import Question

MOST_EDGES = 12  # rows a table


@dataclass(frozen=True)
class Place:
    """A token of an example that both models predict: where their lenses can be compared."""

    example: int
    target: int
    answer: str
    foil: str

    @property
    def label(self) -> str:
        return f"example {self.example}, token {self.target}: {visible(self.answer)} (not {visible(self.foil)})"


def node_panel(sides: Sides) -> None:
    name = state.chosen_node()
    if name is None or name not in sides.graph.node_names:
        st.info(
            "Click a node in either graph, or choose one from the list above them. Then this place shows which tokens "
            "it promotes and suppresses in both models, and its strongest edges.",
            icon=":material/ads_click:",
        )
        return
    node = sides.graph.node_names.index(name)
    with st.container(border=True):
        st.subheader(f"{describe(sides.graph, node)} ({name})")
        at = None if awaited("node lens", sides.runs, "lens") else choose_place(sides)
        if at is not None:
            lenses(sides, node, at)
        if name.startswith("a"):
            attention_panel(sides, node, at["arm"].example if at else None)
        elif name.startswith("m"):
            neurons_link(sides, node)
        edge_tables(sides, node)


def neurons_link(sides: Sides, node: int) -> None:
    """A link to an MLP's neurons."""
    step = state.step_of(sides.mdm.run.spec.model)
    choices = {state.K: str(sides.k), state.LAYER: str(sides.graph.node_layer[node])}
    if step != state.FINAL:
        choices[state.STEP] = step
    st.page_link(
        "pages/neurons.py",
        label=f"Open the neurons of {sides.graph.node_names[node]}",
        icon=":material/scatter_plot:",
        query_params=Question.of(sides.arm.run.spec).address | choices,
    )


def describe(graph: Graph, node: int) -> str:
    name = graph.node_names[node]
    if name == "input":
        return "Token embedding"
    if name == "logits":
        return "Logits"
    layer = int(graph.node_layer[node])
    return f"MLP of layer {layer}" if name.startswith("m") else f"Head {name.partition('.h')[2]} of layer {layer}"


def choose_place(sides: Sides) -> dict[str, ReadoutRow] | None:
    """The readouts of both models at the example and token that the reader chooses."""
    by_model = {side.model: {_place(r): r for r in cached_reads.rows(ReadoutRow, side.run.key)} for side in sides}
    places = [place for place in by_model["arm"] if place in by_model["mdm"]]
    if not places:
        st.info("The lens was computed at different tokens for these two runs, so there is nothing to compare.")
        return None
    labels = {place.label: place for place in places}
    address.check(state.READOUT, labels)
    follow_older_link(places)
    chosen = st.selectbox(
        "Example and predicted token",
        list(labels),
        key=state.READOUT,
        bind=state.URL,
        help=f"At these tokens of a few examples the lens was computed for both models; attention is of the same "
        f"example. {meaning('readout')} {meaning('logit_lens')}",
    )
    place = labels[chosen]
    at = {model: places_of_model[place] for model, places_of_model in by_model.items()}
    answer, foil = widgets.plain(visible(place.answer)), widgets.plain(visible(place.foil))
    st.markdown(
        f"The right token is **{answer}**; after the corrupted prompt it is **{foil}** (the foil).",
        help=meaning("foil"),
    )
    for side in sides:
        st.caption(f"Input of the {side.title} (box: where its logits are read; double underline: the predicted token)")
        readout = at[side.model]
        st.html(token_text.token_strip(readout.tokens, readout.position, readout.target))
    return at


def follow_older_link(places: Sequence[Place]) -> None:
    """A link that names the example alone, as those to attention patterns did, chooses its first token."""
    address.check(state.INPUT, sorted({place.example for place in places}))
    example = st.query_params.get(state.INPUT)
    if example is None:
        return
    first = next((place for place in places if str(place.example) == example), None)
    if first and state.READOUT not in st.query_params:
        st.session_state[state.READOUT] = first.label
    del st.query_params[state.INPUT]


def where(readout: ReadoutRow) -> str:
    return f"example {readout.example}, token {readout.target}, {readout.part}"


def lenses(sides: Sides, node: int, at: dict[str, ReadoutRow]) -> None:
    palette = widgets.palette()
    for column, side in zip(st.columns(2), sides, strict=True):
        readout = at[side.model]
        with column:
            st.markdown(f"**{side.title}: what this node writes**", help=meaning("logit_lens"))
            if node == sides.graph.logits:
                st.info("The logits write nothing: all other nodes write to them.")
            else:
                lens = cached_reads.node_lens(side.run.key, readout.readout, node)
                figure = lens_figure(lens, readout.answer, readout.foil, palette)
                widgets.chart(
                    figure, f"lens {side.model}", f"Tokens the node promotes and suppresses in the {side.title}",
                    f"lens-{sides.graph.node_names[node]}",
                    side.origin(f"lens of {sides.graph.node_names[node]}", where(readout)),
                )  # fmt: skip
                st.caption(
                    f"Towards the answer {lens.answer_logit:+.3f} logits, towards the foil {lens.foil_logit:+.3f}. "
                    f"Entropy {lens.entropy:.2f} nats, top token {lens.top_probability:.1%}.",
                    help="Of the prediction that this output alone would make. Entropy: how undecided it is, 0 "
                    "where one token has all of the probability.",
                )
            st.markdown(f"**{side.title}: logit lens after each layer**", help=meaning("residual_stream"))
            rows = cached_reads.rows(LayerLens, side.run.key, readout=readout.readout)
            widgets.chart(
                residual_figure(rows, side.model, palette), f"residual {side.model}",
                f"Probability of answer and foil after each layer of the {side.title}", "residual",
                side.origin("lens of the residual", where(readout)),
            )  # fmt: skip
            table = [
                {
                    "After": "embedding" if row.layer == 0 else f"layer {row.layer - 1}",
                    "Top tokens": "  ".join(visible(token) for token in row.tokens[:5]),
                    "Answer rank": row.answer_rank + 1,
                    "Foil rank": row.foil_rank + 1,
                }
                for row in rows
            ]
            st.dataframe(table, hide_index=True, alt=f"Top tokens after each layer of the {side.title}")


def edge_tables(sides: Sides, node: int) -> None:
    for column, way in zip(st.columns(2), ("incoming", "outgoing"), strict=True):
        edges = {
            side.model: cached_reads.node_edges(side.run.key, side.part, node, way == "outgoing") for side in sides
        }
        title = f"Strongest {way} edges"
        with column:
            st.markdown(f"**{title}**", help=f"{meaning('edge')} Score: {meaning('attribution')}")
            if len(edges["arm"].edge):
                _edge_table(sides, edges, title)
            else:
                st.caption(f"This node has no {way} edges.")


def _edge_table(sides: Sides, edges: Mapping[str, RankedEdges], title: str) -> None:
    """The edges that rank highest in either model, with rank and score in both."""
    best = np.minimum(edges["arm"].rank, edges["mdm"].rank)
    rows = [_edge_row(sides, edges, at) for at in np.argsort(best, kind="stable")[:MOST_EDGES].tolist()]
    number = st.column_config.NumberColumn
    columns = {f"{side.label} rank": number(format="localized", help="1 is the strongest edge.") for side in sides}
    columns |= {f"{side.label} score": number(format="%+.4f", help=meaning("attribution")) for side in sides}
    st.dataframe(rows, height="content", hide_index=True, column_config=columns, alt=title)


def _edge_row(sides: Sides, of_model: Mapping[str, RankedEdges], at: int) -> dict[str, object]:
    """Entry `at` of both models' edges, which are the same edges."""
    ranks = {side.label: int(of_model[side.model].rank[at]) for side in sides}
    row: dict[str, object] = {"Edge": sides.graph.edge_name(int(of_model["arm"].edge[at]))}
    row |= {f"{label} rank": rank + 1 for label, rank in ranks.items()}
    row |= {f"{side.label} score": float(of_model[side.model].score[at]) for side in sides}
    inside = [label for label, rank in ranks.items() if rank < sides.k]
    row["In circuit of"] = {0: "neither", 1: f"{inside[0]} only" if inside else "", 2: "both"}[len(inside)]
    return row


def _place(readout: ReadoutRow) -> Place:
    return Place(readout.example, readout.target, readout.answer, readout.foil)
