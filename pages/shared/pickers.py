"""Pickers that show titles while the address has keys, and numbers, of what a run depends on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import streamlit as st

from pages.shared.synced import synced


def select(label: str, options: Sequence[str], key: str, title: Callable[[str], str] = str, **more: Any) -> str:
    """One of several; where the address and the session name none of them, the first."""
    return str(st.selectbox(label, options, format_func=title, key=synced(key, options[0], options), **more))


def slide(label: str, options: Sequence[str], default: str, key: str, **more: Any) -> str:
    """One of several in an order."""
    return str(st.select_slider(label, options, key=synced(key, default, options), **more))


def number(label: str, bounds: tuple[int, int], default: int, key: str, **more: Any) -> int:
    """A whole number within bounds."""
    options = range(bounds[0], bounds[1] + 1)
    return int(st.number_input(label, *bounds, key=synced(key, default, options), **more))


def titles(names: Mapping[str, str]) -> Callable[[str], str]:
    """What each name is called; where several have one title, with the name, as Streamlit tells options by that."""
    uses = Counter(names.values())
    shown = {name: title if uses[title] == 1 else f"{title} ({name})" for name, title in names.items()}
    return lambda name: shown.get(name, name)
