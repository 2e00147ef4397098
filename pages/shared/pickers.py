"""Pickers whose choice is in the address by its key while the reader sees a title.

A widget bound to the address would write what the reader sees there, and take its default out of it, which is one more
step of the browser's Back. These keep their key in the session and write it to the address when the reader chooses.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import streamlit as st

from pages.shared import address
from pages.shared.address_keys import KEYS, whole


def select(label: str, options: Sequence[str], key: str, title: Callable[[str], str] = str, **more: Any) -> str:
    """One of several; where the address and the session name none of them, the first."""
    _prepare(key, options, options[0])
    return str(st.selectbox(label, options, format_func=title, key=key, on_change=_write, args=(key,), **more))


def slide(label: str, options: Sequence[str], default: str, key: str, **more: Any) -> str:
    """One of several in an order."""
    _prepare(key, options, default)
    return str(st.select_slider(label, options, key=key, on_change=_write, args=(key,), **more))


def number(label: str, bounds: tuple[int, int], default: int, key: str, **more: Any) -> int:
    """A whole number within bounds."""
    _prepare(key, range(bounds[0], bounds[1] + 1), default)
    return int(st.number_input(label, *bounds, key=key, on_change=_write, args=(key,), **more))


def titles(names: Mapping[str, str]) -> Callable[[str], str]:
    """What each name is called; where several have one title, with the name, as Streamlit tells options by that."""
    uses = Counter(names.values())
    shown = {name: title if uses[title] == 1 else f"{title} ({name})" for name, title in names.items()}
    return lambda name: shown.get(name, name)


def _prepare(key: str, options: Sequence[Any], default: str | int) -> None:
    """Put what the address names into the session before the widget is made, and only what there is to choose."""
    address.check(key, options)
    session = st.session_state
    if key not in session:
        texts = st.query_params.get_all(key)
        text = texts[0] if texts else None
        session[key] = (whole(text) if text and KEYS[key].bounds else text) or default
    if session[key] not in options:
        session[key] = default
    else:
        session[key] = session[key]  # a choice that came along from another page stands before its widget


def _write(key: str) -> None:
    st.query_params[key] = str(st.session_state[key])
