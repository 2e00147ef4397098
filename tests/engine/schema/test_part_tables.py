"""The table of a part of a circuit: in parts alone, beside the examples and the order in which they are revealed."""

from __future__ import annotations

from engine.schema.artifacts import ALL_KINDS, PART, PART_HOLDS, columns_in, tables_in
from engine.schema.part_tables import CIRCUIT_SUMS, PART_TABLES
from engine.schema.tables import ALL_TABLES, TABLES


def test_parts_alone_hold_sums() -> None:
    assert PART not in ALL_KINDS and set(PART_TABLES) == {"circuit_sums"}
    assert all("circuit_sums" not in tables_in(kind) for kind in ALL_KINDS)
    assert tables_in(PART) == PART_HOLDS == ("circuit_sums", "examples", "reveals")
    assert columns_in(PART, "circuit_sums") == CIRCUIT_SUMS.columns and columns_in("circuit", "circuit_sums") == ()


def test_what_a_part_holds_beside_them_is_of_the_circuit() -> None:
    assert {TABLES[name].artifact for name in PART_HOLDS[1:]} == {"circuit"}
    assert CIRCUIT_SUMS.artifact == PART and ALL_TABLES["circuit_sums"] is CIRCUIT_SUMS
