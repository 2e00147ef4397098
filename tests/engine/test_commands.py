"""The commands: what they print, what they write, and what they refuse."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine import commands, settings
from engine.__main__ import main
from engine.circuits import pruning
from engine.circuits.filters import Filters
from engine.errors import UserError
from engine.exchange import export as exports
from engine.exchange.circuit import Other
from engine.models.light_tokenizer import words_of
from engine.models.pairs import pair_named
from engine.runs import cache_connection, lifecycle, read, stored
from engine.runs.execution import OnProgress
from engine.runs.provenance import METHOD_VERSION
from engine.runs.records import Accuracy, Progress, RunTables, short_key, size_text
from engine.runs.spec import RunSpec
from engine.schema.artifacts import KIND_TITLES
from engine.tasks import own_prompts
from engine.tasks.countdown.problem_file import ProblemFile
from engine.tasks.own_prompts import PromptRow
from engine.tasks.registry import task_named
from tests.fakes import REMARK, by_kind, fake_compute, fake_run, remarked_compute, tiny_compute, tiny_run


def unable_run(spec: RunSpec, on_progress: OnProgress) -> RunTables:
    """A pair of which only the ARM can do the task."""
    made = tiny_run(spec, on_progress)
    return made if spec.is_arm else replace(made, accuracy=Accuracy(0.1, 200))


@pytest.mark.usefixtures("workspace")
def test_models_that_cannot_do_the_task_are_marked(capsys: pytest.CaptureFixture[str]) -> None:
    mark = "CANNOT DO THIS TASK: its circuit is not informative"
    assert main(["compare", "--n", "4", "--k", "5", "--steps"], by_kind(unable_run)) == 0
    lines = capsys.readouterr().out.splitlines()
    for line in lines:
        if any(run.key in line for run in stored.list_runs()):
            assert (mark in line) == (" / arm / " not in line), line
    assert sum(mark in line for line in lines) == 4  # MDM, control, two checkpoints
    assert main(["list"]) == 0
    assert capsys.readouterr().out.count(mark) == 4
    assert main(["run", "--n", "4", "--model", "arm,mdm"]) == 0
    assert capsys.readouterr().out.count(mark) == 1


@pytest.mark.usefixtures("workspace")
def test_a_comparison_can_go_without_its_control(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "--n", "4", "--k", "5", "--no-control"], tiny_compute) == 0
    printed = capsys.readouterr().out
    (row,) = [line.split() for line in printed.splitlines() if line.strip().startswith("5 ")]
    assert row[2] == row[10] == "none" and "control: left out (--no-control)" in printed
    assert {run.spec.model for run in stored.list_runs()} == {"arm", "mdm"}


@pytest.mark.usefixtures("workspace")
def test_a_control_that_cannot_be_computed_does_not_hide_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    def refused(spec: RunSpec, on_progress: OnProgress) -> RunTables:
        if spec.is_control:
            raise UserError("The ARM has no row for the mask.")
        return tiny_run(spec, on_progress)

    assert main(["compare", "--n", "4", "--k", "5"], by_kind(refused)) == 0
    printed = capsys.readouterr().out
    assert "control: not computed: The ARM has no row for the mask." in printed
    assert {run.spec.model for run in stored.list_runs()} == {"arm", "mdm"}


@pytest.mark.usefixtures("workspace")
def test_compare_follows_the_checkpoints(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "--n", "4", "--k", "50", "--steps"], fake_compute) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {run.spec.model for run in stored.list_runs()} == {"arm", "mdm", "control", "step:0", "step:100"}
    arm, late = (lifecycle.find(RunSpec(n=4, model=model)) for model in ("arm", "step:100"))
    assert arm and late
    shared = len(np.intersect1d(*(read.edge_table(run.key, limit=50).edge for run in (arm, late))))
    assert lines[-1].split()[:2] == ["100", f"{shared / (100 - shared):.3f}"] and short_key(late.key) in lines[-1]


@pytest.mark.usefixtures("workspace")
@pytest.mark.parametrize("command", ["run", "compare"])
def test_a_metric_without_a_gradient_at_the_clean_input_is_refused(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "--method", "eap", "--metric", "kl"], fake_compute) == 2
    message = capsys.readouterr().err
    assert "eap takes gradients at the clean input only" in message and "Choose the method eap-ig" in message
    assert stored.list_runs() == []


@pytest.mark.usefixtures("workspace")
def test_run_computes_and_list_shows(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--task", "sudoku", "--n", "3", "--model", "arm,step:100"], tiny_compute) == 0
    printed = capsys.readouterr().out
    assert [run.spec for run in stored.list_runs()] == [
        RunSpec(task="sudoku", n=3, model=model) for model in ("step:100", "arm")
    ]
    assert main(["list"]) == 0
    listed = capsys.readouterr().out
    for run in stored.list_runs():
        assert short_key(run.key) in printed and short_key(run.key) in listed and run.created in listed


@pytest.mark.usefixtures("workspace")
def test_list_says_what_each_artifact_takes_and_what_is_missing(capsys: pytest.CaptureFixture[str]) -> None:
    run, other = (lifecycle.run(RunSpec(n=4, seed=seed), compute=tiny_compute) for seed in (0, 1))
    cache_connection.store().delete(run.companions["lens"])
    sizes = stored.sizes_of(other)
    assert main(["list"]) == 0
    first, second, *_ = [line for line in capsys.readouterr().out.splitlines() if line.startswith("    circuit ")]
    assert first.strip() == ", ".join(f"{KIND_TITLES[kind]} {size_text(size)}" for kind, size in sizes.items())
    assert "logit lens missing" in second and second.count("missing") == 1
    assert main(["list"]) == 0
    total = cache_connection.store().size()
    assert f"In all {size_text(total)}: circuit " in capsys.readouterr().out


@pytest.mark.usefixtures("workspace")
def test_prune_deletes_what_is_older_and_says_how_much_that_freed(capsys: pytest.CaptureFixture[str]) -> None:
    lifecycle.run(RunSpec(n=4), compute=tiny_compute)
    assert main(["prune", "--older-than", "1h"]) == 0
    assert capsys.readouterr().out == "0 runs deleted, 0 KiB freed.\n"
    size = cache_connection.store().size()
    assert main(["prune", "--older-than", "0h", "--keep-bundles"]) == 0
    assert capsys.readouterr().out.startswith("1 run deleted, ") and size > 0
    assert stored.list_runs() == [] and cache_connection.store().size() == 0
    assert main(["list"]) == 0
    assert capsys.readouterr().out == f"There are no runs in the cache {settings.cache_dir()}.\n"
    for age in ("soon", "3", "-1d", "1w"):
        with pytest.raises(SystemExit):
            main(["prune", f"--older-than={age}"])
    assert "is no age. Write days or hours, as in 30d or 12h" in capsys.readouterr().err


@pytest.mark.usefixtures("workspace")
def test_list_marks_runs_of_another_method_version(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = lifecycle.run(RunSpec(n=4), compute=tiny_compute)
    older = {**run.provenance, "method_version": METHOD_VERSION - 1}
    unversioned = {name: value for name, value in run.provenance.items() if name != "method_version"}
    runs = [run, replace(run, provenance=older), replace(run, provenance=unversioned)]
    monkeypatch.setattr(stored, "list_runs", lambda: runs)
    assert main(["list"]) == 0
    endings = [line.partition(run.created)[2] for line in capsys.readouterr().out.splitlines() if run.created in line]
    now = f"now {METHOD_VERSION}"
    assert endings == ["", f"  method version {METHOD_VERSION - 1}, {now}", f"  method version unknown, {now}"]


@pytest.mark.usefixtures("workspace")
@pytest.mark.parametrize("command", ["run", "compare", "list"])
def test_remarks_on_a_run_are_below_it(command: str, capsys: pytest.CaptureFixture[str]) -> None:
    lifecycle.run(RunSpec(n=4, model="arm"), compute=tiny_compute)
    mdm = lifecycle.run(RunSpec(n=4), compute=remarked_compute)
    assert main([command, *(["--n", "4"] if command != "list" else []), *(["--k", "5"] * (command == "compare"))]) == 0
    lines = capsys.readouterr().out.splitlines()
    (place,) = (number for number, line in enumerate(lines) if short_key(mdm.key) in line)
    assert lines[place + 1 : place + 3] == [f"  ! {REMARK}", "  ! And another."]
    assert sum(REMARK in line for line in lines) == 1


def test_export_writes_what_filters_leave(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = lifecycle.run(RunSpec(n=4, model="arm"), compute=tiny_compute)
    out = workspace / "out.csv"
    flags = ["--sign", "negative", "--kinds", "q,mlp,logits", "--prune"]
    assert main(["export", run.key, "--format", "csv", "--k", "12", "--out", str(out), *flags]) == 0
    rows = list(csv.DictReader(io.StringIO(out.read_text())))
    table = read.edge_table(run.key, limit=12)
    kept = pruning.prune(run.meta.graph, table.edge)
    wanted = []
    for edge, score, alive in zip(table.edge.tolist(), table.score.tolist(), kept.tolist(), strict=True):
        name = run.meta.graph.edge_name(edge)
        if alive and score < 0 and not name.endswith(("<k>", "<v>")):
            wanted.append(name)
    assert [row["name"] for row in rows] == wanted
    summary = f"{len(wanted)} of 12 edges (read as q, mlp, logits, negative, pruned)"
    assert summary in capsys.readouterr().out


def test_export_compares_with_another_run(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arm, mdm = (lifecycle.run(RunSpec(n=4, model=model), compute=tiny_compute) for model in ("arm", "mdm"))
    out = workspace / "out.csv"
    flags = ["--k", "12", "--other", short_key(mdm.key), "--other-part", "half-a", "--show", "only"]
    assert main(["export", short_key(arm.key), "--format", "csv", "--out", str(out), *flags]) == 0
    expected = exports.export(arm.key, 12, "csv", "total", Filters(show="only"), Other(mdm.key, "half-a"))
    assert out.read_bytes() == expected
    rows = list(csv.DictReader(io.StringIO(out.read_text())))
    assert {row["shared"] for row in rows} == {"false"}
    assert f"{len(rows)} of 12 edges (not shared)" in capsys.readouterr().out
    assert main(["export", arm.key, "--show", "shared", "--k", "12", "--out", str(workspace / "none.json")]) == 2
    assert "--show shared compares with another run. Name it with --other." in capsys.readouterr().err
    assert not (workspace / "none.json").exists()


def test_export_says_beforehand_how_large_a_file_is(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(workspace)
    run = lifecycle.run(RunSpec(n=4), compute=tiny_compute)
    told: list[str | Progress] = []

    @contextmanager
    def shown(title: str) -> Iterator[Callable[[Progress], None]]:
        told.append(title)
        yield told.append

    monkeypatch.setattr(commands, "shown_progress", shown)
    (line,) = commands.export(run.key, 9, "json", "total", Filters(), None, None)
    edges = run.meta.graph.n_edges
    name = exports.file_name(run, 9, "json")
    assert told == [f"{name}, about {edges * 73 / 2**10:.0f} KiB", Progress("Writing edges", edges, edges)]
    assert line == f"{name}: 9 edges, {Path(name).stat().st_size} bytes"


@pytest.mark.parametrize("format", ["json", "graphml", "parquet", "csv"])
def test_export_writes_the_file(workspace: Path, format: str) -> None:
    run = lifecycle.run(RunSpec(n=4), compute=tiny_compute)
    out = workspace / f"circuit.{format}"
    assert main(["export", run.key, "--format", format, "--k", "9", "--out", str(out)]) == 0
    assert out.stat().st_size > 100
    if format == "json":
        assert sum(edge["in_graph"] for edge in json.loads(out.read_text())["edges"].values()) == 9


@pytest.mark.usefixtures("workspace")
def test_a_size_beyond_the_graph_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "--n", "4", "--k", "50,99999"], tiny_compute) == 2
    assert "--k has 99999, but this circuit has 3628 edges" in capsys.readouterr().err  # as the config tells
    assert stored.list_runs() == []


@pytest.mark.usefixtures("workspace")
def test_doctor_says_what_there_is(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lifecycle.run(RunSpec(n=4), compute=tiny_compute)
    (workspace / "pair" / "mdm" / "model.safetensors").unlink()
    assert main(["doctor"]) == 0
    printed = capsys.readouterr().out
    assert f"{workspace}: 1 runs" in printed
    assert "GiB" in printed and "device" in printed and "torch" in printed
    (line,) = [line for line in printed.splitlines() if line.startswith("pair        embedded")]
    assert "mdm missing" in line and "arm missing" not in line


ROWS = "clean,corrupted,answer,foil\nto Mary and,to John and,John,Mary\nfrom 17 32 to 17,from 17 01 to 17,33,02\n"


def test_one_row_is_a_run(tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text("\n".join(ROWS.splitlines()[:2]))
    assert main(["run", "--prompts", str(tmp_path / "one.csv"), "--model", "arm"], tiny_compute) == 0
    assert [run.spec.n for run in stored.list_runs()] == [1]


def test_token_ids_are_shown_before_anything_is_computed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mary, john = words_of(pair_named("embedded").folder("arm")).ids("Mary John")
    (tmp_path / "ids.csv").write_text(
        f",clean,corrupted,correct_idx,incorrect_idx\n7,to Mary and,to John and,{john},{mary}\n"
    )
    assert main(["run", "--prompts", str(tmp_path / "ids.csv"), "--points", "1001"], tiny_compute) == 2
    assert main(["run", "--prompts", str(tmp_path / "ids.csv"), "--model", "arm"], tiny_compute) == 0
    told = f"Token ids as the pair embedded reads them: row 2: '{john}' is 'John', '{mary}' is 'Mary'.\n"
    assert capsys.readouterr().err.endswith(told)


def test_more_examples_than_own_rows_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    kept = own_prompts.save([PromptRow("to Mary and", "to John and", ("John",), ("Mary",))], "Mine", "embedded")
    assert main(["run", "--task", kept.name, "--n", "2"], tiny_compute) == 2
    assert capsys.readouterr().err == "error: Mine has 1 row, but 2 examples were asked for. Ask for 1.\n"


@pytest.mark.usefixtures("workspace")
def test_problems_are_written_and_run(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = workspace / "cd3.jsonl"
    assert main(["countdown", str(file), "--operands", "3", "--n", "12", "--seed", "4"]) == 0
    assert capsys.readouterr().out == f"{file}: 12 problems with 3 operands\n"
    assert [set(json.loads(line)) for line in file.read_text().splitlines()] == [{"input", "output"}] * 12
    asked: list[RunSpec] = []

    @by_kind
    def compute(spec: RunSpec, on_progress: OnProgress) -> RunTables:
        asked.append(spec)
        return fake_run(replace(spec, task="ioi"), on_progress)

    assert main(["run", "--problems", str(file), "--n", "3", "--model", "arm"], compute) == 0
    assert main(["run", "--problems", str(file), "--model", "arm"], compute) == 0
    printed = capsys.readouterr()
    kept = task_named(asked[0].task)
    assert isinstance(kept, ProblemFile) and kept.title == "cd3" and len(kept) + kept.left_out == 12
    assert list(dict.fromkeys(spec.n for spec in asked)) == [3, len(kept)]
    assert "200 problems of a file" in printed.out
    assert (f"{kept.left_out} of 12 problems were left out" in printed.err) == (kept.left_out > 0)
