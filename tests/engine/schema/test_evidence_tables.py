"""The tables of evidence: each in the kinds of artifacts that hold it, and in no run."""

from __future__ import annotations

import pytest

from engine.schema.artifacts import EVIDENCE_KINDS, KINDS, columns_in, tables_in
from engine.schema.evidence_tables import ESTIMATORS, EVIDENCE_TABLES
from engine.schema.tables import TABLES


def test_every_table_is_held_by_evidence_and_by_no_artifact_of_a_run() -> None:
    assert {name for kind in EVIDENCE_KINDS for name in tables_in(kind)} == set(EVIDENCE_TABLES)
    assert not set(EVIDENCE_TABLES) & {*TABLES, *(name for kind in KINDS for name in tables_in(kind))}


@pytest.mark.parametrize("kind", EVIDENCE_KINDS)
def test_a_kind_holds_all_columns_of_its_tables_and_none_of_others(kind: str) -> None:
    for name, table in EVIDENCE_TABLES.items():
        assert columns_in(kind, name) == (table.columns if name in tables_in(kind) else ())


def test_every_estimator_has_a_column() -> None:
    assert set(ESTIMATORS) < {column.name for column in EVIDENCE_TABLES["audited_edges"].columns}
