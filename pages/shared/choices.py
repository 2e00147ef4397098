"""Choices that no Streamlit widget holds: read from the session or the address, written to both.

The circuit component holds K, the node and the filters in the browser and tells them when they rest. Here they are kept
under the keys of pages/shared/state.py, like the values of widgets, so that other pages find them, and put into the
address in one message: each message is one step of the browser's Back.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping

import streamlit as st

from pages.shared import address
from pages.shared.address_keys import KEYS, whole

Value = str | int | bool | list[str] | None


def held(key: str, default: Value, options: Collection[object]) -> Value:
    """What is chosen under a key: one of `options` (several of them where the default is a list), else the default."""
    address.check(key, options)
    if key not in st.session_state:
        st.session_state[key] = _from_address(key, default)
    value = st.session_state[key]
    if isinstance(default, list):
        kept: Value = [entry for entry in value if entry in options] if isinstance(value, list) else default
    else:
        kept = value if value is None or value in options else default
    if kept != value:
        address.note_gone(key, value, options)
        st.session_state[key] = kept
        if st.query_params.get_all(key):
            address.write({key: None if kept == default else _as_text(kept)})
    return kept


def choose(changes: Mapping[str, Value]) -> None:
    """Keep choices under their keys and in the address, where they differ from what is kept."""
    wanted: dict[str, str | list[str] | None] = {}
    for key, value in changes.items():
        if key not in st.session_state or st.session_state[key] != value:
            st.session_state[key] = value
            wanted[key] = _as_text(value)
    address.write(wanted)


def _from_address(key: str, default: Value) -> Value:
    texts = st.query_params.get_all(key)
    if not texts:
        return default
    if isinstance(default, list):
        return [text for text in texts if text]
    if KEYS[key].bounds:
        return whole(texts[0]) or default
    if isinstance(default, bool):
        return texts[0] == "true"
    return texts[0] or default


def _as_text(value: Value) -> str | list[str] | None:
    return value if value is None or isinstance(value, list) else address.as_text(value)
