"""Caches and bundles of earlier versions are taken over: their runs are found again, all of them checked."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import duckdb
import pyarrow as pa
import pytest

from engine import settings
from engine.__main__ import main
from engine.errors import UserError
from engine.exchange import bundle
from engine.exchange.bundle_header import written_header
from engine.exchange.earlier_files import NO_PROVENANCE
from engine.models import pairs
from engine.runs import cache_connection, lifecycle, read
from engine.runs import stored as stored_runs
from engine.runs.records import Accuracy
from engine.runs.spec import RunSpec
from engine.schema.tables import TABLES
from tests.earlier_versions import MIGRATIONS, Earlier, recorded, write_bundle, write_cache
from tests.engine.exchange.conftest import stored
from tests.fakes import register_fake_pair, tiny_run

MDM = RunSpec(pair="mine", n=4)
ARM = replace(MDM, model="arm")
OTHER_TASK = replace(MDM, task="countdown")
OTHER_SEED = replace(MDM, seed=7)


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[RunSpec, Earlier]:
    """Runs of a pair `mine`, as earlier versions recorded them."""
    there = tmp_path_factory.mktemp("there")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CIRCUITS_CACHE", str(there))
        patch.setenv("CIRCUITS_PAIRS", str(register_fake_pair(there / "models", "mine")))
        return {spec: recorded(spec, tiny_run(spec, lifecycle.ignore)) for spec in (MDM, ARM, OTHER_TASK, OTHER_SEED)}


@pytest.fixture(scope="module")
def header(tmp_path_factory: pytest.TempPathFactory) -> str:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CIRCUITS_PAIRS", str(register_fake_pair(tmp_path_factory.mktemp("models"), "mine")))
        fields = json.loads(written_header("mine", ["ioi"]))
    del fields["schema"]
    return json.dumps(fields)


def test_a_cache_is_taken_over(runs: dict[RunSpec, Earlier], tmp_path: Path, elsewhere: Path) -> None:
    write_cache(tmp_path / "circuits.duckdb", [runs[spec] for spec in (MDM, ARM, OTHER_TASK)])
    before = (tmp_path / "circuits.duckdb").read_bytes()
    taken = bundle.take(tmp_path / "circuits.duckdb")
    assert (taken.pairs, taken.added, taken.known, taken.left_out) == (("mine",), 3, 0, ())
    assert taken.artifacts == 3 + 3 + 3 + 3 + 2, "both runs of the MDM share its weights"
    for spec in (MDM, ARM, OTHER_TASK):
        earlier = runs[spec]
        run = stored_runs.get(earlier.key)
        assert (run.spec, run.meta, run.accuracy) == (spec, earlier.run.meta, earlier.run.accuracy)
        assert isinstance(run.accuracy, Accuracy) and run.imported and run.seconds == 7.5
        assert stored_runs.missing(run) == ()
        for name, table in earlier.run.tables.items():
            if name not in ("neurons", "heads") or spec == MDM:  # random tables of other tasks have other weights
                assert in_order(read.table(run.key, name).select(table.column_names)).equals(in_order(table))
    assert bundle.take(tmp_path / "circuits.duckdb").known == 3
    assert (tmp_path / "circuits.duckdb").read_bytes() == before
    assert [file.name for file in tmp_path.iterdir() if file.name.startswith("circuits")] == ["circuits.duckdb"]


def in_order(table: pa.Table) -> pa.Table:
    """A table with its rows in the order of what numbers them."""
    numbers = [
        field.name for field in table.schema if pa.types.is_integer(field.type) or pa.types.is_string(field.type)
    ]
    return table.sort_by([(column, "ascending") for column in numbers])


@pytest.mark.usefixtures("elsewhere")
def test_runs_that_were_taken_over_are_found_again(
    runs: dict[RunSpec, Earlier], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of them is computed again where the weights are."""
    write_cache(tmp_path / "circuits.duckdb", [runs[MDM], runs[ARM]])
    bundle.take(tmp_path / "circuits.duckdb")
    monkeypatch.setenv("CIRCUITS_PAIRS", str(register_fake_pair(tmp_path / "models", "mine")))
    assert [run.key for run in lifecycle.run_all([MDM, ARM], compute=None)] == [runs[MDM].key, runs[ARM].key]


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize("first", [MDM, OTHER_SEED], ids=["seed 0 first", "seed 7 first"])
def test_head_scores_are_taken_of_seed_0(runs: dict[RunSpec, Earlier], tmp_path: Path, first: RunSpec) -> None:
    second = OTHER_SEED if first == MDM else MDM
    write_cache(tmp_path / "both.duckdb", [runs[first], runs[second]])
    bundle.take(tmp_path / "both.duckdb")
    brought = read.table(runs[OTHER_SEED].key, "heads", ("copying",))["copying"]
    assert brought.equals(runs[MDM].run.tables["heads"]["copying"])
    assert not brought.equals(runs[OTHER_SEED].run.tables["heads"]["copying"])


@pytest.mark.usefixtures("elsewhere")
def test_another_seed_alone_brings_no_weights(runs: dict[RunSpec, Earlier], tmp_path: Path) -> None:
    write_cache(tmp_path / "seed.duckdb", [runs[OTHER_SEED]])
    assert bundle.take(tmp_path / "seed.duckdb").artifacts == 4
    assert stored_runs.missing(stored_runs.get(runs[OTHER_SEED].key)) == ("weights",)
    write_cache(tmp_path / "zero.duckdb", [runs[MDM]])
    bundle.take(tmp_path / "zero.duckdb")
    assert stored_runs.missing(stored_runs.get(runs[OTHER_SEED].key)) == ()


@pytest.mark.parametrize("last", [6, 7, 8])
def test_a_bundle_of_an_earlier_version_is_taken(
    runs: dict[RunSpec, Earlier], header: str, tmp_path: Path, elsewhere: Path, last: int
) -> None:
    write_bundle(tmp_path / "b.duckdb", header, [runs[MDM], runs[ARM]], MIGRATIONS[:last])
    assert bundle.take(tmp_path / "b.duckdb").added == 2
    assert pairs.pair_named("mine").title == "Fake pair"
    assert lifecycle.find(MDM) and lifecycle.find(ARM)


@pytest.mark.usefixtures("elsewhere")
def test_runs_of_a_cache_that_cannot_be_taken_are_counted(
    runs: dict[RunSpec, Earlier], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    old = replace(runs[ARM], made_with=None)
    unsound = replace(runs[OTHER_TASK], run=replace(runs[OTHER_TASK].run, tables=runs[MDM].run.tables))
    refused = replace(runs[OTHER_SEED], spec={**runs[OTHER_SEED].spec, "method": "magic"})
    write_cache(tmp_path / "circuits.duckdb", [runs[MDM], old, unsound, refused])
    taken = bundle.take(tmp_path / "circuits.duckdb")
    assert (taken.added, taken.artifacts) == (1, 5)
    assert len(taken.left_out) == 3 and NO_PROVENANCE in taken.left_out
    assert any("method is 'magic'" in why for why in taken.left_out)
    assert len(stored()) == 5
    assert main(["import", str(tmp_path / "circuits.duckdb")]) == 0
    assert "1 were here before. 3 runs left out, the first because: " in capsys.readouterr().out


CHANGES: dict[str, tuple[str, str]] = {
    "no provenance": ("UPDATE runs SET made_with = NULL", "made_with is not valid JSON"),
    "key": ("UPDATE runs SET key = reverse(key)", "is not that of what it was made with"),
    "spec": ("UPDATE runs SET spec = replace(spec, 'eap-ig', 'magic')", "method is 'magic'"),
    "other pair": ("UPDATE runs SET spec = replace(spec, 'mine', 'yours')", "of the pair 'yours', not of 'mine'"),
    "accuracy": ("UPDATE runs SET meta = replace(meta, 'accuracy\": 0', 'accuracy\": 7')", "accuracy = 7"),
    "no accuracy": ("UPDATE runs SET meta = replace(meta, 'accuracy_n', 'acuracy_n')", "unknown field 'acuracy_n'"),
    "date": ("UPDATE runs SET created = 'soon'", "'soon' is no date"),
    "time": ("UPDATE runs SET seconds = 'nan'::DOUBLE", "nan seconds"),
    "deep": ("UPDATE runs SET meta = repeat('[', 100000)", "meta"),
    "header": ("UPDATE bundle SET header = '{}'", "the header lacks the field"),
    "no header": ("UPDATE bundle SET header = NULL", "its header lacks a value"),
    "two headers": ("INSERT INTO bundle FROM bundle", "does not have one row"),
    "later": ("UPDATE bundle SET migrations = list_append(migrations, 'm999_future')", "later version.*m999_future"),
    "before": ("UPDATE bundle SET migrations = migrations[:3]", "its last change of layout is m003_examples"),
    "edge": ("UPDATE edges SET edge = 9999 WHERE rank = 3", "column edge of edges has numbers from 0 to 9,999"),
    "head": ("UPDATE heads SET copying = 'inf'::FLOAT", "copying of heads has an infinite number"),
    "another run": ("UPDATE heads SET run = 77 WHERE node = 1", "'heads' has rows of a run that is not there"),
    "a view": ("CREATE VIEW more AS SELECT 1", "a view 'more'"),
}  # fmt: skip


@pytest.mark.parametrize("what", CHANGES)
def test_a_bundle_of_an_earlier_version_that_was_tampered_with_leaves_nothing_behind(
    runs: dict[RunSpec, Earlier], header: str, tmp_path: Path, elsewhere: Path, what: str
) -> None:
    statement, why = CHANGES[what]
    file = tmp_path / "b.duckdb"
    write_bundle(file, header, [runs[ARM]])
    with duckdb.connect(str(file)) as db:
        db.execute(statement)
    with pytest.raises(UserError, match=why) as refusal:
        bundle.take(file)
    message = str(refusal.value)
    assert message.startswith("b.duckdb cannot be imported: ") and "\n" not in message and len(message) < 500
    assert not settings.cache_dir().exists() and "mine" not in pairs.pairs()


@pytest.mark.parametrize("emptied", TABLES)
def test_a_run_of_a_cache_with_an_emptied_table_is_left_out(
    runs: dict[RunSpec, Earlier], tmp_path: Path, elsewhere: Path, emptied: str
) -> None:
    file = tmp_path / "circuits.duckdb"
    write_cache(file, [runs[MDM]])
    with duckdb.connect(str(file)) as db:
        db.execute(f"DELETE FROM {emptied}")  # noqa: S608
    taken = bundle.take(file)
    assert (taken.added, taken.artifacts) == (0, 0) and f"the table {emptied} has " in taken.left_out[0]
    assert stored() == []
    cache_connection.close()


@pytest.mark.usefixtures("elsewhere")
@pytest.mark.parametrize(
    ("make", "why"),
    [
        (lambda file: duckdb.connect(str(file)).execute("CREATE TABLE mine (a INTEGER)").close(), "of another program"),
        (lambda file: write_cache(file, [], MIGRATIONS[:5]), "m006_where_runs_come_from is needed"),
        (lambda file: write_cache(file, [], (*MIGRATIONS, "m010_future")), "later version .*m010_future"),
    ],
)
def test_other_databases_are_refused_by_name(tmp_path: Path, make: Callable[[Path], object], why: str) -> None:
    make(tmp_path / "x.duckdb")
    with pytest.raises(UserError, match=f"^x.duckdb cannot be imported: .*{why}"):
        bundle.take(tmp_path / "x.duckdb")
