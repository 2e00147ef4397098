"""Show the pinned neurons beside each other."""

from __future__ import annotations

import numpy as np
import streamlit as st

from pages.panels import neuron_data
from pages.panels.chosen_neurons import name_of, pins, toggle_pin, unread_pins
from pages.panels.neuron_search import exists
from pages.panels.neuron_tables import download, selectable, table_of
from pages.shared import state, widgets
from pages.shared.address_keys import quoted
from pages.shared.run_selector import Asked


def pinned(asked: Asked) -> None:
    """The pinned neurons beside each other."""
    st.header("Pinned", divider="gray")
    places = pins()
    there = [place for place in places if exists(asked, place)]
    if len(there) < len(places):
        gone = ", ".join(name_of(place) for place in places if place not in there)
        st.caption(f"Not in these models: {gone}.")
    if unread := unread_pins():
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
        for place in there:
            st.button(
                f"Unpin {name_of(place)}", key=f"unpin {name_of(place)}", icon=":material/keep_off:",
                on_click=toggle_pin, args=(place,),
            )  # fmt: skip
        download(asked, lambda: table_of(rows, halves=True), "pinned")
