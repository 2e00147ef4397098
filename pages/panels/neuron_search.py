"""Search for a neuron by its place or by a token that it promotes, and show the results."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import streamlit as st

from engine.models.token_text import visible
from engine.runs.token_search import Place, Promoter, neuron_place
from pages.figures.palette import NAME
from pages.panels import neuron_data
from pages.panels.chosen_neurons import choose, name_of
from pages.panels.neuron_data import MODELS
from pages.panels.neuron_tables import TOKENS_SHOWN, download, selectable
from pages.shared import state, widgets
from pages.shared.artifacts import awaited
from pages.shared.run_selector import Asked


def search(asked: Asked, layer: int) -> None:
    """The callback of the search: what can only be a neuron's place chooses it at once."""
    text = str(st.session_state[state.SEARCH])
    place = neuron_place(text, layer)
    if place and exists(asked, place) and not promoters_of(asked, text):
        choose(place)
        st.session_state[state.SEARCH] = ""


def promoters_of(asked: Asked, text: str) -> list[Promoter]:
    """The neurons that promote a token; none while that is not computed."""
    keys = asked.arm.key, asked.mdm.key
    return neuron_data.promoters(*keys, text) if neuron_data.knows_weights(*keys) else []


def exists(asked: Asked, place: Place) -> bool:
    return place[0] < asked.graph.n_layers and place[1] < asked.arm.meta.n_neurons


def results(asked: Asked, layer: int) -> None:
    """What matches the search, to choose from: a neuron by its place, the neurons that promote a token."""
    text = searched()
    if not text:
        return
    place = neuron_place(text, layer)
    promoters = promoters_of(asked, text)
    with st.container(border=True):
        shown = widgets.plain(visible(text))
        if place:
            by_place(asked, place)
        if awaited("search", asked.runs, "weights"):
            return
        if promoters:
            choose_promoter(promoters, shown)
        elif not place:
            st.markdown(f"No neuron has **{shown}** among the {TOKENS_SHOWN} tokens it promotes most, in either model.")
            alike = neuron_data.similar_tokens(asked.arm.key, asked.mdm.key, text)
            if alike:
                names = ", ".join(f"**{widgets.plain(visible(token))}**" for token in alike)
                st.caption(f"Similar tokens that some neuron promotes: {names}.")


def matching(asked: Asked) -> None:
    """The neurons of all layers that promote the token searched for, as a table that chooses."""
    text = searched()
    promoters = promoters_of(asked, text) if text else []
    if not promoters:
        return
    shown = widgets.plain(visible(text))
    st.header(f"Neurons that promote {shown}", divider="gray")
    table = promoter_table(promoters)
    now = st.session_state.get(state.LAYER), st.session_state.get(state.NEURON)
    key = f"neuron search {asked.arm.key[:8]} {asked.mdm.key[:8]} {shown}"
    places = [promoter.place for promoter in promoters]
    selectable(table, key, places, now, "Neurons that promote the token", "auto")
    download(asked, lambda: table, "promoters")


def searched() -> str:
    """What the reader searches for."""
    return str(st.session_state.get(state.SEARCH) or "")


def by_place(asked: Asked, place: Place) -> None:
    if exists(asked, place):
        st.button(
            f"Show neuron {place[1]} of layer {place[0]}", key="by place", on_click=choose, args=(place,),
            icon=":material/arrow_forward:",
        )  # fmt: skip
    else:
        st.markdown(
            f"There is no neuron {place[1]} in layer {place[0]}: layers go from 0 to {asked.graph.n_layers - 1}, "
            f"neurons from 0 to {asked.arm.meta.n_neurons - 1:,}."
        )


def choose_promoter(promoters: Sequence[Promoter], shown: str) -> None:
    """Choose one of the neurons that promote the token `shown` (Markdown)."""
    count = len({promoter.place for promoter in promoters})
    st.markdown(f"**{count:,} neurons promote {shown}**: it is among the {TOKENS_SHOWN} tokens each promotes most.")
    labels = {f"{name_of(promoter.place)} {visible(promoter.token)}": promoter.place for promoter in promoters}

    def pick() -> None:
        picked = st.session_state["promoter"]
        if picked in labels:
            choose(labels[picked])

    st.selectbox(
        "Choose one of them", list(labels), index=None, key="promoter", on_change=pick,
        placeholder="The largest |attribution| first; all are listed below",
    )  # fmt: skip


def promoter_table(promoters: Sequence[Promoter]) -> pa.Table:
    columns: dict[str, object] = {
        "Layer": [promoter.place[0] for promoter in promoters],
        "Neuron": [promoter.place[1] for promoter in promoters],
        "Token": [visible(promoter.token) for promoter in promoters],
        "Promoted in": [_models_of(promoter) for promoter in promoters],
    }
    for model in MODELS:
        logits = [promoter.logit.get(model) for promoter in promoters]
        attributions = [promoter.attribution[model] for promoter in promoters]
        columns[f"{NAME[model]} logit"] = pa.array(logits, pa.float32())
        columns[f"{NAME[model]} attribution"] = pa.array(attributions, pa.float32())
    return pa.table(columns)


def _models_of(promoter: Promoter) -> str:
    return "both" if len(promoter.logit) == 2 else NAME[next(iter(promoter.logit))]
