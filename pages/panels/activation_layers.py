"""Show importance by layer, a layer's histogram of activations, and beside them the neurons behind a click."""

from __future__ import annotations

from dataclasses import dataclass

import streamlit as st

from engine.circuits import profiles
from engine.inspection import bins
from engine.runs.rows import LayerHistogram
from pages.figures import activations as drawing
from pages.panels import activation_data as data
from pages.panels.layer_neurons import neuron_panel
from pages.panels.specialisation import estimate, intervals_note, percent
from pages.shared import address, cached_reads, clicks, state, widgets
from pages.shared.artifacts import awaited
from pages.shared.glossary import meaning
from pages.shared.run_selector import Asked
from pages.shared.state import COUNTS, GROUPED, MIRRORED, SHARES, TOTAL
from pages.shared.synced import synced

COLUMN = 380  # pixels: the narrowest of three columns; a window with room for fewer has them below each other
_REGION_CHANGED = "region changed"  # session only: what lies below the fragment has to be drawn anew too


@dataclass(frozen=True)
class Chosen:
    """What the reader chose: tokens, a layer, a bin of its histogram, the early boundary, and how to draw."""

    region: str
    layer: int
    bin_index: int | None
    early: int
    mirrored: bool
    shares: bool


@st.fragment
@widgets.user_errors()
def layers(asked: Asked) -> str:
    """Profile, histogram and the neurons behind what was clicked, beside each other; only this reruns on a click.

    Returns the region that the reader chose; the whole page is drawn again when it becomes another.
    """
    chosen = choose(asked)
    if st.session_state.pop(_REGION_CHANGED, False):
        st.rerun()
    grid = st.grid(3, min_column_width=COLUMN, gap=24)
    places = [grid.cell() for _ in range(3)]
    with places[2]:  # what a click asks for comes first
        neuron_panel(asked, chosen.layer, chosen.bin_index)
    with places[0]:
        profile(asked, chosen)
    with places[1]:
        histogram(asked, chosen)
    return chosen.region


def choose(asked: Asked) -> Chosen:
    """Tokens, layer, bin, early boundary and how to draw, in one row; layer and bin follow clicks too."""
    n_layers = asked.graph.n_layers
    address.check(state.EARLY, range(1, n_layers + 1))
    early = profiles.early_boundary(n_layers)
    with st.container(horizontal=True, gap="small", vertical_alignment="bottom"):
        layer = st.selectbox(
            "Layer", range(n_layers), format_func=str, key=synced(state.LAYER, 0, range(n_layers)),
            on_change=_forget_bin, help="Or click a layer's bar.", width=110,
        )  # fmt: skip
        if n_layers > 1:
            early = st.slider(
                "Early layers", 1, n_layers, key=synced(state.EARLY, early, range(1, n_layers + 1)), width=190,
                help=meaning("early_boundary"),
            )  # fmt: skip
        view = st.segmented_control(
            "Importance", (MIRRORED, GROUPED), required=True, key=synced(state.VIEW, MIRRORED, (MIRRORED, GROUPED))
        )
        region = choose_region()
        heights = st.segmented_control(
            "Histogram", (COUNTS, SHARES), required=True, key=synced(state.HEIGHTS, COUNTS, (COUNTS, SHARES)),
            help="The MDM is run once for every denoising step, so it has more activations to count; shares compare.",
        )  # fmt: skip
        bin_index = st.selectbox(
            "Bin of the histogram", range(bins.BINS), index=None, format_func=bins.label, placeholder="all activations",
            key=synced(state.BIN, None, range(bins.BINS), bins.label), width=190,
            help="Or click a bin; a second click deselects it.",
        )  # fmt: skip
    return Chosen(region, int(layer), bin_index, int(early), view == MIRRORED, heights == SHARES)


def choose_region() -> str:
    return str(
        st.segmented_control(
            "Tokens included",
            state.REGIONS,
            required=True,
            key=synced(state.REGION, state.REGIONS[0], state.REGIONS),
            on_change=_region_changed,
            help="prompt: the tokens of the problem. answer: the tokens of the answer, which the ARM reads and the MDM "
            "sees as masks until it reveals them. readout: the positions at which the predictions that the metric "
            "compares are read. It applies to histograms, their statistics and the norms of heads.",
        )
    )


def profile(asked: Asked, chosen: Chosen) -> None:
    early = chosen.early
    shares = [cached_reads.layer_shares(side.run.key, TOTAL, asked.k) for side in asked.sides]
    figure = drawing.profile_figure(shares[0], shares[1], early, chosen.layer, chosen.mirrored, widgets.palette())
    widgets.chart(
        figure, "layer profile", f"Share of importance by layer at K = {asked.k}, ARM and MDM", "layer-profile",
        asked.sides.origin(f"first {early} layers early"), _take_layer,
    )  # fmt: skip
    st.markdown("##### Importance by layer", help=f"{meaning('importance')} {meaning('early_share')}")
    spread = data.specialisation(asked.arm.key, asked.mdm.key, asked.k, early)
    st.markdown(
        f"**Early share** (first {early} of {asked.graph.n_layers} layers): ARM {percent(spread.early.arm)}, MDM "
        f"{percent(spread.early.mdm)}. **Ratio MDM / ARM: {estimate(spread.early_ratio, 2)}**."
    )
    st.caption(
        f"How the importance (sum of |score| over a component's edges) of the {asked.k:,} strongest edges is spread "
        "over layers of heads and MLPs. Click a layer to see its neurons. " + intervals_note(asked)
    )


def histogram(asked: Asked, chosen: Chosen) -> None:
    layer, region = chosen.layer, chosen.region
    if awaited("histogram", asked.runs, "activity"):
        return
    rows = [data.histograms(side.run.key, region) for side in asked.sides]
    if any(row.n == 0 for both in rows for row in both):
        st.info(f"These runs have no tokens of the kind “{region}”. Choose other tokens above.")
        return
    arm, mdm = (of_model[layer] for of_model in rows)
    shown = drawing.shown_bins([row for side in asked.sides for row in cached_reads.rows(LayerHistogram, side.run.key)])
    figure = drawing.histogram_figure(arm, mdm, shown, chosen.bin_index, chosen.shares, widgets.palette())
    widgets.chart(
        figure, "activation histogram", f"Histogram of the MLP activations of layer {layer}, ARM and MDM",
        f"activations-layer{layer}-{region}", asked.sides.origin(f"layer {layer}, {region} tokens", with_k=False),
        lambda: clicks.take("activation histogram", state.BIN, int),
    )  # fmt: skip
    st.markdown(f"##### MLP activations, layer {layer}", help=meaning("neuron"))
    st.markdown(
        f"**Active**: ARM {arm.active:.1%}, MDM {mdm.active:.1%}. **Excess kurtosis**: ARM {_kurtosis(arm)}, MDM "
        f"{_kurtosis(mdm)}."
    )
    st.caption(
        f"Every neuron of the layer at every {region} token of the clean inputs: ARM {arm.n:,}, MDM {mdm.n:,} values, "
        "in the same bins, on a logarithmic axis. Active: the non-linearity's input is above 0. Excess kurtosis: 0 for "
        "a normal distribution, large where few values are far from the rest. Click a bin to see which neurons are in "
        "it."
    )


def _take_layer() -> None:
    clicks.take("layer profile", state.LAYER, int, toggles=False, also={state.BIN: None})


def _region_changed() -> None:
    st.session_state[_REGION_CHANGED] = True


def _kurtosis(row: LayerHistogram) -> str:
    return "none, as nothing varies" if row.kurtosis is None else f"{row.kurtosis:.1f}"


def _forget_bin() -> None:
    st.session_state[state.BIN] = None
