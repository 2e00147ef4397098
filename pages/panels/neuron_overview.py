"""Show all neurons of an MLP: how far both models agree on them, as a scatter and as a ranked table; both choose."""

from __future__ import annotations

import numpy as np
import streamlit as st
from numpy.typing import NDArray

from engine.circuits.neuron_ranking import ranking
from pages.figures.neurons import Points, scatter_figure
from pages.panels import neuron_data
from pages.panels.chosen_neurons import pins
from pages.panels.neuron_choosers import mlps_in_circuits
from pages.panels.neuron_data import MODELS, Layer
from pages.panels.neuron_tables import download, selectable, table_of
from pages.shared import clicks, state, widgets
from pages.shared.artifacts import awaited
from pages.shared.glossary import meaning
from pages.shared.run_selector import Asked
from pages.shared.synced import synced

MOST_ROWS = 1000  # of the layer's table on the page; the download has all
HALVES_NOTE = (
    "Each ranked on one half of the examples: the ARM's with the MDM's on the other half; below, each model's two "
    "halves. Compare these three with each other: where they are alike, the models differ no more than the choice of "
    "examples makes them."
)
TILE = 240  # pixels: four in a row of a wide window, two of a narrow one


def numbers(neurons: Layer, has_halves: bool) -> None:
    """How far both models' attributions of the neurons agree, in a few figures."""
    both = neuron_data.agreement(neurons)
    sums = [float(neurons.attribution[model].sum()) for model in MODELS]
    tiles = (
        (
            "Correlation",
            f"{both.correlation:.3f}",
            f"{len(neurons):,} neurons",
            "Pearson's, of the ARM's with the MDM's attribution at the same neuron.",
        ),
        (
            f"Overlap of the {both.n} strongest",
            f"{both.jaccard:.3f}",
            f"chance {both.chance:.3f}",
            f"Jaccard index: {both.shared:,} neurons are among the {both.n} of largest |attribution| in both models.",
        ),
        (
            "Split-half overlap",
            f"{both.halves.pair:.3f}" if has_halves else "none",
            f"ARM {both.halves.arm:.3f}, MDM {both.halves.mdm:.3f}" if has_halves else "needs two prompts",
            f"The {both.n} strongest neurons. {HALVES_NOTE}",
        ),
        (
            "Sum of attributions",
            f"{sums[0]:+.3g} / {sums[1]:+.3g}",
            "ARM / MDM, the whole MLP",
            "What the MLP as a whole adds to the metric by this measure.",
        ),
    )
    with st.container(horizontal=True, gap="medium"):
        for label, value, note, explanation in tiles:
            st.metric(label, value, note, delta_color="off", delta_arrow="off", help=explanation, width=TILE)


def all_neurons(asked: Asked, neurons: Layer, chosen: int | None) -> None:
    """The layer's neurons in figures and as a table that chooses."""
    st.header(f"All neurons of layer {neurons.number}", divider="gray")
    numbers(neurons, asked.arm.has_halves and asked.mdm.has_halves)
    mlps_in_circuits(asked)
    with st.container():
        awaited("neurons", asked.runs, "weights")
    order = st.segmented_control(
        "Order by the largest |attribution| of", state.NEURON_ORDERS,
        required=True, key=synced(state.SORT, state.NEURON_ORDERS[0], state.NEURON_ORDERS),
        help="either: of the two models; difference: MDM minus ARM. A click on a column's head sorts too.",
    )  # fmt: skip
    arm, mdm = (neurons.attribution[model] for model in MODELS)
    layer_table(asked, neurons, ranking(arm, mdm, str(order)), chosen)


def scatter(asked: Asked, neurons: Layer, chosen: int | None) -> None:
    """The layer's neurons as dots; a click on one chooses it."""
    key = f"neuron scatter {asked.arm.key[:8]} {asked.mdm.key[:8]} {neurons.number}"
    points = Points(neurons.number, neurons.attribution, neurons.hover, neurons.among_strongest)
    pinned = [j for layer, j in pins() if layer == neurons.number and j < len(neurons)]
    widgets.chart(
        scatter_figure(points, widgets.palette(), chosen, pinned),
        key,
        f"Attribution of every neuron of layer {neurons.number} in the ARM and in the MDM",
        f"neurons-m{neurons.number}",
        asked.sides.origin(f"attribution of the neurons of m{neurons.number}", with_k=False),
        lambda: clicks.take(key, state.NEURON, int, also={state.LAYER: neurons.number}),
    )
    st.caption(
        f"**MLP of layer {neurons.number}.** A dot is a neuron: click one. A positive attribution pushes towards the "
        f"right answer. Marked: the {neurons.strongest} with the largest |attribution| of each model.",
        help=meaning("neuron_attribution"),
    )


def layer_table(asked: Asked, neurons: Layer, order: NDArray[np.int_], chosen: int | None) -> None:
    rows = order[:MOST_ROWS]
    places = [(neurons.number, int(j)) for j in rows]
    table = table_of([(neurons, rows)])
    key = f"neuron table {asked.arm.key[:8]} {asked.mdm.key[:8]} {neurons.number} {st.session_state.get(state.SORT)}"
    selectable(table, key, places, (neurons.number, chosen), f"Neurons of layer {neurons.number}", 470)
    note = "Tick a row to choose its neuron."
    if len(order) > MOST_ROWS:
        note += f" Here are the first {MOST_ROWS:,} of {len(order):,} neurons; the download has all."
    with st.container(horizontal=True, vertical_alignment="center"):
        download(asked, lambda: table_of([(neurons, order)], halves=True), f"neurons-m{neurons.number}")
        st.caption(note)
