"""What a click on a point of a chart chooses.

A point's `customdata` holds the value that a click on it chooses, first where there are several. Plotly toggles: a
click on the point that it still holds as selected arrives as an empty selection, and means that point again. So the
value last clicked in a chart is remembered for the session.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import streamlit as st

_LAST = "last clicked in "  # session only: a chart's key follows


def take(
    chart: str,
    key: str,
    kind: type[str] | type[int] = str,
    *,
    toggles: bool = True,
    also: Mapping[str, object] | None = None,
) -> None:
    """The callback of a chart: keep the clicked value under `key` of the session, which is its key in the address too.

    Args:
        chart: The chart's key.
        key: Of the choice, one of pages/shared/state.py.
        kind: Type of the choice; a click on anything else is ignored.
        toggles: A click on what is chosen already chooses nothing.
        also: Other choices that a click makes.
    """
    value = clicked(chart, kind)
    if value is None:
        return
    chosen = toggles and value == st.session_state.get(key)
    st.session_state[key] = None if chosen else value
    for other, choice in (also or {}).items():
        st.session_state[other] = choice


def clicked(chart: str, kind: type[str] | type[int] = str) -> str | int | None:
    """The value of the point that was clicked; None where no point with one was."""
    points = st.session_state[chart]["selection"]["points"]
    values = [np.ravel(point["customdata"])[0].item() for point in points if np.size(point.get("customdata", []))]
    value = _as(kind, values[0]) if values else st.session_state.get(_LAST + chart)
    if value is not None:
        st.session_state[_LAST + chart] = value
    return value


def _as(kind: type[str] | type[int], value: object) -> str | int | None:
    if kind is str:
        return value if isinstance(value, str) else None
    try:
        return int(value)  # type: ignore[call-overload]
    except (TypeError, ValueError):
        return None
