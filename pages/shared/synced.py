"""Widgets and the address, each following the other, so that every choice is one step of the browser's Back.

Streamlit can bind a widget to the address, but then a choice replaces the entry in the browser's history, and a default
that a link names is taken out of the address, which adds one. Here an address that is followed stays as it is; what the
reader then chooses is put into it in one message, and each message adds one entry.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import streamlit as st

from pages.shared import address
from pages.shared.address_keys import KEYS, whole


@dataclass(frozen=True)
class Synced:
    """What a widget shows where nothing is chosen, and what the address says for a value of it."""

    default: Any
    title: Callable[[Any], str]

    def text(self, value: Any) -> str:
        return self.title(value) if self.title is not str and value is not None else address.as_text(value)


def synced(
    key: str,
    default: Any,
    options: Sequence[Any] | None = None,
    title: Callable[[Any], str] = str,
    writes: bool = True,
) -> str:
    """The key of a widget that is made next; the address and the session agree on its value from here on.

    `options`: what there is to choose (None: any text, or any number); `title`: what the address says for one of them.
    `writes` False: the address is left as it is for now.
    """
    session, widget = st.session_state, Synced(default, title)
    known: dict[str, Synced] = session.setdefault(address.WIDGETS, {})
    if options is not None:
        numbers = isinstance(options, range) and title is str
        address.check(key, options if numbers else [title(option) for option in options])
    if key not in session:
        session[key] = _in_address(key, widget, options)
    elif key in known and session[key] == known[key].default != default and key not in st.query_params:
        session[key] = default  # another run has another default, and the reader has chosen none
    if options is not None and session[key] is not None and session[key] not in options:
        address.note_gone(key, session[key], options)
        session[key] = default
    known[key] = widget
    if writes:
        _write_changes(known)
    return key


def _in_address(key: str, widget: Synced, options: Sequence[Any] | None) -> Any:
    """The value that the address names, or the default."""
    texts = st.query_params.get_all(key)
    if not texts:
        return widget.default
    if options is not None and not (isinstance(options, range) and widget.title is str):
        return next((option for option in options if widget.text(option) == texts[0]), widget.default)
    if KEYS[key].bounds:
        number = whole(texts[0])
        return widget.default if number is None else number
    return texts[0]


def _write_changes(known: dict[str, Synced]) -> None:
    """Put into the address what the session has otherwise, for all widgets of the page at once."""
    changes: dict[str, str | list[str] | None] = {}
    for key, widget in known.items():
        if key not in st.session_state:
            continue
        value, default = widget.text(st.session_state[key]), widget.text(widget.default)
        now = st.query_params.get_all(key)
        if value != (now[0] if now else default):
            changes[key] = None if value in ("", default) else value
    address.write(changes)
