"""Figures that are drawn at every move of K, made without Plotly's checks of every value.

The checks took half of the server's time for a slide of two graphs of a thousand nodes. They are the tests' to make:
`go.Figure(figure.to_dict())` raises for whatever Plotly does not know.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import plotly.graph_objects as go


def unchecked_figure(traces: Sequence[Mapping[str, Any]], layout: Mapping[str, Any]) -> go.Figure:
    """A figure of traces and layout as they are; arrays are cheaper in them than lists."""
    return go.Figure(data=list(traces), layout=dict(layout), _validate=False)
