"""A circuit from elsewhere is a run: it is kept, found, compared and exported, and nothing here computes it."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.__main__ import main
from engine.errors import UserError
from engine.exchange import bundle
from engine.exchange.export import export
from engine.exchange.import_circuit import import_bytes, import_circuit
from engine.runs import lifecycle, provenance, read, stored
from engine.runs.compare import compare
from engine.runs.records import Run, short_key
from engine.runs.spec import RunSpec
from engine.schema.artifacts import tables_in
from tests.fakes import fake_model, tiny_compute

K = 12  # edges
SPEC = RunSpec(n=4)
ARM = replace(SPEC, model="arm")


@pytest.fixture
def runs(workspace: Path) -> tuple[Run, Run]:
    for model in ("arm", "mdm"):
        fake_model(workspace / "pair" / model, model, num_hidden_layers=2, num_attention_heads=2)
    arm, mdm = lifecycle.run_all([ARM, SPEC], compute=tiny_compute)
    return arm, mdm


@pytest.fixture
def file(runs: tuple[Run, Run], workspace: Path) -> Path:
    """The ARM's circuit as EAP-IG's JSON."""
    path = workspace / "arm.json"
    path.write_bytes(export(runs[0].key, K, "json"))
    return path


@pytest.mark.parametrize("format", ["json", "mib"])
def test_what_export_writes_has_the_same_ranks_again(runs: tuple[Run, Run], workspace: Path, format: str) -> None:
    for run in runs:
        path = workspace / f"{run.spec.model}.json"
        path.write_bytes(export(run.key, K, format))
        taken = import_circuit(path, run.spec).run
        old, new = read.edge_table(run.key), read.edge_table(taken.key)
        assert np.array_equal(old.edge, new.edge) and np.array_equal(old.score, new.score)
        again = json.loads(export(taken.key, K, format)), json.loads(path.read_bytes())
        assert [content["edges"] for content in again] == [again[1]["edges"]] * 2


def test_its_overlap_with_the_other_model_is_the_originals(runs: tuple[Run, Run], file: Path) -> None:
    arm, mdm = runs
    taken = import_circuit(file, ARM).run
    ours, theirs = compare(arm, mdm), compare(taken, mdm)
    assert np.array_equal(ours.overlap, theirs.overlap) and ours.at(K).jaccard == theirs.at(K).jaccard
    assert ours.split_half(K) is not None and theirs.split_half(K) is None
    for half in ("half-a", "half-b"):
        with pytest.raises(UserError, match="circuit from elsewhere, of which there are no halves"):
            read.edge_table(taken.key, half)
    with pytest.raises(UserError, match=r"no part 'site-00'. Choose one of: total\."):
        read.edge_table(taken.key, "site-00")


def test_the_run_says_where_it_is_from(runs: tuple[Run, Run], file: Path) -> None:
    taken = import_circuit(file, ARM)
    run, spec = taken.run, taken.run.spec
    assert not taken.known and (spec.method, spec.model, spec.n) == ("imported", "arm", 4)
    assert run.meta.file == "arm.json" and run.imported and not run.has_halves
    assert run.companions == runs[0].companions, "accuracy, lens, activations and weights are every run's"
    assert run.accuracy == runs[0].accuracy and not stored.missing(run)
    empty = [name for name in tables_in("circuit") if not len(read.table(run.key, name))]
    assert set(empty) == set(tables_in("circuit")) - {"edges"}
    assert len(read.table(run.key, "examples", example=0)) == len(read.edge_blocks(run.key).edge) == 0


def test_the_same_scores_are_the_same_run(file: Path, workspace: Path) -> None:
    first, other = import_circuit(file, ARM), workspace / "copy.json"
    content = json.loads(file.read_text())
    other.write_text(json.dumps(content | {"source": "elsewhere"}))
    again = import_circuit(other, replace(ARM, method="eap", points=3))
    assert again.known and again.run == first.run
    content["edges"]["input->m0"]["score"] += 0.5
    other.write_text(json.dumps(content))
    changed = import_circuit(other, ARM)
    assert not changed.known and changed.run.key != first.run.key
    assert lifecycle.find(first.run.spec) == first.run and lifecycle.find(changed.run.spec) == changed.run
    assert import_circuit(file, SPEC).run.key != import_circuit(file, replace(ARM, n=5)).run.key


def test_nothing_computes_it(file: Path) -> None:
    run = import_circuit(file, ARM).run
    assert lifecycle.obstacle(run.spec) is None
    unknown = replace(run.spec, source="0" * 20)
    assert lifecycle.find(unknown) is None and "cannot be computed here" in (lifecycle.obstacle(unknown) or "")
    with pytest.raises(UserError, match="cannot be computed here"):
        lifecycle.run(unknown, compute=tiny_compute)
    with pytest.raises(UserError, match=r"method is 'imported'.*import-circuit"):
        RunSpec(method="imported")


def test_what_else_there_is_of_it_is_computed(file: Path) -> None:
    run = import_circuit(file, replace(ARM, seed=1)).run
    assert set(stored.missing(run)) == {"lens", "activity"}
    assert not stored.missing(lifecycle.run(run.spec, compute=tiny_compute))


def test_keys_do_not_depend_on_a_source_that_is_not_there(runs: tuple[Run, Run]) -> None:
    assert "source" not in runs[0].provenance["spec"]
    assert provenance.resolve(ARM).key == runs[0].key


def test_bundles_leave_it_out(runs: tuple[Run, Run], file: Path, workspace: Path) -> None:
    import_circuit(file, ARM)
    path = workspace / "all.circuits.zip"
    written = bundle.write(path, "embedded")
    assert (written.runs, written.left_out) == (2, 1) and bundle.take(path).known == 2


def test_an_upload_is_taken_and_refused_by_its_name(file: Path) -> None:
    taken = import_bytes(file.read_bytes(), "../theirs.json", ARM).run
    assert taken.meta.file == "theirs.json" and taken == import_circuit(file, ARM).run
    with pytest.raises(UserError, match=r"The circuit file 'none.json' is not valid JSON"):
        import_bytes(b"none", "none.json", ARM)


def test_a_model_that_is_not_here_is_refused(file: Path) -> None:
    with pytest.raises(UserError, match="There is no pair called 'other'"):
        import_circuit(file, replace(ARM, pair="other"))
    with pytest.raises(UserError, match="step:7"):
        import_circuit(file, replace(ARM, model="step:7"))


def test_commands_take_and_compare_it(runs: tuple[Run, Run], file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import-circuit", str(file), "--model", "arm", "--task", "ioi", "--n", "4"]) == 0
    printed = capsys.readouterr().out
    (taken,) = [run for run in stored.list_runs() if run.spec.is_imported]
    assert f"{short_key(taken.key)}  embedded / arm / ioi" in printed and "from the file 'arm.json'" in printed
    assert main(["import-circuit", str(file), "--model", "arm", "--task", "ioi", "--n", "4"]) == 0
    assert "was here before" in capsys.readouterr().out
    flags = ["compare", "--n", "4", "--k", str(K), "--no-control"]
    assert main(flags) == main([*flags, "--run", short_key(taken.key)]) == 0
    lines = capsys.readouterr().out.splitlines()
    ours, theirs = (line.split() for line in lines if line.strip().startswith(f"{K} "))
    assert ours[:2] == theirs[:2] and theirs[4:7] == ["none"] * 3
    assert "half: none, as there are no halves of a circuit from elsewhere" in lines
    assert main([*flags, "--run", short_key(taken.key), "--task", "sudoku"]) == 2
    assert "is of the pair embedded on ioi" in capsys.readouterr().err
    assert main(["list"]) == 0 and "from the file 'arm.json'" in capsys.readouterr().out


def test_the_command_refuses_before_anything_is_kept(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = workspace / "bad.json"
    file.write_text("{}")
    assert main(["import-circuit", str(file), "--model", "arm", "--task", "ioi"]) == 2
    assert "lacks the field 'cfg'" in capsys.readouterr().err
    assert main(["import-circuit", str(file), "--model", "arm", "--task", "chess"]) == 2
    with pytest.raises(SystemExit):
        main(["import-circuit", str(file), "--model", "both", "--task", "ioi"])
    assert not stored.list_runs()
