"""Show numbers of every layer: statistics of activations, norms of the residual stream, the logit lens."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import plotly.graph_objects as go
import streamlit as st

from engine.runs.records import Run
from engine.schema.vocabulary import COMPONENT_EXAMPLES
from pages.figures import activation_maps as drawing
from pages.figures.caption import captioned
from pages.figures.palette import Palette
from pages.panels import activation_data as data
from pages.panels import activation_heads
from pages.shared import state, widgets
from pages.shared.artifacts import awaited
from pages.shared.glossary import meaning
from pages.shared.provenance import Origin, origin
from pages.shared.run_selector import Asked
from pages.shared.synced import synced

MEASURES = dict(zip(state.MEASURES, ("residual_entropy", "residual_top", "node_entropy", "node_top"), strict=True))
MEASURE_NAMES = {
    "residual_entropy": "entropy of the residual lens (nats)",
    "residual_top": "top-1 probability of the residual lens",
    "node_entropy": f"entropy of the components' lens, first {COMPONENT_EXAMPLES} examples (nats)",
    "node_top": f"top-1 probability of the components' lens, first {COMPONENT_EXAMPLES} examples",
}


def activity(asked: Asked, region: str) -> None:
    """How active every layer is: what of it is there."""
    if awaited("activity", asked.runs, "activity"):
        return
    statistics(asked, region)
    residual(asked)
    st.subheader("Norm of head outputs")
    activation_heads.heads(asked, region)


def statistics(asked: Asked, region: str) -> None:
    widgets.chart(
        statistics_figure(asked.arm, asked.mdm, region, widgets.palette()),
        "statistics", "Share of active neurons, kurtosis, mean and deviation by layer, ARM and MDM",
        f"activation-statistics-{region}", statistics_origin(asked.arm, asked.mdm, region),
    )  # fmt: skip
    st.caption(
        f"MLP activations at {region} tokens, all neurons of a layer together. Share active: of neurons and tokens, "
        "how many have a non-linearity's input above 0."
    )


def residual(asked: Asked) -> None:
    """Norms of the residual stream after every layer."""
    st.subheader("Norm of the residual stream")
    widgets.chart(
        residual_figure(asked.arm, asked.mdm, widgets.palette()),
        "residual norms", "Norm of the residual stream by layer and position, ARM and MDM", "residual-norms",
        residual_origin(asked.arm, asked.mdm),
    )  # fmt: skip
    st.caption(
        "Mean norm of the residual stream after so many layers (0: the embedding), by position; token 0, right of the "
        "dotted line, is the first of the answer. Both models in the same colours, on a logarithmic scale."
    )


def lens(asked: Asked) -> None:
    st.subheader("Logit lens by layer", help=meaning("logit_lens"))
    if awaited("lens by layer", asked.runs, "lens"):
        return
    measure = st.segmented_control(
        "Measure", state.MEASURES, required=True,
        key=synced(state.MEASURE, state.MEASURES[0], state.MEASURES),
        help="Residual: the residual stream after a layer, read as logits. Components: a layer's heads and MLP, each "
        "alone. Entropy: how undecided the prediction is. Top-1: the probability of the most probable token.",
    )  # fmt: skip
    name = MEASURES[str(measure)]
    widgets.chart(
        lens_figure(asked.arm, asked.mdm, name, widgets.palette()),
        "lens by layer", f"By layer: {MEASURE_NAMES[name]}, ARM, MDM and their difference",
        f"lens-{name.replace('_', '-')}", lens_origin(asked.arm, asked.mdm, name),
    )  # fmt: skip
    st.caption(
        "Means over the examples' readouts. The band is the 95 % interval over examples. Right: above 0 the ARM's is "
        "larger; where the band does not contain 0, the models differ.",
        help=f"{meaning('readout')} {meaning('interval')}",
    )


# What doesn't depend on K is drawn once; figures are shared by all sessions as they are, so nobody may change them.

_BY_KEY: dict[str | type[Any], Callable[[Any], Any]] = {Run: lambda run: run.key}


@st.cache_resource(show_spinner=False, max_entries=32, hash_funcs=_BY_KEY)
def statistics_figure(arm: Run, mdm: Run, region: str, palette: Palette) -> go.Figure:
    figure = drawing.statistics_figure(data.histograms(arm.key, region), data.histograms(mdm.key, region), palette)
    return captioned(figure, statistics_origin(arm, mdm, region).lines, palette)


@st.cache_resource(show_spinner=False, max_entries=32, hash_funcs=_BY_KEY)
def residual_figure(arm: Run, mdm: Run, palette: Palette) -> go.Figure:
    figure = drawing.residual_figure(*data.residual_norms(arm.key, mdm.key), palette)
    return captioned(figure, residual_origin(arm, mdm).lines, palette)


@st.cache_resource(show_spinner=False, max_entries=32, hash_funcs=_BY_KEY)
def lens_figure(arm: Run, mdm: Run, measure: str, palette: Palette) -> go.Figure:
    contrast, _ = data.lens_bands(arm.key, mdm.key)[measure]
    figure = drawing.lens_figure(contrast, MEASURE_NAMES[measure], measure.endswith("top"), palette)
    return captioned(figure, lens_origin(arm, mdm, measure).lines, palette)


def statistics_origin(arm: Run, mdm: Run, region: str) -> Origin:
    return origin([arm, mdm], about=[f"MLP activations at {region} tokens"])


def residual_origin(arm: Run, mdm: Run) -> Origin:
    return origin([arm, mdm], about=["norm of the residual stream"])


def lens_origin(arm: Run, mdm: Run, measure: str) -> Origin:
    return origin([arm, mdm], about=[MEASURE_NAMES[measure]])
