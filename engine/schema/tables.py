"""Every table of a run, and those of evidence and of parts of circuits, by its name.

What is described here and in the modules beside this one holds everywhere: Arrow tables are built by it
(engine/schema/arrow.py), bundles are checked against it, synthetic runs are filled by it, docs/tables.md is written
from it, and tests compare the row classes (engine/runs/rows.py) and a new database with it.
"""

from __future__ import annotations

from engine.schema.answer_tables import ANSWER_TABLES
from engine.schema.circuit_tables import CIRCUIT_TABLES
from engine.schema.columns import Table
from engine.schema.component_tables import COMPONENT_TABLES
from engine.schema.evidence_tables import EVIDENCE_TABLES
from engine.schema.part_tables import PART_TABLES

TABLES: dict[str, Table] = {table.name: table for table in (*CIRCUIT_TABLES, *COMPONENT_TABLES, *ANSWER_TABLES)}
ALL_TABLES: dict[str, Table] = {**TABLES, **EVIDENCE_TABLES, **PART_TABLES}  # the latter two belong to no run
NULLABLE = {(table.name, column.name) for table in ALL_TABLES.values() for column in table.columns if column.nullable}
