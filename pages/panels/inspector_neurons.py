"""The Neurons tab: an MLP's strongest neurons in both models, and the way to all of them."""

from __future__ import annotations

import numpy as np
import streamlit as st

from engine.models.token_text import visible
from engine.runs import stored
from pages.shared import cached_reads, state
from pages.shared.glossary import meaning
from pages.shared.html_table import html_table
from pages.shared.sides import Sides
from pages.shared.state import Question

MOST = 12  # neurons


def neurons_tab(sides: Sides, node: int) -> None:
    layer = int(sides.graph.node_layer[node])
    if any(run.spec.is_imported for run in sides.runs):
        st.info("Neurons are not part of an imported circuit, which holds scores of edges alone.")
        return
    st.markdown(f"**Strongest neurons of layer {layer}**", help=f"{meaning('neuron')} {meaning('neuron_attribution')}")
    st.html(neuron_table(sides, layer))
    st.caption("Those with the largest |attribution| in either model, and the tokens that they promote most.")
    neurons_link(sides, layer)


def neuron_table(sides: Sides, layer: int) -> str:
    """Neurons with their attribution in both models, and what they promote where that is computed (HTML)."""
    of_model = {
        side.model: cached_reads.columns(side.run.key, "neurons", ("attribution",), layer=layer)["attribution"]
        for side in sides
    }
    largest = np.maximum(*(np.abs(values) for values in of_model.values()))
    strongest = [int(neuron) for neuron in np.argsort(-largest, kind="stable")[:MOST]]
    rows = [[str(neuron), *(f"{values[neuron]:+.4f}" for values in of_model.values())] for neuron in strongest]
    columns, texts = ["Neuron", *(f"{side.label} attribution" for side in sides)], [0]
    for side in sides:
        if stored.has(side.run, "weights"):
            columns.append(f"{side.label} promotes")
            texts.append(len(columns) - 1)
            for neuron, row in zip(strongest, rows, strict=True):
                promoted = cached_reads.neuron(side.run.key, layer, neuron).promoted
                row.append("  ".join(visible(token) for token in promoted[:2]))
    return html_table(f"Strongest neurons of layer {layer}", columns, rows, texts=texts)


def neurons_link(sides: Sides, layer: int) -> None:
    """A link to all neurons of a layer."""
    step = state.step_of(sides.mdm.run.spec.model)
    choices = {state.K: str(sides.k), state.LAYER: str(layer)}
    if step != state.FINAL:
        choices[state.STEP] = step
    st.page_link(
        "pages/neurons.py",
        label=f"Open the neurons of m{layer}",
        icon=":material/scatter_plot:",
        query_params=Question.of(sides.mdm.run.spec).address | choices,
    )
