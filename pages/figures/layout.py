"""The layout that charts beside the circuits share."""

from __future__ import annotations


def layout_of(height: int) -> dict[str, object]:
    """Height in pixels, narrow margins, and the legend in a line above the plot."""
    legend = {"orientation": "h", "x": 0, "y": 1.02, "yanchor": "bottom"}
    return {"height": height, "margin": {"l": 8, "r": 8, "t": 40, "b": 8}, "legend": legend}
