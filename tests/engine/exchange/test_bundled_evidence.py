"""Evidence travels with the circuits that it was computed from: checked like everything else, all of it or nothing."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import duckdb
import pytest

from cache.keys import hash_of
from engine.__main__ import main
from engine.errors import UserError
from engine.exchange import bundle
from engine.runs import cache_connection, evidence, execution, lifecycle, stored
from engine.runs.evidence import Evidence
from engine.runs.records import Run
from engine.runs.spec import RunSpec
from engine.schema.artifacts import EVIDENCE_KINDS, tables_in
from tests.bundles import change_record, kinds_in, record_in, zipped
from tests.fakes import register_fake_pair, tiny_compute

MDM = RunSpec(pair="mine", model="mdm", task="countdown", n=4)
ARM = replace(MDM, model="arm")
SIZE = 7  # K of what is measured at one K


@pytest.fixture(scope="module")
def unpacked(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle, as a folder, of the circuits of an ARM and an MDM and of evidence of every kind of the MDM's."""
    there = tmp_path_factory.mktemp("there")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CIRCUITS_CACHE", str(there))
        patch.setenv("CIRCUITS_PAIRS", str(register_fake_pair(there / "models", "mine")))
        execution.carry_out(evidence.plan([MDM], EVIDENCE_KINDS, SIZE), tiny_compute, lambda progress: None)
        written = bundle.write(there / "all.circuits.zip", "mine")
        cache_connection.close()
    assert (written.runs, written.artifacts, written.evidence, written.evidence_left_out) == (2, 6, 4, 0)
    with ZipFile(there / "all.circuits.zip") as archive:
        archive.extractall(there / "all")
    return there / "all"


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache on a machine that does not know the pair."""
    monkeypatch.setenv("CIRCUITS_CACHE", str(tmp_path / "here"))
    monkeypatch.delenv("CIRCUITS_PAIRS", raising=False)
    return tmp_path / "here"


def runs() -> tuple[Run, Run]:
    arm, mdm = lifecycle.find(ARM), lifecycle.find(MDM)
    assert arm and mdm
    return arm, mdm


def pieces() -> dict[str, Evidence]:
    """The stored evidence of the MDM's circuit by kind."""
    arm, mdm = runs()
    there = {
        kind: evidence.find(mdm, kind, arm, SIZE if kind == "faithfulness_at" else None) for kind in EVIDENCE_KINDS
    }
    return {kind: piece for kind, piece in there.items() if piece}


def copied(unpacked: Path, folder: Path) -> Path:
    return Path(shutil.copytree(unpacked, folder / "copy"))


def changed(
    unpacked: Path,
    folder: Path,
    kind: str,
    change: Callable[[dict[str, Any]], object] | None = None,
    statement: str = "",
) -> Path:
    """A copy of the bundle with the record of one piece of evidence changed, or a statement run on its tables.

    A piece that was made with something else is under the key of that.
    """
    copy = copied(unpacked, folder)
    file = copy / "artifacts" / kinds_in(unpacked)[kind][0].name
    if statement:
        with duckdb.connect(str(file)) as db:
            db.execute(statement)
    if change:
        change_record(file, change)
        file.rename(file.with_name(f"{record_in(file)['key']}.duckdb"))
    return zipped(copy, folder / "changed.circuits.zip")


def made_with(**fields: Any) -> Callable[[dict[str, Any]], None]:
    def change(record: dict[str, Any]) -> None:
        record["made_with"] |= fields
        record["key"] = hash_of(record["made_with"])

    return change


def refused(file: Path, why: str, here: Path) -> None:
    with pytest.raises(UserError, match=f"cannot be imported: .*{why}"):
        bundle.take(file)
    assert not here.exists(), "nothing is left of it"


def test_evidence_comes_along(unpacked: Path, elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", str(unpacked)]) == 0
    assert "2 runs of the pair mine added (6 artifacts, " in capsys.readouterr().out
    there = pieces()
    assert set(there) == set(EVIDENCE_KINDS)
    for kind, piece in there.items():
        (file,) = kinds_in(unpacked)[kind]
        original = record_in(file)
        assert piece.record.imported and (piece.key, piece.meta) == (file.stem, original["meta"])
        assert piece.record.made_with == original["made_with"]
        with duckdb.connect(str(file), read_only=True) as db:
            for name in tables_in(kind):
                rows = evidence.table(piece, name)
                (count,) = db.execute(f"SELECT count(*) FROM {name}").fetchone() or (0,)  # noqa: S608
                assert rows.num_rows == count > 0
    again = bundle.take(unpacked)
    assert (again.added, again.known, again.artifacts) == (0, 2, 0)
    out = elsewhere.parent / "on.circuits.zip"
    assert main(["bundle", str(out), "--pair", "mine"]) == 0
    assert "2 runs, 6 artifacts (4 of them evidence), " in capsys.readouterr().out
    assert bundle.size_of(runs()) == sum(stored.sizes().values())


def test_what_is_missing_is_added_and_the_rest_stays(unpacked: Path, elsewhere: Path) -> None:
    bundle.take(unpacked)
    there = pieces()
    folder = cache_connection.store()
    before = {key: folder.file_of(key).stat().st_mtime_ns for key in (piece.key for piece in there.values())}
    folder.delete(there["audit"].key)
    taken = bundle.take(unpacked)
    assert (taken.added, taken.artifacts) == (0, 1)
    new = {key for key, time in before.items() if folder.file_of(key).stat().st_mtime_ns != time}
    assert new == {there["audit"].key}


def test_evidence_without_its_other_circuit_is_left_out(
    unpacked: Path, elsewhere: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    bundle.take(unpacked)
    arm, mdm = runs()
    assert bundle.evidence_of([arm]) == ([], 0) and len(bundle.evidence_of([arm, mdm])[0]) == 4
    cache_connection.store().delete(arm.key)
    out = elsewhere.parent / "rest.circuits.zip"
    assert main(["bundle", str(out), "--pair", "mine"]) == 0
    told = capsys.readouterr().out
    assert "1 runs, 2 artifacts (1 of them evidence), " in told
    assert "Pieces of evidence that are left out, as the other circuit that they use is not in it: 3." in told


def test_a_bundle_without_evidence_is_taken(unpacked: Path, elsewhere: Path, tmp_path: Path) -> None:
    copy = copied(unpacked, tmp_path)
    for kind in EVIDENCE_KINDS:
        for file in kinds_in(unpacked)[kind]:
            (copy / "artifacts" / file.name).unlink()
    assert bundle.take(copy).artifacts == 2 and not pieces()


@pytest.mark.parametrize(("model", "why"), [("mdm", "uses the circuit '.*', which is not in"), ("arm", "uses the cir")])
def test_evidence_of_circuits_that_are_not_in_it_is_refused(
    unpacked: Path, elsewhere: Path, tmp_path: Path, model: str, why: str
) -> None:
    copy = copied(unpacked, tmp_path)
    for file in kinds_in(unpacked)["circuit"]:
        if record_in(file)["made_with"]["spec"]["model"] == model:
            (copy / "artifacts" / file.name).unlink()
    refused(copy, why, elsewhere)


RECORDS: dict[str, tuple[str, Callable[[dict[str, Any]], object], str]] = {
    "kind": ("audit", lambda record: record.update(kind="dream"), "of the kind 'dream', which there is not"),
    "other kind": ("audit", lambda record: record.update(kind="knockouts"), "of the kind 'audit', not knockouts"),
    "kind of a run": ("audit", lambda record: record.update(kind="lens"), "belongs to no circuit in it"),
    "companions": ("audit", lambda record: record.update(companions={"lens": "0" * 20}), "names artifacts that belong"),
    "key": ("audit", lambda record: record.update(key="0" * 20), "is not that of what it was made with"),
    "made with": ("audit", lambda record: record["made_with"].update(size=3), "is not that of what it was made with"),
    "field": ("audit", made_with(more=1), "was made without 'more', or with it and should not"),
    "version": ("audit", made_with(evidence_version=99), "a later version of this program computed it"),
    "size": ("faithfulness_at", made_with(size=SIZE + 1), "circuit_runs has others than 8"),
    "meta": ("knockouts", lambda record: record["meta"].update(full="<b>"), "full in the meta .* is '<b>'"),
    "nan": ("knockouts", lambda record: record["meta"].update(full=float("nan")), "has NaN, which is no number"),
    "date": ("knockouts", lambda record: record.update(created="<script>"), "'<script>' is no date"),
}
STATEMENTS = {
    "node": ("knockouts", "UPDATE knockouts SET node = 99 WHERE node = 3", "column node of knockouts has numbers"),
    "part": (
        "faithfulness",
        "UPDATE circuit_runs SET part = '<b>' WHERE part = 'step-00'",
        "of circuit_runs has '<b>'",
    ),
    "twice": ("audit", "INSERT INTO audited_edges FROM audited_edges LIMIT 1", "audited_edges has a row twice"),
    "empty": ("knockouts", "DELETE FROM group_knockouts", "the table group_knockouts has no rows"),
    "column": ("audit", "ALTER TABLE audited_edges ADD COLUMN more INTEGER", "has a column 'more'"),
    "view": ("audit", "CREATE VIEW more AS SELECT 1", "a view 'more'"),
}


@pytest.mark.parametrize("what", RECORDS)
def test_another_record_leaves_nothing_behind(unpacked: Path, elsewhere: Path, tmp_path: Path, what: str) -> None:
    kind, change, why = RECORDS[what]
    refused(changed(unpacked, tmp_path, kind, change), why, elsewhere)


@pytest.mark.parametrize("what", STATEMENTS)
def test_another_value_leaves_nothing_behind(unpacked: Path, elsewhere: Path, tmp_path: Path, what: str) -> None:
    kind, statement, why = STATEMENTS[what]
    refused(changed(unpacked, tmp_path, kind, statement=statement), why, elsewhere)


def test_a_circuit_that_is_here_says_what_evidence_can_be_about(
    unpacked: Path, elsewhere: Path, tmp_path: Path
) -> None:
    """The bundle's own record of it, with the same key, may say anything."""
    bundle.take(unpacked)
    cache_connection.store().delete(pieces()["knockouts"].key)
    copy = copied(unpacked, tmp_path)
    (name,) = (file.name for file in kinds_in(unpacked)["knockouts"])
    with duckdb.connect(str(copy / "artifacts" / name)) as db:
        db.execute("UPDATE knockouts SET part = 'step-09' WHERE part = 'step-00'")
    for file in kinds_in(unpacked)["circuit"]:
        if record_in(file)["made_with"]["spec"]["model"] == "mdm":
            change_record(copy / "artifacts" / file.name, lambda record: record["meta"].update(parts=["step-09"]))
    with pytest.raises(UserError, match="the column part of knockouts has 'step-09'"):
        bundle.take(copy)
    assert "knockouts" not in pieces()
