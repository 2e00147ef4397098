"""Choose a layer, a neuron, a search and the pins; and say which MLPs are in the circuits."""

from __future__ import annotations

import streamlit as st

from engine.circuits.shared_edges import nodes_of
from pages.panels import neuron_data
from pages.panels.chosen_neurons import choose
from pages.panels.neuron_data import MODELS
from pages.panels.neuron_search import search
from pages.shared import state
from pages.shared.glossary import meaning
from pages.shared.run_selector import Asked
from pages.shared.synced import synced


def choosers(asked: Asked) -> tuple[int, int | None]:
    """The layer and the neuron, if one is chosen."""
    n_layers, n_neurons = asked.graph.n_layers, asked.arm.meta.n_neurons
    strongest = neuron_data.strongest_layer(asked.arm.key, asked.mdm.key, n_layers)
    places = st.columns([2, 3, 5, 4], vertical_alignment="bottom")
    with places[0]:
        layer = st.selectbox(
            "Layer", range(n_layers), index=None, placeholder=str(strongest),
            key=synced(state.LAYER, strongest, range(n_layers)), on_change=choose, args=(None,),
        )  # fmt: skip
    layer = strongest if layer is None else layer
    with places[1]:
        chosen = st.number_input(
            f"Neuron (0 to {n_neurons - 1:,})", 0, n_neurons - 1, None,
            key=synced(state.NEURON, None, range(n_neurons)),
            placeholder="Click one, or type", help=meaning("neuron"),
        )  # fmt: skip
    with places[2]:
        st.text_input(
            "Search", key=synced(state.SEARCH, ""), icon=":material/search:",
            placeholder="A token (who promotes Mary?) or a neuron (3:117)",
            on_change=search, args=(asked, layer),
        )  # fmt: skip
    with places[3]:
        st.text_input(
            "Pinned neurons", key=synced(state.PINS, ""), placeholder="3:117, 3:5", icon=":material/keep:",
            help="Layer:neuron, separated by commas. They are in the address, so a copied link brings them along.",
        )  # fmt: skip
    return int(layer), None if chosen is None else int(chosen)


def mlps_in_circuits(asked: Asked) -> None:
    """Which MLPs are in the circuits at K."""
    graph = asked.graph
    inside = {side.model: nodes_of(graph, edges.edge) for side, edges in asked.sides.classified}
    groups: dict[str, list[str]] = {"both circuits": [], "the ARM's only": [], "the MDM's only": [], "neither": []}
    for layer in range(graph.n_layers):
        arm, mdm = (bool(inside[model][graph.mlp(layer)]) for model in MODELS)
        group = list(groups)[0 if arm and mdm else 1 if arm else 2 if mdm else 3]
        groups[group].append(f"m{layer}")
    parts = [f"in {group}: **{', '.join(names)}**" for group, names in groups.items() if names]
    st.caption(f"MLPs at K = {asked.k:,}, " + "; ".join(parts) + ".", help=meaning("circuit"))
