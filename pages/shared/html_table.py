"""A small table as HTML for a narrow column, where a data frame would be cut off; its texts are shown as they are."""

from __future__ import annotations

import html
from collections.abc import Sequence

STYLE = "width:100%;border-collapse:collapse;font-size:0.8rem;line-height:1.5;font-variant-numeric:tabular-nums"
LINE = "border-bottom:1px solid color-mix(in srgb, currentColor 18%, transparent)"


def html_table(caption: str, columns: Sequence[str], rows: Sequence[Sequence[str]], texts: Sequence[int] = (0,)) -> str:
    """Rows of texts below the names of the columns; `texts` are the columns that hold words, not numbers.

    `caption` names the table for a screen reader. Everything is plain text and is escaped here.
    """
    head = "".join(_cell("th", name, index in texts, ' scope="col"') for index, name in enumerate(columns))
    body = "".join(
        f"<tr>{''.join(_cell('td', text, index in texts) for index, text in enumerate(row))}</tr>" for row in rows
    )
    label = html.escape(caption)
    return f'<table aria-label="{label}" style="{STYLE}"><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>'


def _cell(tag: str, text: str, is_text: bool, attributes: str = "") -> str:
    align = "left;overflow-wrap:break-word" if is_text else "right"
    weight = "font-weight:600;vertical-align:bottom;" if tag == "th" else ""
    style = f"{weight}text-align:{align};padding:1px 4px;{LINE}"
    return f'<{tag}{attributes} style="{style}">{html.escape(text)}</{tag}>'
