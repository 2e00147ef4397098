"""A bundle made in one place opens in another; a bundle that was tampered with leaves nothing behind."""

from __future__ import annotations

import errno
import json
import os
import re
import shutil
from dataclasses import replace
from pathlib import Path
from zipfile import ZipFile

import pytest

from cache import cleaning
from engine import settings
from engine.__main__ import main
from engine.errors import UserError
from engine.exchange import bundle, staging
from engine.models import pairs
from engine.runs import cache_connection, lifecycle, provenance, read
from engine.runs import stored as stored_runs
from engine.runs.rows import ExampleRow
from engine.schema.tables import TABLES
from engine.tasks import own_prompts
from engine.tasks.countdown import problem_file
from engine.tasks.countdown.problems import PublishedProblem
from engine.tasks.registry import task_named
from tests.bundles import kinds_in
from tests.engine.exchange.conftest import ARM, CONTROL, ROWS, SPEC, Changed, stored
from tests.fakes import register_fake_pair, tiny_compute, tiny_run

PROBLEMS = [PublishedProblem((9, 5, 3), 24, "5*3=15,15+9=24"), PublishedProblem((40, 20, 4), 64, "40+20=60,60+4=64")]


@pytest.mark.usefixtures("elsewhere")
def test_a_bundle_opens_where_there_is_no_model(made: Path) -> None:
    taken = bundle.take(made)
    assert (taken.pairs, taken.added, taken.known, taken.artifacts, taken.left_out) == (("mine",), 4, 0, 19, ())
    assert taken.size == cache_connection.store().size()
    with pytest.raises(UserError, match="There is no model at"):
        provenance.resolve(SPEC)
    run, arm = lifecycle.find(SPEC), lifecycle.find(ARM)
    assert run and arm and run.imported and run.method_version == provenance.METHOD_VERSION
    assert (run.spec, arm.spec) == (SPEC, ARM)
    computed = tiny_run(SPEC, lifecycle.ignore)
    assert (run.meta, run.accuracy, stored_runs.missing(run)) == (computed.meta, computed.accuracy, ())
    for part in ("total", *run.meta.parts):
        rows = [row for row in computed.tables["edges"].to_pylist() if row["part"] == part]
        assert read.edge_table(run.key, part).edge.tolist() == [row["edge"] for row in rows]
    assert [row.prompt for row in read.rows(ExampleRow, run.key)] == [
        tuple(row["prompt"]) for row in computed.tables["examples"].to_pylist()
    ]
    pair = pairs.pair_named("mine")
    assert (pair.title, pair.mask_token, pair.shifted, pair.steps) == ("Fake pair", "<mask>", True, (0, 100))


@pytest.mark.usefixtures("elsewhere")
def test_every_table_comes_along_as_it_was(made: Path, there: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle.take(made)
    keys = [run.key for run in stored_runs.list_runs()]
    brought = [read.table(key, name) for key in keys for name in TABLES]
    cache_connection.close()
    monkeypatch.setenv("CIRCUITS_CACHE", str(there))
    assert brought == [read.table(key, name) for key in keys for name in TABLES]


@pytest.mark.usefixtures("elsewhere")
def test_remarks_come_along(changed: Changed) -> None:
    bundle.take(changed(record=lambda record: record["meta"].update(remarks=["All zero."])))
    assert {run.meta.remarks for run in stored_runs.list_runs()} == {("All zero.",)}


@pytest.mark.usefixtures("elsewhere")
def test_own_prompts_come_along(made: Path) -> None:
    bundle.take(made)
    (kept,) = own_prompts.saved_sets()
    assert (kept.title, kept.pair, list(kept.rows)) == ("Of my own", "mine", ROWS)
    assert task_named(kept.name).title == "Of my own"
    assert lifecycle.find(replace(SPEC, task=kept.name, n=2))


@pytest.fixture
def with_problems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bundle with a run on COUNTDOWN problems of a file."""
    there = tmp_path / "problems"
    monkeypatch.setenv("CIRCUITS_CACHE", str(there))
    monkeypatch.setenv("CIRCUITS_PAIRS", str(register_fake_pair(there / "models", "mine")))
    kept = problem_file.save(PROBLEMS, "Of a file")
    lifecycle.run(replace(SPEC, task=kept.name, n=2), compute=tiny_compute)
    bundle.write(there / "all.circuits.zip", "mine")
    cache_connection.close()
    return there / "all.circuits.zip"


def test_problems_of_a_file_come_along(with_problems: Path, elsewhere: Path) -> None:
    bundle.take(with_problems)
    (kept,) = problem_file.saved_files()
    assert (kept.title, list(kept.rows)) == ("Of a file", PROBLEMS)
    assert lifecycle.find(replace(SPEC, task=kept.name, n=2))
    assert bundle.take(with_problems).known == 1


def test_wrong_problems_are_refused_and_leave_nothing(with_problems: Path, elsewhere: Path) -> None:
    with ZipFile(with_problems) as archive:
        archive.extractall(elsewhere.parent / "wrong")
    header = elsewhere.parent / "wrong" / "header.json"
    header.write_text(header.read_text().replace("15+9=24", "15+9=25"))
    with pytest.raises(UserError, match=r"its file of problems cannot be used\. line 1: the output"):
        bundle.take(elsewhere.parent / "wrong")
    assert not problem_file.saved_files() and not stored_runs.list_runs()


def test_a_damaged_artifact_is_no_part_of_a_bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It would be noticed on the other machine only."""
    monkeypatch.setattr(cleaning, "BEING_WRITTEN", 0.0)
    monkeypatch.setenv("CIRCUITS_PAIRS", str(register_fake_pair(tmp_path / "models", "mine")))
    run = lifecycle.run(SPEC, compute=tiny_compute)
    file = cache_connection.store().file_of(run.companions["lens"])
    file.write_bytes(file.read_bytes()[:20_000])
    with pytest.raises(UserError, match=f"lens artifact {run.companions['lens']}.*set aside"):
        bundle.write(tmp_path / "new.circuits.zip", "mine")
    assert not (tmp_path / "new.circuits.zip").exists()
    assert bundle.write(tmp_path / "new.circuits.zip", "mine").artifacts == 4


@pytest.mark.usefixtures("elsewhere")
def test_importing_twice_changes_nothing(made: Path) -> None:
    bundle.take(made)
    before, runs = stored(), stored_runs.list_runs()
    assert bundle.take(made) == bundle.Taken(("mine",), added=0, known=4, artifacts=0, size=0)
    assert (stored(), stored_runs.list_runs()) == (before, runs)


def test_what_was_imported_can_be_handed_on(made: Path, elsewhere: Path) -> None:
    bundle.take(made)
    written = bundle.write(elsewhere / "ioi.circuits.zip", "mine", "ioi")
    assert (written.runs, written.left_out) == (3, 0)
    assert written.size == (elsewhere / "ioi.circuits.zip").stat().st_size
    keys = {run.key for run in stored_runs.list_runs() if run.spec.task == "ioi"}
    for key in keys:
        stored_runs.delete(key)
    assert bundle.take(elsewhere / "ioi.circuits.zip").added == 3
    assert {run.key for run in stored_runs.list_runs() if run.spec.task == "ioi"} == keys


def test_a_pair_that_is_known_here_stays_what_it_is(
    made: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = register_fake_pair(elsewhere / "models", "mine")
    here.write_text(here.read_text().replace("Fake pair", "My pair"))
    monkeypatch.setenv("CIRCUITS_PAIRS", str(here))
    bundle.take(made)
    assert pairs.pair_named("mine").title == "My pair"
    assert not settings.kept_pairs_dir().exists()
    run = lifecycle.find(SPEC)
    assert run and run.imported, "the weights are the same, so the key is"


def test_paths_of_the_other_machine_stay_there(made: Path, elsewhere: Path) -> None:
    with ZipFile(made) as archive:
        content = b"".join(archive.read(name) for name in archive.namelist())
    assert str(made.parent).encode() not in content
    bundle.take(made)
    assert Path(pairs.pair_named("mine").folder("arm")) == elsewhere / "pairs" / "not-here" / "mine" / "arm"


def test_runs_whose_prompts_are_gone_are_left_out(made: Path, elsewhere: Path) -> None:
    bundle.take(made)
    (kept,) = own_prompts.saved_sets()
    own_prompts.delete(kept.name)
    written = bundle.write(elsewhere / "rest.circuits.zip", "mine")
    assert (written.runs, written.left_out) == (3, 1)


def test_nothing_to_write_is_said(elsewhere: Path) -> None:
    with pytest.raises(UserError, match="no runs of the pair embedded on ioi"):
        bundle.write(elsewhere / "x.circuits.zip", "embedded", "ioi")
    assert not (elsewhere / "x.circuits.zip").exists()


@pytest.mark.usefixtures("elsewhere")
def test_a_later_method_is_refused(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "METHOD_VERSION", provenance.METHOD_VERSION - 1)
    with pytest.raises(UserError, match="later version of this program computed it"):
        bundle.take(made)


@pytest.mark.parametrize("source", ["/etc", "~", "../../.."])
@pytest.mark.usefixtures("elsewhere")
def test_a_bundle_cannot_name_a_folder_of_this_machine(changed: Changed, source: str) -> None:
    bundle.take(changed(header=lambda header: header.replace('arm = \\"arm\\"', f"arm = '{source}'")))
    folder = Path(pairs.pair_named("mine").folder("arm"))
    assert folder == settings.kept_pairs_dir() / "not-here" / "mine" / "arm"


def test_the_commands_write_and_take_a_bundle(made: Path, elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", str(made)]) == 0
    assert re.search(r"4 runs of the pair mine added \(19 artifacts, [0-9.]+ \w+\)\.$", capsys.readouterr().out)
    assert main(["import", str(made)]) == 0
    assert "0 runs of the pair mine added, 4 were here before." in capsys.readouterr().out
    assert main(["compare", "--pair", "mine", "--n", "4", "--k", "10"]) == 0, "from the cache, with no model here"
    assert capsys.readouterr().out.count("  imported\n") == 3
    out = elsewhere / "again.circuits.zip"
    assert main(["bundle", str(out), "--pair", "mine", "--task", "ioi"]) == 0
    assert re.search(rf"^{re.escape(str(out))}: 3 runs, 15 artifacts, [0-9.]+ \w+$", capsys.readouterr().out)
    assert main(["bundle", str(out), "--pair", "mine"]) == 2
    assert "already" in capsys.readouterr().err
    assert main(["import", str(elsewhere / "none.circuits.zip")]) == 2
    assert capsys.readouterr().err == "error: none.circuits.zip cannot be imported: there is no such file.\n"


def test_no_temporary_file_stays(made: Path, elsewhere: Path) -> None:
    bundle.take(made)
    bundle.take_bytes(made.read_bytes(), "This file")
    with bundle.packed("mine") as content:
        assert sorted(file.name for file in elsewhere.iterdir()) == ["artifacts", "pairs", "prompts"]
        assert content.read(4) == b"PK\3\4"
    assert not list((elsewhere / "artifacts" / "partial").iterdir())


def test_what_is_wrong_with_the_cache_is_no_fault_of_the_bundle(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "notes").write_text("mine")
    monkeypatch.setenv("CIRCUITS_CACHE", str(tmp_path / "notes"))
    with pytest.raises(UserError, match=r"^The cache .*/notes cannot be used"):
        bundle.take(made)


@pytest.mark.parametrize("command", ["import", "bundle"])
@pytest.mark.parametrize(
    "name", ["x" * 300, "{folder}", "{folder}/pipe", "{folder}/loop", "{folder}/text/x", "~nouser/x"]
)
def test_files_that_cannot_be_are_sentences(
    there: Path, elsewhere: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    bundle.take(there / "own.circuits.zip")
    folder = tmp_path / "named"
    folder.mkdir()
    monkeypatch.chdir(folder)
    (folder / "text").write_text("mine")
    (folder / "loop").symlink_to(folder / "loop")
    os.mkfifo(folder / "pipe")
    before = sorted(folder.rglob("*"))
    assert main([command, name.format(folder=folder), *(["--pair", "mine"] if command == "bundle" else [])]) == 2
    output = capsys.readouterr().err
    assert output.startswith("error: ") and output.count("\n") == 1
    assert sorted(folder.rglob("*")) == before


def test_prompts_of_an_earlier_version_with_a_row_twice_do_not_spoil_a_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are kept under a name that counts both, under which no other machine would find them."""
    monkeypatch.setenv("CIRCUITS_PAIRS", str(register_fake_pair(tmp_path / "models", "mine")))
    name = own_prompts.PREFIX + own_prompts.digest_of([ROWS[0], ROWS[0]])
    rows = [{"clean": "a b c", "corrupted": "a x c", "answers": ["d"], "foils": ["e"]}] * 2
    settings.prompts_dir().mkdir(parents=True, exist_ok=True)
    own_prompts.file_of(name).write_text(
        json.dumps({"title": "Old", "pair": "mine", "saved": "2026-01-01", "rows": rows})
    )
    for spec in (SPEC, replace(SPEC, task=name, n=1)):
        lifecycle.run(spec, compute=tiny_compute)
    written = bundle.write(tmp_path / "all.circuits.zip", "mine")
    assert (written.runs, written.left_out) == (1, 1)
    cache_connection.close()
    monkeypatch.setenv("CIRCUITS_CACHE", str(tmp_path / "here"))
    assert bundle.take(tmp_path / "all.circuits.zip").added == 1
    cache_connection.close()


def test_a_bundle_has_each_artifact_once_and_those_that_are_there(
    made: Path, elsewhere: Path, all_unpacked: Path
) -> None:
    assert {kind: len(files) for kind, files in kinds_in(all_unpacked).items()} == {
        "circuit": 4, "ability": 4, "lens": 4, "activity": 4, "weights": 3,
    }  # fmt: skip
    bundle.take(made)
    run, arm = lifecycle.find(SPEC), lifecycle.find(ARM)
    assert run and arm
    for key in (run.companions["lens"], arm.companions["ability"]):
        cache_connection.store().delete(key)
    written = bundle.write(elsewhere / "rest.circuits.zip", "mine", "ioi")
    assert (written.runs, written.artifacts) == (3, 13)
    assert 0 < written.size - bundle.size_of([run, arm, stored_runs.get(lifecycle.find(CONTROL).key)]) < 10_000
    cache_connection.close()
    shutil.rmtree(elsewhere / "artifacts")
    assert bundle.take(elsewhere / "rest.circuits.zip").artifacts == 13
    assert stored_runs.missing(stored_runs.get(run.key)) == ("lens",)
    assert stored_runs.missing(stored_runs.get(arm.key)) == ("ability",) and stored_runs.get(arm.key).accuracy is None
    with pytest.raises(read.NotComputed):
        read.table(run.key, "trajectories")


def test_what_is_here_stays_and_what_is_missing_is_added(made: Path, elsewhere: Path) -> None:
    bundle.take(made)
    run = lifecycle.find(SPEC)
    folder = cache_connection.store()
    assert run
    before = {key: folder.file_of(key).stat().st_mtime_ns for key in stored()}
    for kind in ("lens", "weights"):
        folder.delete(run.companions[kind])
    taken = bundle.take(made)
    assert (taken.added, taken.known, taken.artifacts) == (0, 4, 2)
    assert stored_runs.missing(stored_runs.get(run.key)) == ()
    new = {key for key, time in before.items() if folder.file_of(key).stat().st_mtime_ns != time}
    assert new == {run.companions["lens"], run.companions["weights"]}


def test_a_circuit_that_is_here_is_held_against_what_a_bundle_adds(
    changed: Changed, there: Path, elsewhere: Path
) -> None:
    bundle.take(there / "own.circuits.zip")
    run = stored_runs.list_runs()[0]
    cache_connection.store().delete(run.companions["activity"])
    before = stored()
    with pytest.raises(UserError, match="the column neuron of neurons numbers other rows in one artifact"):
        bundle.take(changed("UPDATE neurons SET neuron = 11 - neuron, counts = counts"))
    assert stored() == before and stored_runs.missing(stored_runs.get(run.key)) == ("activity",)


def test_a_folder_is_taken_like_a_zip(all_unpacked: Path, elsewhere: Path) -> None:
    assert bundle.take(all_unpacked).added == 4
    assert sorted(path.name for path in all_unpacked.iterdir()) == ["artifacts", "header.json"]


def test_a_refused_import_leaves_a_cache_that_was_there(made: Path, elsewhere: Path, tmp_path: Path) -> None:
    (tmp_path / "text").write_text("coffee")
    bundle.take(made)
    before = sorted(elsewhere.rglob("*"))
    for _ in range(2):
        with pytest.raises(UserError, match="text cannot be imported"):
            bundle.take(tmp_path / "text")
        assert sorted(elsewhere.rglob("*")) == before and len(stored_runs.list_runs()) == 4


def test_a_cache_that_cannot_be_written_is_named(made: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*arguments: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(staging, "write_record", full)
    with pytest.raises(UserError, match=r"^The cache .*/here cannot be written: No space left on device\.$"):
        bundle.take(made)
    assert not elsewhere.exists() and "mine" not in pairs.pairs()
