"""What a bundle offers: each circuit with those of its artifacts that it has, and where their rows are read."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

import pytest

from cache.sandbox import Refused
from engine.exchange.bundle_file import unpacked
from engine.exchange.offered_runs import BundleOffer, StoredArtifact, expected_columns
from engine.runs import cache_connection
from engine.schema.artifacts import KINDS, columns_in, tables_in
from engine.schema.tables import TABLES
from tests.engine.exchange.conftest import ARM, CONTROL, SPEC, Changed


@pytest.fixture
def offer(all_unpacked: Path, tmp_path: Path) -> BundleOffer:
    return BundleOffer(unpacked(all_unpacked, "folder", tmp_path), tmp_path)


def test_runs_share_what_they_have_in_common(offer: BundleOffer) -> None:
    assert offer.header.pair.name == "mine" and not offer.left_out
    runs = {(run.spec.model, run.spec.task): run for run in offer.runs}
    assert {spec for spec in (run.spec for run in offer.runs) if spec.task == "ioi"} == {ARM, SPEC, CONTROL}
    own = next(run for (_, task), run in runs.items() if task != "ioi")
    mdm, arm = runs["mdm", "ioi"], runs["arm", "ioi"]
    assert own.keys["weights"] == mdm.keys["weights"] != arm.keys["weights"]
    assert own.artifacts["weights"] == mdm.artifacts["weights"]
    for run in offer.runs:
        assert set(run.artifacts) == set(KINDS)
        assert {kind: record.key for kind, record in run.artifacts.items()} == run.keys
        assert run.artifacts["circuit"].companions.keys() == set(KINDS) - {"circuit"}


def test_rows_are_those_of_the_cache_that_they_came_from(
    offer: BundleOffer, there: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CIRCUITS_CACHE", str(there))
    run = offer.runs[0]
    for kind in KINDS:
        stored = StoredArtifact(cache_connection.store(), kind, run.keys[kind])
        with ExitStack() as stack:
            source = offer.source(run, kind, stack)
            assert source.unfolded > 0
            for name in tables_in(kind):
                table = source.table(name)
                assert table.column_names == [column.name for column in columns_in(kind, name)]
                assert table.equals(stored.table(name))
                assert source.count(name) == stored.count(name) == table.num_rows
    cache_connection.close()


def test_an_artifact_with_other_columns_than_its_kind_is_not_read(changed: Changed, tmp_path: Path) -> None:
    (tmp_path / "scratch").mkdir()
    file = changed("ALTER TABLE reveals ADD COLUMN more INTEGER")
    offer = BundleOffer(unpacked(file, "zip", tmp_path / "scratch"), tmp_path / "scratch")
    with ExitStack() as stack, pytest.raises(Refused, match="'reveals' has a column 'more'"):
        offer.source(offer.runs[0], "circuit", stack)


def test_expected_columns_are_those_of_the_schema() -> None:
    circuit = expected_columns("circuit")
    assert set(circuit) == {"artifact", *tables_in("circuit")}
    assert circuit["edges"] == {"part": "VARCHAR", "rank": "INTEGER", "edge": "INTEGER", "score": "FLOAT"}
    assert expected_columns("activity")["attention_patterns"]["pattern"] == "UTINYINT[]"
    assert expected_columns("activity")["activation_histograms"]["counts"] == "BIGINT[]"
    every = {table: set() for table in TABLES}
    for kind in KINDS:
        for table in tables_in(kind):
            every[table] |= set(expected_columns(kind)[table])
    assert every == {name: {column.name for column in table.columns} for name, table in TABLES.items()}
