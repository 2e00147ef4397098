"""compare --sweep: a file, means as lines of text, what is missing, exit codes, flags that cannot go together."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet
import pytest

from engine.__main__ import main
from engine.runs import evidence
from engine.runs.run_lines import named
from engine.sweeps.collected_table import means
from engine.sweeps.saved import saved
from engine.sweeps.sweep_file import read
from engine.sweeps.table import rows
from tests.engine.sweeps.stored_sweeps import small, store
from tests.fakes import tiny_compute

GRID = 'models = ["arm", "mdm"]\nseeds = [0, 1]\nn = 16\nartifacts = ["circuit"]\n'


@pytest.fixture
def file(workspace: Path) -> Path:
    path = workspace / "grid.toml"
    path.write_text(GRID)
    return path


def collect(file: Path, name: str = "table.parquet") -> int:
    return main(["compare", "--sweep", str(file), "--out", str(file.with_name(name)), "--k", "5,20"])


def test_a_complete_sweep_is_written_told_and_kept(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store(read(file).specs())
    assert collect(file) == 0
    written = pyarrow.parquet.read_table(file.with_name("table.parquet"))
    assert written.equals(rows(read(file), (5, 20))) and len(written) == 4
    told = capsys.readouterr().out
    assert "4 rows, 2 comparisons at 2 sizes" in told
    titles, line = told.splitlines()[:2]
    at_5 = [row["overlap"] for row in written.to_pylist() if row["k"] == 5]
    cells = dict(zip(titles.replace("solved ", "solved-").split(), line.split(), strict=True))
    assert cells["seeds"] == "2" and cells["K=5"] == f"{sum(at_5) / 2:.3f}"
    assert (cells["solved-ARM"], cells["f"]) == ("none", "none")
    assert "f: faithfulness of the ARM's circuit in the model; 1 is the whole model" in told
    assert saved() == [read(file)]


def test_it_is_told_at_which_size_f_was_measured(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store(read(file).specs(), ["faithfulness"])
    assert collect(file) == 0
    sizes = {row["f_k"] for row in rows(read(file), (20,)).to_pylist()}
    assert f"in the model, measured at K = {', '.join(map(str, sorted(sizes)))}; 1" in capsys.readouterr().out


def test_missing_runs_are_named_and_the_rest_is_written(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store([spec for spec in read(file).specs() if spec.seed == 0])
    assert collect(file, "table.csv") == 1
    assert len(file.with_name("table.csv").read_text().splitlines()) == 1 + 2
    shown = capsys.readouterr()
    lacking = "; ".join(named(spec) for spec in read(file).specs() if spec.seed == 1)
    assert shown.err.strip() == f"2 of 4 runs are not computed yet: {lacking}."
    assert "K=5" in shown.out and "Traceback" not in shown.err


def test_missing_accuracy_and_evidence_are_told(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file.write_text(GRID.replace('["circuit"]', '["circuit", "ability"]') + 'evidence = ["faithfulness"]\n')
    specs = read(file).specs()
    store(specs)
    assert collect(file) == 1
    assert "Of 4 runs whose circuit is there the accuracy, or evidence, is not" in capsys.readouterr().err
    store(specs, whole=True)
    evidence.compute(specs, ["faithfulness"], compute=tiny_compute)
    assert collect(file, "whole.csv") == 0
    assert "none" not in capsys.readouterr().out.splitlines()[1]


def test_nothing_there_writes_an_empty_table(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert collect(file) == 1
    assert len(pyarrow.parquet.read_table(file.with_name("table.parquet"))) == 0
    assert "4 of 4 runs are not computed yet" in capsys.readouterr().err


@pytest.mark.usefixtures("workspace")
def test_lines_are_by_every_setting_that_varies_but_the_seed() -> None:
    grid = small(models=["arm", "mdm"], seeds=[0, 1], methods=["eap-ig", "eap"], denoising_steps=[0, 2])
    store(grid.specs())
    titles, *lines = means(rows(grid, [5]).to_pylist(), [5])
    assert titles.split()[:6] == ["pair", "task", "model", "method", "denoising", "steps"]
    assert sorted(line.split()[3:6] for line in lines) == sorted(
        [method, steps, "2"] for method in ("eap-ig", "eap") for steps in ("0", "2")
    )
    assert len({len(line) for line in [titles, *lines]}) == 1


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["--sweep", "FILE"], "--sweep needs --out"),
        (["--out", "OUT"], "--out only goes with --sweep"),
        (["--sweep", "FILE", "--out", "OUT", "--seed", "0"], "--seed cannot go with --sweep"),
        (["--sweep", "FILE", "--pair=embedded", "--out", "OUT"], "--pair cannot go with --sweep"),
        (["--sweep", "FILE", "--out", "OUT", "--no-control"], "--no-control cannot go with --sweep"),
        (["--sweep", "FILE", "--out", "OUT.xlsx"], "must end in .parquet or .csv"),
        (["--sweep", "FILE", "--out", "FILE.csv/x.csv"], "cannot be written"),
        (["--sweep", "NONE.toml", "--out", "OUT"], "cannot be read: there is no such file"),
    ],
)
def test_flags_that_cannot_go_together_are_refused_by_name(
    file: Path, flags: list[str], sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    places = {"FILE": str(file), "OUT": str(file.with_name("table.csv"))}
    assert main(["compare", *(places.get(flag, flag) for flag in flags)]) == 2
    assert sentence in capsys.readouterr().err
    assert not file.with_name("table.csv").exists() and saved() == []


def test_a_size_above_all_edges_writes_nothing(file: Path, capsys: pytest.CaptureFixture[str]) -> None:
    store(read(file).specs())
    assert main(["compare", "--sweep", str(file), "--out", str(file.with_name("a.csv")), "--k", "5000"]) == 2
    assert "K is 5000, but circuits of the pair embedded have" in capsys.readouterr().err
    assert not file.with_name("a.csv").exists()
