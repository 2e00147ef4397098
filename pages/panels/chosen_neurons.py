"""Keep which neuron is chosen and which are pinned, in the session and so in the address."""

from __future__ import annotations

import streamlit as st

from engine.runs.token_search import Place, neuron_place
from pages.shared import state

MOST_PINS = 20


def name_of(place: Place) -> str:
    return f"m{place[0]}.{place[1]}"


def choose(place: Place | None) -> None:
    """Make a neuron the chosen one, of its layer; None: none is chosen."""
    if place:
        st.session_state[state.LAYER] = place[0]
    st.session_state[state.NEURON] = place[1] if place else None


def pins() -> list[Place]:
    """The pinned neurons, as the address holds them ("3:117,3:5"); what is no neuron's place is left out."""
    places = [place for text in _pin_texts() if (place := neuron_place(text))]
    return list(dict.fromkeys(places))[:MOST_PINS]


def unread_pins() -> list[str]:
    """What was written among the pins and is not pinned: no neuron's place, or one too many."""
    pinned = pins()
    return [text.strip() for text in _pin_texts() if text.strip() and neuron_place(text) not in pinned]


def toggle_pin(place: Place) -> None:
    """Pin a neuron, or unpin it when it is pinned."""
    now = pins()
    kept = [pin for pin in now if pin != place] if place in now else [*now, place]
    st.session_state[state.PINS] = ",".join(f"{layer}:{neuron}" for layer, neuron in kept)


def _pin_texts() -> list[str]:
    return str(st.session_state.get(state.PINS) or "").replace(";", ",").split(",")
