"""Texts token by token as HTML: one alone, or two one above the other.

Tokens are untrusted text: shown, never interpreted.

Nothing is told by colour alone: what differs is bold and underlined, what has no counterpart stands in a dashed frame
above or below a cross, what the tokenizer doesn't know has a question mark.
"""

from __future__ import annotations

import html
from collections.abc import Sequence

from engine.models.light_tokenizer import Token
from engine.models.token_text import visible
from engine.tasks.alignment import Column
from pages.figures.palette import Palette

CELL = "padding:1px 5px;border-radius:4px;line-height:1.5;white-space:nowrap;border:2px solid transparent;"
NOTES = {"same": "in both", "changed": "differs", "alone": "has no counterpart"}


def aligned(columns: Sequence[Column], names: tuple[str, str], palette: Palette) -> str:
    """Two lines that wrap together; `names` stand before them."""
    cells = [_stack(*(f'<span style="{CELL}color:{palette.neutral}">{html.escape(name)}</span>' for name in names))]
    places = [0, 0]
    for column in columns:
        shown = []
        for side, token in enumerate((column.clean, column.corrupted)):
            added = token is not None and token.added
            places[side] += token is not None and not added
            where = "put before it by the tokenizer" if added else f"token {places[side]}"
            shown.append(_cell(token, column.kind, f"{names[side]}, {where}", palette))
        cells.append(_stack(*shown))
    label = html.escape(f"Tokens: {names[0]} above, {names[1]} below")
    return (
        f'<div role="group" aria-label="{label}" style="display:flex;flex-wrap:wrap;gap:6px 1px">{"".join(cells)}</div>'
    )


def token_strip(tokens: Sequence[str], position: int, target: int) -> str:
    """What a model sees, token by token (HTML): where the logits are read, and which token they predict."""
    cells = []
    for index, token in enumerate(tokens):
        style, title = "padding:1px 5px;border-radius:4px;", "token"
        if index == position:
            style, title = style + "border:2px solid currentColor;font-weight:600;", "the logits are read here"
        if index == target:
            style, title = style + "border-bottom:3px double currentColor;", "this token is predicted"
        cells.append(f'<span style="{style}" title="{title}">{html.escape(visible(token))}</span>')
    return f'<div style="font-size:0.85rem;line-height:2">{" ".join(cells)}</div>'


def _stack(above: str, below: str) -> str:
    style = "display:inline-flex;flex-direction:column;font-size:0.85rem"
    return f'<span style="{style}">{above}{below}</span>'


def _cell(token: Token | None, kind: str, where: str, palette: Palette) -> str:
    if token is None:
        return f'<span style="{CELL}color:{palette.mdm};text-align:center" title="no counterpart">✕</span>'
    text, note, style = html.escape(visible(token.text)), NOTES[kind], CELL
    if kind == "changed":
        style += f"font-weight:700;border-bottom:2px solid {palette.shared};border-radius:0;"
    if kind == "alone":
        style += f"font-weight:700;border:2px dashed {palette.mdm};"
    if not token.known:
        text, note = f'{text}<b style="color:{palette.mdm}">?</b>', f"{note}, unknown to the tokenizer"
    return f'<span style="{style}" title="{html.escape(where)}: {note}">{text}</span>'
