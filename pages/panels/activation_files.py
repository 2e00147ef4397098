"""Offer what the activations page shows as CSV files."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict

import numpy as np
import streamlit as st

from engine.inspection import bins
from engine.runs import stored
from engine.runs.rows import LayerHistogram
from engine.schema.artifacts import Kind
from pages.panels import activation_data as data
from pages.panels.specialisation import spread_rows
from pages.shared import cached_reads
from pages.shared.downloads import table_button
from pages.shared.provenance import Origin
from pages.shared.run_selector import Asked
from pages.shared.state import TOTAL

Row = dict[str, object]


def downloads(asked: Asked, region: str) -> None:
    st.caption("The camera on every figure saves it as an SVG picture; a table's own button saves it as CSV.")
    with_k, without = asked.sides.origin(), asked.sides.origin(with_k=False)
    of_region = asked.sides.origin(f"{region} tokens", with_k=False)
    offered: dict[str, tuple[Kind, Origin, Callable[[], list[Row]]]] = {
        "Importance by layer": ("circuit", with_k, lambda: profile_rows(asked)),
        "Histograms": ("activity", without, lambda: histogram_rows(asked)),
        "Residual norms": ("activity", without, lambda: norm_rows(asked)),
        f"Head norms ({region})": ("activity", of_region, lambda: head_rows(asked, region)),
        "Specialisation": ("lens", with_k, lambda: [dict(row) for row in spread_rows(asked)]),
        "Lens by layer": ("lens", without, lambda: lens_rows(asked)),
    }
    with st.container(horizontal=True):
        for label, (kind, source, rows) in offered.items():
            if not all(stored.has(run, kind) for run in asked.runs):
                continue
            name = label.partition(" (")[0].lower().replace(" ", "-")
            file = f"{name}-{region}" if source is of_region else name
            about = {"about": ", ".join(source.about)} if source.about else {}
            table_button(label, rows, source, file, about=about, key=f"download {name}")


def profile_rows(asked: Asked) -> list[Row]:
    shares = [cached_reads.layer_shares(side.run.key, TOTAL, asked.k) for side in asked.sides]
    return [{"layer": i, "arm": float(a), "mdm": float(b)} for i, (a, b) in enumerate(zip(*shares, strict=True))]


def histogram_rows(asked: Asked) -> list[Row]:
    """A row for every model, layer and region; a column for every bin, named by its lower edge."""
    names = [f"from {edge:.6g}" for edge in bins.EDGES[:-1]]
    rows: list[Row] = []
    for side in asked.sides:
        for row in cached_reads.rows(LayerHistogram, side.run.key):
            numbers = {name: value for name, value in asdict(row).items() if name != "counts"}
            rows.append({"model": side.model, **numbers, **dict(zip(names, row.counts, strict=True))})
    return rows


def norm_rows(asked: Asked) -> list[Row]:
    rows: list[Row] = []
    for side in asked.sides:
        table = cached_reads.columns(side.run.key, "residual_norms")
        rows += [
            {"model": side.model, **dict(zip(table, values, strict=True))}
            for values in zip(*(column.tolist() for column in table.values()), strict=True)
        ]
    return rows


def head_rows(asked: Asked, region: str) -> list[Row]:
    arm, mdm = (data.head_norms(side.run.key, side.model, region).mean for side in asked.sides)
    places = np.ndindex(*arm.shape)
    return [{"head": f"a{at[0]}.h{at[1]}", "arm": float(arm[at]), "mdm": float(mdm[at])} for at in places]


def lens_rows(asked: Asked) -> list[Row]:
    rows: list[Row] = []
    for measure, (contrast, _) in data.lens_bands(asked.arm.key, asked.mdm.key).items():
        for name, bands in (("arm", contrast.arm), ("mdm", contrast.mdm), ("arm - mdm", contrast.difference)):
            for layer, value in enumerate(bands.value):
                row = {"measure": measure, "of": name, "layer": layer, "value": float(value)}
                low = None if bands.low is None else float(bands.low[layer])
                high = None if bands.high is None else float(bands.high[layer])
                rows.append({**row, "low": low, "high": high})
    return rows
