"""Records: what is written is read, and nothing else is taken for a record."""

from __future__ import annotations

import json
from dataclasses import fields, replace

import pytest

from cache.keys import KEY
from cache.layout import SORTED_BY, TYPES, NoRecord, Record, record_of
from engine.schema.tables import ALL_TABLES
from tests.cache.samples import key, record

FULL = record(1, meta={"parts": ["a", "é"], "n": 1.5}, companions={"lens": key(2)}, imported="2026-02-02", size=7)


def test_a_record_comes_back() -> None:
    for made in (FULL, record(2), record(3, made_with={"spec": {"task": "ioi", "n": 4}})):
        assert record_of(made.as_text()) == made == record_of(made.as_text().encode())
        assert hash(record_of(made.as_text())) == hash(made)
    assert record_of(FULL.as_written_inside()) == replace(FULL, imported=None, size=0)


def test_every_field_has_a_type() -> None:
    assert set(TYPES) == {field.name for field in fields(Record)}


@pytest.mark.parametrize("text", ["", "null", "[]", "{}", "1", "{", "[" * 100_000, b"\xff\xfe", "NaN"])
def test_what_is_no_record(text: str | bytes) -> None:
    with pytest.raises(NoRecord):
        record_of(text)


@pytest.mark.parametrize("name", [field.name for field in fields(Record)])
def test_a_record_has_exactly_its_fields_each_of_its_type(name: str) -> None:
    values = json.loads(FULL.as_text())
    with pytest.raises(NoRecord, match=f"field '{name}'"):
        record_of(json.dumps(values | {name: [None]}))
    del values[name]
    with pytest.raises(NoRecord, match="fields of a record"):
        record_of(json.dumps(values))


def test_companions_are_keys_and_nothing_is_added() -> None:
    values = json.loads(FULL.as_text())
    with pytest.raises(NoRecord, match="companions"):
        record_of(json.dumps(values | {"companions": {"lens": 1}}))
    with pytest.raises(NoRecord, match="fields of a record"):
        record_of(json.dumps(values | {"more": 1}))


def test_every_table_has_an_order_and_the_schema_names_the_same() -> None:
    assert set(ALL_TABLES) == set(SORTED_BY)
    for name, order in SORTED_BY.items():
        columns = {column.name for column in ALL_TABLES[name].columns}
        assert {column.strip('"') for column in order.split(", ")} <= columns, name
    assert KEY.fullmatch(key(1))
