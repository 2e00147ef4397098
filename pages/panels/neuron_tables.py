"""Tables of neurons: both models' numbers a row, a row to choose a neuron by, the same as CSV."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import numpy as np
import pyarrow as pa
import streamlit as st
from numpy.typing import NDArray

from engine.models.token_text import visible
from engine.runs.token_search import Place
from pages.figures.palette import NAME
from pages.panels.chosen_neurons import choose
from pages.panels.neuron_data import MODELS, Layer
from pages.shared.downloads import table_button
from pages.shared.run_selector import Asked

TOKENS_SHOWN = 5
SIGNIFICANT = "%+.3g"  # a column's format: three significant digits, as attributions can be tiny

Height = int | Literal["auto", "content"]


def table_of(rows: Sequence[tuple[Layer, NDArray[np.int_]]], halves: bool = False) -> pa.Table:
    """Neurons of some layers with both models' numbers, one row each."""
    return pa.concat_tables([_rows_of(neurons, chosen, halves) for neurons, chosen in rows], promote_options="default")


def selectable(
    table: pa.Table, key: str, places: list[Place], now: tuple[object, object], alt: str, height: Height
) -> None:
    """A table whose rows choose neurons; the chosen one's row is ticked. `places` has the neuron of every row."""
    wanted = [places.index(now)] if now in places else []
    if list(st.session_state.get(key, {}).get("selection", {}).get("rows", [])) != wanted:
        st.session_state[key] = {"selection": {"rows": wanted, "columns": [], "cells": []}}

    def pick() -> None:
        rows = st.session_state[key]["selection"]["rows"]
        choose(places[rows[0]] if rows else None)

    number = st.column_config.NumberColumn
    formats = {
        name: number(format=SIGNIFICANT if "attribution" in name or "logit" in name else "%.3f")
        for name in table.column_names
        if pa.types.is_floating(table.schema.field(name).type)
    }
    formats |= {name: number(format="localized") for name in table.column_names if name.endswith("rank")}
    several = len({layer for layer, _ in places}) > 1
    st.dataframe(
        table,
        key=key,
        height=height,
        hide_index=True,
        column_order=[name for name in table.column_names if several or name != "Layer"],
        on_select=pick,
        selection_mode="single-row",
        column_config=formats,
        placeholder="",
        alt=alt,
    )


def download(asked: Asked, rows: Callable[[], pa.Table], name: str) -> None:
    """A table as CSV, each row with where it comes from."""
    table_button("CSV", rows, asked.sides.origin(with_k=False), name)


def _rows_of(neurons: Layer, chosen: NDArray[np.int_], halves: bool) -> pa.Table:
    columns: dict[str, object] = {"Layer": np.full(len(chosen), neurons.number), "Neuron": chosen}
    for model in MODELS:
        columns[f"{NAME[model]} attribution"] = neurons.attribution[model][chosen]
        columns[f"{NAME[model]} rank"] = neurons.rank[model][chosen] + 1
        if halves:
            for half, values in zip(("even", "odd"), neurons.halves[model], strict=True):
                columns[f"{NAME[model]} attribution, {half} examples"] = values[chosen]
    for which, values in neurons.cosine.items():
        if np.isfinite(values).any():
            columns[f"Cosine {which}"] = _known(values[chosen])
    columns["Correlation"] = _known(neurons.correlation[chosen])
    for model in MODELS:
        if not any(neurons.promoted[model]):
            continue
        columns[f"{NAME[model]} promotes"] = [
            "  ".join(visible(token) for token in neurons.promoted[model][j][:TOKENS_SHOWN]) for j in chosen
        ]
    return pa.table(columns)


def _known(values: NDArray[np.float32]) -> pa.Array:
    """Numbers, and nothing where there is none."""
    return pa.array(values, pa.float32(), mask=~np.isfinite(values))
