"""Buttons that download a file or a table; what is downloaded is made at the click.

A table's rows say where they come from, and no spreadsheet takes their texts for formulas (engine/files/csv_text.py).
"""

from __future__ import annotations

import mimetypes
from collections.abc import Callable, Mapping, Sequence
from typing import BinaryIO

import pyarrow as pa
import streamlit as st

from engine.files.csv_text import csv_of_table
from pages.shared.provenance import Origin

Rows = Sequence[Mapping[str, object]]
ICON = ":material/download:"


def file_button(
    label: str,
    data: bytes | Callable[[], bytes | BinaryIO],
    file_name: str,
    *,
    key: str,
    icon: str = ICON,
    help: str | None = None,
) -> None:
    """A button that saves `data`, or what it returns, as `file_name`; the page does not run again."""
    mime = mimetypes.guess_type(file_name)[0]
    st.download_button(
        label, data, file_name=file_name, mime=mime, key=key, icon=icon, on_click="ignore", help=help
    )  # fmt: skip


def table_button(
    label: str,
    rows: Callable[[], pa.Table | Rows],
    origin: Origin,
    name: str,
    *,
    about: Mapping[str, object] | None = None,
    key: str | None = None,
) -> None:
    """A button that saves a table as CSV; `name`: what the table is, in the file's name.

    `about`: further columns that are the same in every row; `key`: where `name` does not tell two buttons apart.
    """
    file_name = f"{origin.stem(name)}.csv"
    file_button(label, lambda: table_csv(rows(), origin, about), file_name, key=key or f"download {name}")


def table_csv(rows: pa.Table | Rows, origin: Origin, about: Mapping[str, object] | None = None) -> bytes:
    """A table as CSV (UTF-8), with the columns of `about` and of `origin` after its own."""
    table = rows if isinstance(rows, pa.Table) else pa.Table.from_pylist([dict(row) for row in rows])
    for column, value in {**(about or {}), **origin.columns}.items():
        table = table.append_column(column, pa.array([value] * len(table)))
    return csv_of_table(table)
