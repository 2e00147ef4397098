"""Write docs/tables.md, the documentation of a run's tables, from their schema.

python -m tools.table_docs
"""

from __future__ import annotations

from pathlib import Path

from engine.schema.columns import Column, Table
from engine.schema.tables import ALL_TABLES

FILE = Path(__file__).resolve().parent.parent / "docs" / "tables.md"
NAMES = {"text": "string", "part": "string"}  # Arrow's, of types that are called otherwise here
INTRODUCTION = """\
# Tables of a run

Written by `python -m tools.table_docs` from `engine/schema`; change it there.

A run's key stands beside these columns in the cache. A list has its type in `list<>`. *n* is the number of examples;
layers, nodes and edges are numbered as in `engine/circuits/graph.py`. Neurons, heads and lenses by layer are measured
on the task's clean inputs: an ARM has one an example, an MDM one a denoising step. The five tables from circuit_runs on
are those of evidence, which is kept beside a run; circuit_sums is that of a circuit of many examples while it is
computed.
"""


def text() -> str:
    """The whole file."""
    return "\n".join([INTRODUCTION, *map(_table, ALL_TABLES.values())])


def _table(table: Table) -> str:
    order = f"Sorted by {table.order}."
    empty = " Empty in an ARM's run." if table.mdm_only else ""
    rows = [f"| {column.name} | {_type(column)} | {column.unit} | {_meaning(column)} |" for column in table.columns]
    head = ["| column | type | unit | meaning |", "|---|---|---|---|"]
    return "\n".join([f"## {table.name}", "", f"{table.row} {order}{empty}", "", *head, *rows, ""])


def _type(column: Column) -> str:
    name = NAMES.get(column.type, column.type)
    return f"list<{name}>" if column.items else name


def _meaning(column: Column) -> str:
    """What it says, and the texts there are where these are few."""
    texts = ", ".join(column.one_of) if column.type == "text" else ""
    return "; ".join(filter(None, [column.meaning, texts]))


if __name__ == "__main__":
    FILE.parent.mkdir(exist_ok=True)
    FILE.write_text(text())
