"""What the components of both models do on a task: importance by layer, activations, norms, and how specialised."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import plotly.graph_objects as go
import streamlit as st

from engine.circuits import intervals, profiles
from engine.circuits.comparison import printed
from engine.circuits.intervals import BandContrast, Contrast, Estimate
from engine.inspection import bins
from engine.runs.records import Run
from engine.runs.rows import LayerHistogram
from engine.schema.vocabulary import BLOCKS
from pages.figures import activations as drawing
from pages.figures.caption import captioned
from pages.figures.palette import Palette
from pages.panels import activation_data as data
from pages.panels import activation_files as files
from pages.panels.layer_neurons import neuron_panel
from pages.shared import address, cached_reads, run_selector, state, widgets
from pages.shared.entry import show
from pages.shared.provenance import Origin, origin
from pages.shared.run_selector import Asked
from pages.shared.state import COUNTS, GROUPED, MIRRORED, SHARES, TOTAL

COLUMNS = ("What", "ARM", "MDM", "ARM - MDM")
MEASURES = dict(zip(state.MEASURES, ("residual_entropy", "residual_top", "node_entropy", "node_top"), strict=True))
SHORT = {
    "residual_entropy": "Residual lens: entropy, nats",
    "residual_top": "Residual lens: top-1 probability",
    "node_entropy": "Components' lens: entropy, nats",
    "node_top": "Components' lens: top-1 probability",
}
SAID = {
    "residual_entropy": "entropy of the residual lens (nats)",
    "residual_top": "top-1 probability of the residual lens",
    "node_entropy": "entropy of the components' lens (nats)",
    "node_top": "top-1 probability of the components' lens",
}


def page() -> None:
    st.title("Activations, layer by layer")
    with widgets.user_errors():
        asked = run_selector.both_runs()
        if asked:
            explore(asked)


def explore(asked: Asked) -> None:
    """Everything below the selectors, for two computed runs."""
    st.caption("  \n".join(widgets.provenance(side.title, side.run) for side in asked.sides))
    region = choose_region()
    st.header("Which layers, and which neurons in them", divider="gray")
    layers(asked, region)
    st.header("How active every layer is", divider="gray")
    statistics(asked, region)
    norms(asked, region)
    st.header("Specialised or distributed", divider="gray")
    spread_table(asked)
    lens(asked)
    downloads(asked, region)


def choose_region() -> str:
    return str(
        st.segmented_control(
            "Tokens that are looked at",
            state.REGIONS,
            default=state.REGIONS[0],
            required=True,
            key=state.REGION,
            bind=state.URL,
            help="prompt: the tokens of the problem. answer: the tokens of the answer, which the ARM reads and the MDM "
            "sees as masks until it reveals them. readout: the positions where the scored logits are read. It applies "
            "to histograms, their statistics and the norms of heads.",
        )
    )


@st.fragment
def layers(asked: Asked, region: str) -> None:
    """Profile and histogram, and below them the neurons behind what was clicked; only this reruns on a click."""
    layer, bin_index, early, mirrored, shares = choose(asked)
    left, right = st.columns(2)
    neurons = st.container()
    with neurons:
        neuron_panel(asked, layer, bin_index)
    with left:
        profile(asked, early, layer, mirrored)
    with right:
        histogram(asked, region, layer, bin_index, shares)


def choose(asked: Asked) -> tuple[int, int | None, int, bool, bool]:
    """Layer, bin, early boundary and how to draw; the first two follow clicks too."""
    n_layers = asked.graph.n_layers
    for key, options in ((state.LAYER, range(n_layers)), (state.EARLY, range(1, n_layers + 1))):
        address.check(key, options)
        if st.session_state.get(key) not in options:
            st.session_state.pop(key, None)
    early = profiles.early_boundary(n_layers)
    with st.container(horizontal=True, gap="medium", vertical_alignment="bottom"):
        layer = st.selectbox(
            "Layer", range(n_layers), format_func=str, key=state.LAYER, bind=state.URL, on_change=_forget_bin,
            help="Or click a layer's bar.", width=120,
        )  # fmt: skip
        chosen = st.selectbox(
            "Bin of the histogram", range(bins.BINS), index=None, format_func=bins.label, placeholder="all activations",
            key=state.BIN, bind=state.URL, help="Or click a bin; a second click lets it go.", width=220,
        )  # fmt: skip
        if n_layers > 1:
            early = st.slider(
                "Early layers", 1, n_layers, early, key=state.EARLY, bind=state.URL, width=230,
                help="How many layers count as early; a third of them, rounded up, unless you choose.",
            )  # fmt: skip
        view = st.segmented_control(
            "Importance", (MIRRORED, GROUPED), default=MIRRORED, required=True, key=state.VIEW, bind=state.URL
        )
        heights = st.segmented_control(
            "Histogram", (COUNTS, SHARES), default=COUNTS, required=True, key=state.HEIGHTS, bind=state.URL,
            help="The MDM is run once for every denoising step, so it has more activations to count; shares compare.",
        )  # fmt: skip
    return int(layer), chosen, int(early), view == MIRRORED, heights == SHARES


def profile(asked: Asked, early: int, layer: int, mirrored: bool) -> None:
    shares = [cached_reads.layer_shares(side.run.key, TOTAL, asked.k) for side in asked.sides]
    st.subheader("Importance by layer")
    figure = drawing.profile_figure(shares[0], shares[1], early, layer, mirrored, widgets.palette())
    widgets.chart(
        figure, "layer profile", f"Share of importance by layer at K = {asked.k}, ARM and MDM", "layer-profile",
        asked.sides.origin(f"first {early} layers early"), lambda: take_layer("layer profile"),
    )  # fmt: skip
    found = data.specialisation(asked.arm.key, asked.mdm.key, asked.k, early)
    st.markdown(
        f"**Early share** (first {early} of {asked.graph.n_layers} layers): ARM {percent(found.early.arm)}, MDM "
        f"{percent(found.early.mdm)}. **Ratio MDM / ARM: {number(found.early_ratio, 2)}**."
    )
    st.caption(
        f"How the importance (sum of |score| over a component's edges) of the {asked.k:,} strongest edges is spread "
        "over layers of heads and MLPs. Click a layer to see its neurons. " + intervals_note(asked)
    )


def histogram(asked: Asked, region: str, layer: int, bin_index: int | None, shares: bool) -> None:
    st.subheader(f"MLP activations, layer {layer}")
    rows = {side.model: histograms(side.run, region) for side in asked.sides}
    if any(row.n == 0 for both in rows.values() for row in both):
        st.info(f"These runs have no tokens of the kind “{region}”. Choose other tokens above.")
        return
    arm, mdm = (rows[model][layer] for model in ("arm", "mdm"))
    shown = drawing.shown_bins([row for side in asked.sides for row in cached_reads.rows(LayerHistogram, side.run.key)])
    figure = drawing.histogram_figure(arm, mdm, shown, bin_index, shares, widgets.palette())
    widgets.chart(
        figure, "activation histogram", f"Histogram of the MLP activations of layer {layer}, ARM and MDM",
        f"activations-layer{layer}-{region}", asked.sides.origin(f"layer {layer}, {region} tokens", with_k=False),
        lambda: take_bin("activation histogram"),
    )  # fmt: skip
    st.markdown(
        f"**Active**: ARM {arm.active:.1%}, MDM {mdm.active:.1%}. **Excess kurtosis**: ARM {kurtosis(arm)}, MDM "
        f"{kurtosis(mdm)}."
    )
    st.caption(
        f"Every neuron of the layer at every {region} token of the clean inputs: ARM {arm.n:,}, MDM {mdm.n:,} values, "
        "in the same bins, on a logarithmic axis. Active: the non-linearity's input is above 0. Excess kurtosis: 0 for "
        "a normal distribution, large where few neurons do much. Click a bin to see who is in it."
    )


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


def norms(asked: Asked, region: str) -> None:
    """How long the vectors are that layers pass on and that heads write."""
    st.subheader("Length of the residual stream")
    widgets.chart(
        residual_figure(asked.arm, asked.mdm, widgets.palette()),
        "residual norms", "Norm of the residual stream by layer and position, ARM and MDM", "residual-norms",
        residual_origin(asked.arm, asked.mdm),
    )  # fmt: skip
    st.caption(
        "Mean norm of what layers pass on (0: the embedding), by position; token 0, right of the dotted line, is the "
        "first of the answer. Both models in the same colours, on a logarithmic scale."
    )
    st.subheader("Length of what heads write")
    widgets.chart(
        heads_figure(asked.arm, asked.mdm, region, widgets.palette()),
        "head norms", "Norm of every head's output, ARM and MDM", f"head-norms-{region}",
        heads_origin(asked.arm, asked.mdm, region),
    )  # fmt: skip
    st.caption(f"Mean norm of what each head adds to the residual stream at {region} tokens, in the same colours.")


def spread_table(asked: Asked) -> None:
    """Effective numbers, Gini and lens, of both models and their difference."""
    st.dataframe(
        spread_rows(asked), height="content", hide_index=True, alt="How specialised both models are, with intervals",
    )  # fmt: skip
    st.caption(
        "In brackets: the 95 % interval over examples. " + intervals_note(asked) + " Effective number: how many "
        "equally important ones would be spread as much (exp of the entropy of the shares); Gini: 0 when all matter "
        "alike, near 1 when few do everything. For neurons only two halves of the examples are stored, so the "
        "values of even / odd examples stand in place of an interval (“/”). "
        "Lens: means over the layers below; low entropy and high top-1 probability mean that it points to few tokens."
    )


def spread_rows(asked: Asked) -> list[dict[str, str]]:
    early = profiles.early_boundary(asked.graph.n_layers)
    found = data.specialisation(asked.arm.key, asked.mdm.key, asked.k, early)
    rows = [
        contrast_row(f"Circuit at K = {asked.k:,}: effective components", found.effective_number, 1),
        contrast_row(f"Circuit at K = {asked.k:,}: Gini of components", found.gini, 3),
    ]
    arm, mdm = (data.neuron_spread(side.run.key) for side in asked.sides)
    rows.append(halves_row("MLP neurons: effective number", arm.effective_number, mdm.effective_number, ",.1f"))
    rows.append(halves_row("MLP neurons: Gini", arm.gini, mdm.gini, ".3f"))
    for measure, (_, whole) in data.lens_bands(asked.arm.key, asked.mdm.key).items():
        rows.append(contrast_row(SHORT[measure], _whole(whole), 3))
    return rows


def lens(asked: Asked) -> None:
    st.subheader("What the logit lens says, by layer")
    measure = st.segmented_control(
        "Measure", state.MEASURES, default=state.MEASURES[0], required=True, key=state.MEASURE, bind=state.URL,
        help="Residual: the stream after a layer, read as logits. Components: a layer's heads and MLP, each alone.",
    )  # fmt: skip
    name = MEASURES[str(measure)]
    widgets.chart(
        lens_figure(asked.arm, asked.mdm, name, widgets.palette()),
        "lens by layer", f"By layer: {SAID[name]}, ARM, MDM and their difference", f"lens-{name.replace('_', '-')}",
        lens_origin(asked.arm, asked.mdm, name),
    )  # fmt: skip
    st.caption(
        "Means over the examples' readouts. The band is the 95 % interval over examples; where it leaves 0 out, the "
        "models differ."
    )


def downloads(asked: Asked, region: str) -> None:
    st.header("Download", divider="gray")
    st.caption("The camera on every figure saves it as an SVG picture; a table's own button saves it as CSV.")
    with_k, without = asked.sides.origin(), asked.sides.origin(with_k=False)
    of_region = asked.sides.origin(f"{region} tokens", with_k=False)
    offered: dict[str, tuple[Origin, Callable[[], list[files.Row]]]] = {
        "Importance by layer": (with_k, lambda: files.profile_rows(asked)),
        "Histograms": (without, lambda: files.histogram_rows(asked)),
        "Residual norms": (without, lambda: files.norm_rows(asked)),
        f"Head norms ({region})": (of_region, lambda: files.head_rows(asked, region)),
        "Specialisation": (with_k, lambda: [dict(row) for row in spread_rows(asked)]),
        "Lens by layer": (without, lambda: files.lens_rows(asked)),
    }
    with st.container(horizontal=True):
        for label, (source, rows) in offered.items():
            name = label.partition(" (")[0].lower().replace(" ", "-")
            file = f"{name}-{region}" if source is of_region else name
            st.download_button(
                label, _csv(rows, source), file_name=f"{source.stem(file)}.csv", mime="text/csv",
                key=f"download {name}", icon=":material/download:", on_click="ignore",
            )  # fmt: skip


# What doesn't depend on K is drawn once; figures are shared by all sessions as they are, so nobody may change them.

_BY_KEY: dict[str | type[Any], Callable[[Any], Any]] = {Run: lambda run: run.key}


@st.cache_resource(show_spinner=False, max_entries=32, hash_funcs=_BY_KEY)
def statistics_figure(arm: Run, mdm: Run, region: str, look: Palette) -> go.Figure:
    figure = drawing.statistics_figure(histograms(arm, region), histograms(mdm, region), look)
    return captioned(figure, statistics_origin(arm, mdm, region).lines, look)


@st.cache_resource(show_spinner=False, max_entries=32, hash_funcs=_BY_KEY)
def residual_figure(arm: Run, mdm: Run, look: Palette) -> go.Figure:
    figure = drawing.residual_figure(*data.residual_norms(arm.key, mdm.key), look)
    return captioned(figure, residual_origin(arm, mdm).lines, look)


@st.cache_resource(show_spinner=False, max_entries=32, hash_funcs=_BY_KEY)
def heads_figure(arm: Run, mdm: Run, region: str, look: Palette) -> go.Figure:
    norms = (data.head_norms(run.key, model, region) for model, run in (("arm", arm), ("mdm", mdm)))
    return captioned(drawing.heads_figure(*norms), heads_origin(arm, mdm, region).lines, look)


@st.cache_resource(show_spinner=False, max_entries=32, hash_funcs=_BY_KEY)
def lens_figure(arm: Run, mdm: Run, measure: str, look: Palette) -> go.Figure:
    contrast, _ = data.lens_bands(arm.key, mdm.key)[measure]
    figure = drawing.lens_figure(contrast, SAID[measure], measure.endswith("top"), look)
    return captioned(figure, lens_origin(arm, mdm, measure).lines, look)


def statistics_origin(arm: Run, mdm: Run, region: str) -> Origin:
    return origin([arm, mdm], about=[f"MLP activations at {region} tokens"])


def residual_origin(arm: Run, mdm: Run) -> Origin:
    return origin([arm, mdm], about=["norm of the residual stream"])


def heads_origin(arm: Run, mdm: Run, region: str) -> Origin:
    return origin([arm, mdm], about=[f"norm of what heads write at {region} tokens"])


def lens_origin(arm: Run, mdm: Run, measure: str) -> Origin:
    return origin([arm, mdm], about=[SAID[measure]])


def histograms(run: Run, region: str) -> list[LayerHistogram]:
    """By layer."""
    found = [row for row in cached_reads.rows(LayerHistogram, run.key) if row.region == region]
    return sorted(found, key=lambda row: row.layer)


def take_layer(chart: str) -> None:
    """The callback of the profile: choose the clicked layer, whole."""
    clicked = clicked_number(chart)
    if clicked is not None:
        st.session_state[state.LAYER] = clicked
        st.session_state[state.BIN] = None


def take_bin(chart: str) -> None:
    """The callback of the histogram: choose the clicked bin, or none when it was chosen already."""
    clicked = clicked_number(chart)
    if clicked is not None:
        st.session_state[state.BIN] = None if clicked == st.session_state.get(state.BIN) else clicked


def clicked_number(chart: str) -> int | None:
    """The `customdata` of what was clicked; a click on what Plotly holds as selected arrives as an empty selection."""
    points = st.session_state[chart]["selection"]["points"]
    memory = "last clicked in " + chart
    found = [np.ravel(point["customdata"])[0] for point in points if "customdata" in point]
    if found:
        st.session_state[memory] = int(found[0])
    last = st.session_state.get(memory)
    return last if isinstance(last, int) else None


def intervals_note(asked: Asked) -> str:
    """What the intervals come from, or why there are none."""
    n, known = asked.arm.spec.n, len(cached_reads.edge_blocks(asked.arm.key).edge)
    if min(n, BLOCKS) < intervals.FEWEST:
        return f"No intervals from {n} examples: choose {intervals.FEWEST} or more in Settings."
    said = (
        f"Intervals: 95 %, from {intervals.RESAMPLES:,} resamples of the {n} examples, the same for both models, "
        "with the circuits' edges kept."
    )
    if asked.k > known:
        said += f" Only the {known:,} strongest edges are resampled, so they are somewhat too narrow at this K."
    return said


def kurtosis(row: LayerHistogram) -> str:
    return "none, as nothing varies" if row.kurtosis is None else f"{row.kurtosis:.1f}"


def percent(found: Estimate) -> str:
    if found.low is None or found.high is None:
        return printed(found.value, ".1%")
    return f"{found.value:.1%} ({found.low:.1%} to {found.high:.1%})"


def number(found: Estimate, digits: int) -> str:
    value = printed(found.value, f".{digits}f")
    if found.low is None or found.high is None:
        return value
    return f"{value} ({found.low:.{digits}f} to {found.high:.{digits}f})"


def contrast_row(what: str, found: Contrast, digits: int) -> dict[str, str]:
    told = (number(estimate, digits) for estimate in (found.arm, found.mdm, found.difference))
    return dict(zip(COLUMNS, (what, *told), strict=True))


def halves_row(
    what: str, arm: tuple[float, float, float], mdm: tuple[float, float, float], form: str
) -> dict[str, str]:
    """Of all, even and odd examples."""
    difference = tuple(a - b for a, b in zip(arm, mdm, strict=True))
    told = ("{} ({} / {})".format(*(printed(value, form) for value in own)) for own in (arm, mdm, difference))
    return dict(zip(COLUMNS, (what, *told), strict=True))


def _whole(found: BandContrast) -> Contrast:
    """Bands of one entry as estimates."""
    made = []
    for bands in (found.arm, found.mdm, found.difference):
        low, high = (None if end is None else float(end) for end in (bands.low, bands.high))
        made.append(Estimate(float(bands.value), low, high))
    return Contrast(*made)


def _forget_bin() -> None:
    st.session_state[state.BIN] = None


def _csv(rows: Callable[[], list[files.Row]], source: Origin) -> Callable[[], bytes]:
    about = {"about": ", ".join(source.about)} if source.about else {}
    return lambda: files.as_csv([{**row, **about, **source.columns} for row in rows()])


show(page)
