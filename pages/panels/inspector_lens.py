"""The Lens tab: what a node writes in both models, and what the residual stream points to after each layer.

Nothing here depends on K, so that nothing is drawn anew when K changes.
"""

from __future__ import annotations

from collections.abc import Mapping

import streamlit as st

from engine.runs.rows import LayerLens, NodeLens, ReadoutRow
from pages.figures.lens import ModelLens, component_lens, layer_name, residual_figure, top_tokens
from pages.panels.inspector_place import NOWHERE, choose_place
from pages.shared import cached_reads, provenance, token_text, widgets
from pages.shared.artifacts import awaited
from pages.shared.downloads import table_button
from pages.shared.glossary import meaning
from pages.shared.html_table import html_table
from pages.shared.provenance import Origin
from pages.shared.sides import Sides


def lens_tab(sides: Sides, node: int) -> None:
    if awaited("node lens", sides.runs, "lens"):
        return
    above = st.container(gap="small")
    at = choose_place(sides)
    if at is None:
        st.info(NOWHERE)
        return
    with above:
        lenses = component_lenses(sides, node, at)
    residual_lens(sides, at)
    input_strips(sides, at)
    if lenses:
        name = sides.graph.node_names[node]
        origin = _origin(sides, f"lens of {name}", _where(at["arm"]))
        table_button("Lens (CSV)", lambda: lens_rows(sides, lenses), origin, f"lens-{name}", key="download lens")


def component_lenses(sides: Sides, node: int, at: Mapping[str, ReadoutRow]) -> dict[str, NodeLens]:
    """What the node writes in both models, side by side; by model."""
    st.markdown(
        "**What it writes**, in logits",
        help=f"{meaning('logit_lens')} {meaning('foil')} The bars of both models have one scale.",
    )
    if node == sides.graph.logits:
        st.info("The logits write nothing: all other nodes write to them.")
        return {}
    lenses = {side.model: cached_reads.node_lens(side.run.key, at[side.model].readout, node) for side in sides}
    shown = [ModelLens(side.model, side.label, lenses[side.model]) for side in sides]
    st.html(component_lens(shown, at["arm"].answer, at["arm"].foil, widgets.palette()))
    certainty = [
        f"{side.title}: entropy {side.lens.entropy:.2f} nats, top token {side.lens.top_probability:.1%}."
        for side in shown
    ]
    st.caption(
        " ".join(certainty),
        help="Of the prediction that this output alone would make. Entropy: how undecided it is, 0 where one token has "
        "all of the probability.",
    )
    return lenses


def residual_lens(sides: Sides, at: Mapping[str, ReadoutRow]) -> None:
    """Answer and foil after each layer of both models."""
    rows = {side.model: cached_reads.rows(LayerLens, side.run.key, readout=at[side.model].readout) for side in sides}
    st.markdown(
        "**Residual stream**, read after each layer", help=f"{meaning('residual_stream')} {meaning('logit_lens')}"
    )
    names = {side.model: side.label for side in sides}
    widgets.chart(
        residual_figure(rows, names, widgets.palette()), "residual",
        "Probability of answer and foil after each layer of both models", "residual",
        _origin(sides, "lens of the residual", _where(at["arm"])),
    )  # fmt: skip
    with st.expander("Top tokens after each layer"):
        st.html(layer_table(sides, rows))


def layer_table(sides: Sides, rows: Mapping[str, list[LayerLens]]) -> str:
    """The residual's top tokens after each layer and the ranks of answer and foil, of both models (HTML)."""
    columns = ["Layer", *(f"{side.label} {what}" for side in sides for what in ("top tokens", "answer / foil rank"))]
    cells = [
        [layer_name(pair[0].layer)]
        + [text for row in pair for text in (top_tokens(row), f"{row.answer_rank + 1:,} / {row.foil_rank + 1:,}")]
        for pair in zip(rows["arm"], rows["mdm"], strict=True)
    ]
    return html_table("Top tokens after each layer of both models", columns, cells, texts=(0, 1, 3))


def input_strips(sides: Sides, at: Mapping[str, ReadoutRow]) -> None:
    """What both models see, token by token."""
    with st.expander("Input of both models"):
        st.caption("Box: where the logits are read. Double underline: the predicted token.")
        for side in sides:
            st.markdown(f"**{side.title}**")
            readout = at[side.model]
            st.html(token_text.token_strip(readout.tokens, readout.position, readout.target))


def lens_rows(sides: Sides, lenses: Mapping[str, NodeLens]) -> list[dict[str, object]]:
    """Every stored token of both lenses, strongest first, as rows of a table."""
    rows: list[dict[str, object]] = []
    for side in sides:
        lens = lenses[side.model]
        for direction in ("promoted", "suppressed"):
            tokens, logits = getattr(lens, direction), getattr(lens, f"{direction}_logit")
            rows += [
                {"model": side.run.spec.model, "direction": direction, "token": token, "logit": logit}
                for token, logit in zip(tokens, logits, strict=True)
            ]
    return rows


def _origin(sides: Sides, *about: str) -> Origin:
    """Without K and without the part of the scores, on which no lens depends."""
    return provenance.origin(sides.runs, about=about)


def _where(readout: ReadoutRow) -> str:
    return f"example {readout.example}, token {readout.target}"
