"""Down to single neurons: an MLP's neurons in both models, one of them in detail, search, pins."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import pyarrow as pa
import streamlit as st
from numpy.typing import NDArray

from engine.circuits.shared_edges import nodes_of
from engine.files.csv_text import csv_of_table
from engine.models.token_text import visible
from pages.figures.neurons import Points, scatter_figure
from pages.figures.palette import NAME
from pages.panels import neuron, neuron_data
from pages.panels.neuron import name_of
from pages.panels.neuron_data import MODELS, Layer, Promoter, Spot
from pages.panels.references import SPLIT_HALF_HELP
from pages.shared import address, run_selector, state, widgets
from pages.shared.address_keys import quoted
from pages.shared.entry import show
from pages.shared.run_selector import Asked

MOST_ROWS = 1000  # of the layer's table on the page; the download has all
TILE = 240  # pixels: four in a row of a wide window, two of a narrow one
TOKENS_SHOWN = 5

Height = int | Literal["auto", "content"]


def page() -> None:
    st.title("Neurons")
    with widgets.user_errors():
        asked = run_selector.both_runs()
        if asked:
            explore(asked)


@st.fragment
def explore(asked: Asked) -> None:
    """Everything below the selectors. One fragment: a click reruns this and nothing else."""
    with widgets.user_errors():
        arm, mdm = asked.arm.key, asked.mdm.key
        layer, chosen = choosers(asked)
        marks(asked)
        found, tiles, overview, panel = st.container(), st.container(), st.container(), st.container()
        neurons = neuron_data.layer(arm, mdm, layer)
        with panel:  # what a click asks for comes first, the rest of the page after it
            show_neuron(asked, neurons, chosen)
        with overview:
            all_neurons(asked, neurons, chosen)
        with tiles:
            numbers(neurons, asked.arm.has_halves and asked.mdm.has_halves)
        with found:
            results(asked, layer)
        pinned(asked)
        st.caption("  \n".join(widgets.provenance(side.title, side.run) for side in asked.sides))


def choosers(asked: Asked) -> tuple[int, int | None]:
    """The layer and the neuron, if one is chosen."""
    n_layers, n_neurons = asked.graph.n_layers, asked.arm.meta.n_neurons
    strongest = strongest_layer(asked)
    session = st.session_state
    address.check(state.LAYER, range(n_layers))
    address.check(state.NEURON, range(n_neurons))
    if session.get(state.LAYER) not in range(n_layers):
        session.pop(state.LAYER, None)
        if state.LAYER not in st.query_params:
            session[state.LAYER] = strongest
    if session.get(state.NEURON) is not None and session[state.NEURON] not in range(n_neurons):
        session[state.NEURON] = None
    places = st.columns([2, 3, 5, 4], vertical_alignment="bottom")
    with places[0]:
        layer = st.selectbox(
            "Layer", range(n_layers), index=None, placeholder=str(strongest),
            key=state.LAYER, bind=state.URL, on_change=neuron.choose, args=(None,),
        )  # fmt: skip
    layer = strongest if layer is None else layer
    with places[1]:
        chosen = st.number_input(
            f"Neuron (0 to {n_neurons - 1:,})", 0, n_neurons - 1, None, key=state.NEURON, bind=state.URL,
            placeholder="Click one, or type",
        )  # fmt: skip
    with places[2]:
        st.text_input(
            "Search", key=state.SEARCH, bind=state.URL, icon=":material/search:",
            placeholder="A token (who promotes Mary?) or a neuron (3:117)",
            on_change=search, args=(asked, layer),
        )  # fmt: skip
    with places[3]:
        st.text_input(
            "Pinned neurons", key=state.PINS, bind=state.URL, placeholder="3:117, 3:5", icon=":material/keep:",
            help="Layer:neuron, separated by commas. They are in the address, so a copied link brings them along.",
        )  # fmt: skip
    return int(layer), None if chosen is None else int(chosen)


def strongest_layer(asked: Asked) -> int:
    """The layer of the neuron with the largest |attribution| in either model."""
    by_layer = [
        np.abs(neuron_data.attributions(run.key)).reshape(asked.graph.n_layers, -1).max(axis=1)
        for run in (asked.arm, asked.mdm)
    ]
    return int(np.maximum(*by_layer).argmax())


def marks(asked: Asked) -> None:
    """Which MLPs are in the circuits at K."""
    graph = asked.graph
    inside = {side.model: nodes_of(graph, edges.edge) for side, edges in asked.sides.classified}
    groups: dict[str, list[str]] = {"both circuits": [], "the ARM's only": [], "the MDM's only": [], "neither": []}
    for layer in range(graph.n_layers):
        arm, mdm = (bool(inside[model][graph.mlp(layer)]) for model in MODELS)
        group = list(groups)[0 if arm and mdm else 1 if arm else 2 if mdm else 3]
        groups[group].append(f"m{layer}")
    told = [f"in {group}: **{', '.join(names)}**" for group, names in groups.items() if names]
    st.caption(f"MLPs at K = {asked.k:,}, " + "; ".join(told) + ".")


def numbers(neurons: Layer, has_halves: bool) -> None:
    """How alike the neurons' attributions are, in a few figures."""
    like = neuron_data.likeness(neurons)
    sums = [float(neurons.attribution[model].sum()) for model in MODELS]
    tiles = (
        (
            "Correlation",
            f"{like.correlation:.3f}",
            f"{len(neurons):,} neurons",
            "Pearson's, of the ARM's with the MDM's attribution at the same neuron.",
        ),
        (
            f"Overlap of the {like.n} strongest",
            f"{like.jaccard:.3f}",
            f"chance {like.chance:.3f}",
            f"Jaccard: {like.shared:,} neurons are among the {like.n} with the largest |attribution| of both models.",
        ),
        (
            "Overlap on halves",
            f"{like.halves.pair:.3f}" if has_halves else "none",
            f"ARM {like.halves.arm:.3f}, MDM {like.halves.mdm:.3f}" if has_halves else "needs two prompts",
            f"The {like.n} strongest neurons. {SPLIT_HALF_HELP}",
        ),
        (
            "Sum of attributions",
            f"{sums[0]:+.3g} / {sums[1]:+.3g}",
            "ARM / MDM, the whole MLP",
            "What the MLP as a whole adds to the metric by this measure.",
        ),
    )
    with st.container(horizontal=True, gap="medium"):
        for label, value, note, said in tiles:
            st.metric(label, value, note, delta_color="off", delta_arrow="off", help=said, width=TILE)


def all_neurons(asked: Asked, neurons: Layer, chosen: int | None) -> None:
    """The layer's neurons as a scatter and as a table; both choose."""
    left, right = st.columns(2, gap="medium")
    with left:
        st.subheader(f"MLP of layer {neurons.number}: ARM against MDM")
        scatter(asked, neurons, chosen)
        st.caption(
            "A dot is a neuron. Its attribution is its part of the metric: positive pushes towards the right answer. "
            f"Marked: the {neurons.strongest} with the largest |attribution| of each model."
        )
    with right:
        st.subheader("Ranked")
        order = st.segmented_control(
            "Order by the largest |attribution| of", state.NEURON_ORDERS, default=state.NEURON_ORDERS[0],
            required=True, key=state.SORT, bind=state.URL,
            help="either: of the two models; difference: MDM minus ARM. A column's head sorts too.",
        )  # fmt: skip
        layer_table(asked, neurons, ordered(neurons, str(order)), chosen)


def scatter(asked: Asked, neurons: Layer, chosen: int | None) -> None:
    key = f"neuron scatter {asked.arm.key[:8]} {asked.mdm.key[:8]} {neurons.number}"
    points = Points(neurons.number, neurons.attribution, neurons.said, neurons.among_strongest)
    pins = [j for layer, j in neuron.pins() if layer == neurons.number and j < len(neurons)]
    widgets.chart(
        scatter_figure(points, widgets.palette(), chosen, pins),
        key,
        f"Attribution of every neuron of layer {neurons.number} in the ARM and in the MDM",
        f"neurons-m{neurons.number}",
        asked.sides.origin(f"attribution of the neurons of m{neurons.number}", with_k=False),
        lambda: neuron.take_click(key, neurons.number),
    )


def ordered(neurons: Layer, order: str) -> NDArray[np.int_]:
    """The layer's neurons, the strongest by an order of state.NEURON_ORDERS first; ties by number."""
    arm, mdm = (neurons.attribution[model] for model in MODELS)
    strength = {
        "either": np.maximum(np.abs(arm), np.abs(mdm)),
        "ARM": np.abs(arm),
        "MDM": np.abs(mdm),
        "difference": np.abs(mdm - arm),
    }[order]
    return np.argsort(-strength, kind="stable")


def layer_table(asked: Asked, neurons: Layer, order: NDArray[np.int_], chosen: int | None) -> None:
    rows = order[:MOST_ROWS]
    spots = [(neurons.number, int(j)) for j in rows]
    table = table_of([(neurons, rows)])
    key = f"neuron table {asked.arm.key[:8]} {asked.mdm.key[:8]} {neurons.number} {st.session_state.get(state.SORT)}"
    selectable(table, key, spots, (neurons.number, chosen), f"Neurons of layer {neurons.number}", 470)
    note = "Tick a row to choose its neuron."
    if len(order) > MOST_ROWS:
        note += f" Here are the first {MOST_ROWS:,} of {len(order):,} neurons; the download has all."
    with st.container(horizontal=True, vertical_alignment="center"):
        download(asked, lambda: table_of([(neurons, order)], halves=True), f"neurons-m{neurons.number}")
        st.caption(note)


def show_neuron(asked: Asked, neurons: Layer, chosen: int | None) -> None:
    if chosen is None:
        st.info(
            "Click a dot, tick a row, type a number or search. Here you will see what the neuron does in both models: "
            "where it is active, what it promotes and suppresses, and how post-training changed it.",
            icon=":material/ads_click:",
        )
        return
    neuron.neuron_panel(asked.sides, neurons, chosen)


def search(asked: Asked, layer: int) -> None:
    """The callback of the search: what can only be a neuron's place chooses it at once."""
    text = str(st.session_state[state.SEARCH])
    spot = neuron_data.spot_of(text, layer)
    if spot and exists(asked, spot) and not neuron_data.promoters(asked.arm.key, asked.mdm.key, text):
        neuron.choose(spot)
        st.session_state[state.SEARCH] = ""


def exists(asked: Asked, spot: Spot) -> bool:
    return spot[0] < asked.graph.n_layers and spot[1] < asked.arm.meta.n_neurons


def results(asked: Asked, layer: int) -> None:
    """What the search found: a neuron by its place, and the neurons of all layers that promote a token."""
    text = str(st.session_state.get(state.SEARCH) or "")
    if not text:
        return
    spot = neuron_data.spot_of(text, layer)
    found = neuron_data.promoters(asked.arm.key, asked.mdm.key, text)
    with st.container(border=True):
        shown = widgets.plain(visible(text))
        if spot:
            by_place(asked, spot)
        if found:
            promoting(asked, found, shown)
        elif not spot:
            st.markdown(f"No neuron has **{shown}** among the {TOKENS_SHOWN} tokens it promotes most, in either model.")
            alike = neuron_data.similar_tokens(asked.arm.key, asked.mdm.key, text)
            if alike:
                names = ", ".join(f"**{widgets.plain(visible(token))}**" for token in alike)
                st.caption(f"Similar tokens that some neuron promotes: {names}.")


def by_place(asked: Asked, spot: Spot) -> None:
    if exists(asked, spot):
        st.button(
            f"Show neuron {spot[1]} of layer {spot[0]}", key="by place", on_click=neuron.choose, args=(spot,),
            icon=":material/arrow_forward:",
        )  # fmt: skip
    else:
        st.markdown(
            f"There is no neuron {spot[1]} in layer {spot[0]}: layers go from 0 to {asked.graph.n_layers - 1}, neurons "
            f"from 0 to {asked.arm.meta.n_neurons - 1:,}."
        )


def promoting(asked: Asked, found: Sequence[Promoter], shown: str) -> None:
    places = len({one.spot for one in found})
    st.markdown(f"**{places:,} neurons promote {shown}**: it is among the {TOKENS_SHOWN} tokens each promotes most.")
    labels = {f"{name_of(one.spot)} {visible(one.token)}": one.spot for one in found}

    def pick() -> None:
        picked = st.session_state["found neuron"]
        if picked in labels:
            neuron.choose(labels[picked])

    st.selectbox(
        "Choose one of them", list(labels), index=None, key="found neuron", on_change=pick,
        placeholder="The largest |attribution| first",
    )  # fmt: skip
    columns: dict[str, object] = {
        "Layer": [one.spot[0] for one in found],
        "Neuron": [one.spot[1] for one in found],
        "Token": [visible(one.token) for one in found],
        "Promoted in": [_where(one) for one in found],
    }
    for model in MODELS:
        columns[f"{NAME[model]} logit"] = pa.array([one.logit.get(model) for one in found], pa.float32())
        columns[f"{NAME[model]} attribution"] = pa.array([one.attribution[model] for one in found], pa.float32())
    table = pa.table(columns)
    now = st.session_state.get(state.LAYER), st.session_state.get(state.NEURON)
    key = f"neuron search {asked.arm.key[:8]} {asked.mdm.key[:8]} {shown}"
    selectable(table, key, [one.spot for one in found], now, "Neurons that promote the token", "auto")
    download(asked, lambda: table, "promoters")


def pinned(asked: Asked) -> None:
    """The pinned neurons beside each other."""
    st.header("Pinned", divider="gray")
    spots = neuron.pins()
    there = [spot for spot in spots if exists(asked, spot)]
    if len(there) < len(spots):
        gone = ", ".join(name_of(spot) for spot in spots if spot not in there)
        st.caption(f"Not in these models: {gone}.")
    if unread := neuron.unread_pins():
        st.caption(widgets.plain(f"Not read as neurons: {', '.join(map(quoted, unread))}. Write 3:117, 3:5."))
    if not there:
        st.info("Pin neurons in their panel, or type them at the top, to compare them here.", icon=":material/keep:")
        return
    layers = {at: neuron_data.layer(asked.arm.key, asked.mdm.key, at) for at, _ in there}
    rows = [(layers[at], np.array([j])) for at, j in there]
    now = st.session_state.get(state.LAYER), st.session_state.get(state.NEURON)
    key = f"neuron pins {asked.arm.key[:8]} {asked.mdm.key[:8]} {there}"
    selectable(table_of(rows), key, there, now, "Pinned neurons", "content")
    with st.container(horizontal=True):
        for spot in there:
            st.button(
                f"Unpin {name_of(spot)}", key=f"unpin {name_of(spot)}", icon=":material/keep_off:",
                on_click=neuron.toggle_pin, args=(spot,),
            )  # fmt: skip
        download(asked, lambda: table_of(rows, halves=True), "pinned")


def table_of(rows: Sequence[tuple[Layer, NDArray[np.int_]]], halves: bool = False) -> pa.Table:
    """Neurons of some layers with both models' numbers, one row each."""
    return pa.concat_tables([_rows_of(neurons, chosen, halves) for neurons, chosen in rows], promote_options="default")


def selectable(
    table: pa.Table, key: str, spots: list[Spot], now: tuple[object, object], alt: str, height: Height
) -> None:
    """A table whose rows choose neurons; the chosen one's row is ticked. `spots` has the neuron of every row."""
    wanted = [spots.index(now)] if now in spots else []
    if list(st.session_state.get(key, {}).get("selection", {}).get("rows", [])) != wanted:
        st.session_state[key] = {"selection": {"rows": wanted, "columns": [], "cells": []}}

    def pick() -> None:
        rows = st.session_state[key]["selection"]["rows"]
        neuron.choose(spots[rows[0]] if rows else None)

    number = st.column_config.NumberColumn
    formats = {
        name: number(format="%+.4f" if "attribution" in name or "logit" in name else "%.3f")
        for name in table.column_names
        if pa.types.is_floating(table.schema.field(name).type)
    }
    formats |= {name: number(format="localized") for name in table.column_names if name.endswith("rank")}
    several = len({layer for layer, _ in spots}) > 1
    st.dataframe(
        table,
        key=key,
        height=height,
        hide_index=True,
        column_order=[name for name in table.column_names if several or name != "Layer"],
        on_select=pick,
        selection_mode="single-row",
        column_config=formats,
        placeholder="",
        alt=alt,
    )


def download(asked: Asked, made: Callable[[], pa.Table], name: str) -> None:
    """A table as CSV, each row with where it comes from."""
    source = asked.sides.origin(with_k=False)

    def data() -> bytes:
        table = made()
        for column, value in source.columns.items():
            table = table.append_column(column, pa.repeat(str(value), len(table)))
        return csv_of_table(table)

    st.download_button(
        "CSV", data, file_name=f"{source.stem(name)}.csv", mime="text/csv", key=f"download {name}",
        icon=":material/download:", on_click="ignore",
    )  # fmt: skip


def _rows_of(neurons: Layer, chosen: NDArray[np.int_], halves: bool) -> pa.Table:
    columns: dict[str, object] = {"Layer": np.full(len(chosen), neurons.number), "Neuron": chosen}
    for model in MODELS:
        columns[f"{NAME[model]} attribution"] = neurons.attribution[model][chosen]
        columns[f"{NAME[model]} rank"] = neurons.rank[model][chosen] + 1
        if halves:
            for what, values in zip(("even", "odd"), neurons.halves[model], strict=True):
                columns[f"{NAME[model]} attribution, {what} examples"] = values[chosen]
    for which, values in neurons.cosine.items():
        if np.isfinite(values).any():
            columns[f"Cosine {which}"] = _known(values[chosen])
    columns["Correlation"] = _known(neurons.correlation[chosen])
    for model in MODELS:
        columns[f"{NAME[model]} promotes"] = [
            "  ".join(visible(token) for token in neurons.promoted[model][j][:TOKENS_SHOWN]) for j in chosen
        ]
    return pa.table(columns)


def _known(values: NDArray[np.float32]) -> pa.Array:
    """Numbers, and nothing where there is none."""
    return pa.array(values, pa.float32(), mask=~np.isfinite(values))


def _where(one: Promoter) -> str:
    return "both" if len(one.logit) == 2 else NAME[next(iter(one.logit))]


show(page)
