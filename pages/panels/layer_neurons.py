"""List the neurons of a layer, or of a bin of its histogram, in both models, with links to their pages."""

from __future__ import annotations

import streamlit as st

from engine.inspection import bins
from engine.models.token_text import visible
from pages.panels import activation_data as data
from pages.panels.activation_data import ListedNeuron
from pages.panels.neuron_tables import SIGNIFICANT
from pages.shared import state
from pages.shared.artifacts import awaited
from pages.shared.glossary import meaning
from pages.shared.run_selector import Asked

MOST = 10  # neurons a table
COLUMN = 340  # pixels: the narrowest of the two tables beside each other
ROW, ROWS_SEEN = 28, 5.5  # pixels a row; of both tables below each other so many are seen beside the figures


def neuron_panel(asked: Asked, layer: int, bin_index: int | None) -> None:
    """The neurons behind the chosen bin, or else behind the layer, in both models."""
    if bin_index is None:
        st.markdown(f"##### Layer {layer}: the neurons that matter most", help=meaning("neuron"))
        st.caption("Largest |attribution|: what each adds to the metric, on average.", help=meaning("metric"))
    else:
        st.markdown(f"##### Layer {layer}: the neurons with activations of {bins.label(bin_index)}")
        st.caption(
            "Most activations in this bin, over all tokens of all inputs.",
            help="A neuron's own counts are over all tokens, not only over those of the histogram.",
        )
    if awaited("layer neurons", asked.runs, "activity", "weights"):
        return
    grid = st.grid(2, min_column_width=COLUMN, gap=16)
    for side in asked.sides:
        with grid.cell():
            neurons = data.listed_neurons(side.run.key, layer, bin_index, MOST)
            if neurons:
                neuron_links(asked, layer, neurons, side.title)
                neuron_table(neurons, f"{side.title}: neurons of layer {layer}", f"neurons {side.model}")
            else:
                st.markdown(f"**{side.title}**")
                st.info("No neuron of this model has an activation in this bin. Choose another bin.")


def neuron_table(neurons: list[ListedNeuron], alt: str, key: str) -> None:
    rows = []
    for row in neurons:
        cells: dict[str, object] = {"Neuron": row.neuron}
        cells |= {} if row.in_bin is None else {"In bin": row.in_bin}
        cells |= {"Attribution": row.attribution, "Promotes": "  ".join(visible(token) for token in row.promoted)}
        rows.append(cells | {"Mean": row.mean, "Max": row.high, "Active": 100 * row.active})
    numbers = st.column_config.NumberColumn
    columns = {
        "Neuron": numbers(format="%d"),
        "In bin": numbers(format="localized", help="activations in the bin, over all tokens"),
        "Attribution": numbers(format=SIGNIFICANT, help="what it adds to the metric, mean over examples"),
        "Mean": numbers(format="%.3f", help="mean activation over all tokens"),
        "Max": numbers(format="%.2f", help="largest activation over all tokens"),
        "Active": numbers(format="%.0f %%", help="share of tokens at which it is active"),
        "Promotes": st.column_config.TextColumn(help="tokens that its output direction promotes most"),
    }
    height = round(ROW * (1 + min(ROWS_SEEN, len(rows)))) + 2
    st.dataframe(
        rows, height=height, row_height=ROW, hide_index=True, column_config=columns, key=key, alt=alt
    )  # fmt: skip


def neuron_links(asked: Asked, layer: int, neurons: list[ListedNeuron], title: str) -> None:
    """A link to every listed neuron's own page."""
    with st.container(horizontal=True, gap="xsmall", vertical_alignment="center"):
        st.markdown(f"**{title}**, open neuron", width="content")
        for row in neurons:
            chosen = neuron_address(asked, layer, row.neuron)
            st.page_link("pages/neurons.py", label=str(row.neuron), query_params=chosen, width="content")


def neuron_address(asked: Asked, layer: int, neuron: int) -> dict[str, str]:
    """What the address of a neuron's page says: the neuron, and all that was chosen here."""
    chosen = {**asked.question.address, state.K: str(asked.k), state.LAYER: str(layer), state.NEURON: str(neuron)}
    step = state.step_of(asked.mdm.spec.model)
    return chosen | ({} if step == state.FINAL else {state.STEP: step})
