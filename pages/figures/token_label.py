"""Tokens as labels of a Plotly figure: made visible and escaped."""

from __future__ import annotations

import html
from functools import lru_cache

from engine.models.token_text import visible


@lru_cache(maxsize=100_000)
def as_text(token: str) -> str:
    """A token for a figure's text, where Plotly would interpret tags."""
    return html.escape(visible(token), quote=False)
