"""What figures by layer share: ticks that fit and each model's line."""

from __future__ import annotations

from typing import Any

from pages.figures.palette import DASH, Palette

_MOST_TICKS = 12


def every_tick(n: int) -> list[int]:
    """Which of `n` numbers get a tick: all, or every so many that at most twelve do."""
    return list(range(0, n, max(1, -(-n // _MOST_TICKS))))


def model_line(model: str, palette: Palette) -> dict[str, Any]:
    """How the line of "arm" or "mdm" is drawn."""
    return {
        "mode": "lines+markers",
        "line": {"color": palette.of(model), "dash": DASH[model], "width": 2.2},
        "marker": {"symbol": "circle" if model == "arm" else "square-open", "size": 7},
    }
