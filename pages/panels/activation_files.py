"""What the activations page shows, as rows to download."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict

import numpy as np

from engine.files.csv_text import csv_of
from engine.inspection import bins
from engine.runs.rows import LayerHistogram
from pages.panels import activation_data as data
from pages.shared import cached_reads
from pages.shared.run_selector import Asked
from pages.shared.state import TOTAL

Row = dict[str, object]


def as_csv(rows: Sequence[Mapping[str, object]]) -> bytes:
    """Rows of the same columns as a CSV file."""
    names = list(rows[0]) if rows else []
    return csv_of(names, [[row[name] for name in names] for row in rows])


def profile_rows(asked: Asked) -> list[Row]:
    shares = [cached_reads.layer_shares(side.run.key, TOTAL, asked.k) for side in asked.sides]
    return [{"layer": i, "arm": float(a), "mdm": float(b)} for i, (a, b) in enumerate(zip(*shares, strict=True))]


def histogram_rows(asked: Asked) -> list[Row]:
    """A row for every model, layer and region; a column for every bin, named by its lower edge."""
    names = [f"from {edge:.6g}" for edge in bins.EDGES[:-1]]
    rows: list[Row] = []
    for side in asked.sides:
        for row in cached_reads.rows(LayerHistogram, side.run.key):
            told = {name: value for name, value in asdict(row).items() if name != "counts"}
            rows.append({"model": side.model, **told, **dict(zip(names, row.counts, strict=True))})
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
    found = [data.head_norms(side.run.key, side.model, region).mean for side in asked.sides]
    places = np.ndindex(*found[0].shape)
    return [{"head": f"a{at[0]}.h{at[1]}", "arm": float(found[0][at]), "mdm": float(found[1][at])} for at in places]


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
