"""The command line: what it prints, what it refuses, and that the cache answers without torch."""

from __future__ import annotations

import csv
import io
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from engine.__main__ import main
from engine.circuits import comparison, pruning
from engine.errors import UserError
from engine.models.light_tokenizer import words_of
from engine.models.pairs import pair_named, pairs
from engine.runs import cache_connection, lifecycle, read
from engine.runs.records import Run, RunTables, short_key
from engine.runs.spec import RunSpec
from engine.tasks import own_prompts
from engine.tasks.countdown.problem_file import ProblemFile
from engine.tasks.own_prompts import PromptRow
from engine.tasks.registry import task_named
from tests.fakes import REMARK, fake_compute, remarked_compute, tiny_compute

MODELS = ("arm", "mdm", "control")
ROOT = Path(__file__).resolve().parents[2]
NO_TORCH = """
import sys
from engine.__main__ import main
code = main(sys.argv[1:])
sys.exit("torch was imported" if "torch" in sys.modules else code)
"""


def cli(*argv: str) -> subprocess.CompletedProcess[str]:
    """A command in a process of its own, which fails if it imported torch."""
    command = [sys.executable, "-c", NO_TORCH, *argv]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False)


def both(task: str = "ioi") -> tuple[Run, Run]:
    """The two runs of a pair; its control is computed too."""
    arm, mdm, _ = (lifecycle.run(RunSpec(n=4, task=task, model=m), compute=fake_compute) for m in MODELS)
    return arm, mdm


@pytest.mark.usefixtures("workspace")
def test_compare_answers_from_the_cache_without_torch() -> None:
    arm, mdm = both()
    assert main(["compare", "--n", "4"]) == 0
    cache_connection.close()
    process = cli("compare", "--n", "4")
    assert (process.returncode, process.stderr) == (0, "")
    assert short_key(arm.key) in process.stdout and short_key(mdm.key) in process.stdout


@pytest.mark.usefixtures("workspace")
def test_compare_prints_what_the_arrays_say(capsys: pytest.CaptureFixture[str]) -> None:
    arm, mdm = both()
    assert main(["compare", "--n", "4", "--k", "7,300"]) == 0
    printed = capsys.readouterr().out
    rows = [line.split() for line in printed.splitlines() if line.strip()[:1].isdecimal()]
    assert [row[0] for row in rows] == ["7", "300"]
    control = lifecycle.find(RunSpec(n=4, model="control"))
    assert control
    for k, overlap, beside, chance, half, half_arm, half_mdm, early_arm, early_mdm, ratio, ratio_0, *_ in rows:
        at, n = int(k), arm.meta.graph.n_edges
        tops = {
            (run.key, part): set(read.edge_table(run.key, part, at).edge.tolist())
            for run in (arm, mdm, control)
            for part in ("total", "half-a", "half-b")
        }

        def jaccard(a: set[int], b: set[int]) -> float:
            return len(a & b) / len(a | b)

        assert float(overlap) == pytest.approx(jaccard(tops[arm.key, "total"], tops[mdm.key, "total"]), abs=6e-4)
        ways = [(tops[arm.key, a], tops[mdm.key, b]) for a, b in (("half-a", "half-b"), ("half-b", "half-a"))]
        assert float(half) == pytest.approx(sum(jaccard(*way) for way in ways) / 2, abs=6e-4)
        assert float(beside) == pytest.approx(jaccard(tops[arm.key, "total"], tops[control.key, "total"]), abs=6e-4)
        assert float(half_arm) == pytest.approx(jaccard(tops[arm.key, "half-a"], tops[arm.key, "half-b"]), abs=6e-4)
        assert float(half_mdm) == pytest.approx(jaccard(tops[mdm.key, "half-a"], tops[mdm.key, "half-b"]), abs=6e-4)
        assert float(chance) == pytest.approx(at / (2 * n - at), abs=6e-5)
        tables = [read.edge_table(run.key, limit=at) for run in (arm, mdm, control)]
        expected = comparison.compare(arm.meta.graph, tables[0], tables[1], at)
        at_step_0 = comparison.compare(arm.meta.graph, tables[0], tables[2], at)
        assert float(ratio_0) == pytest.approx(at_step_0.early_ratio, abs=6e-3)
        assert float(early_arm) == pytest.approx(expected.arm.early_share, abs=6e-4)
        assert float(early_mdm) == pytest.approx(expected.mdm.early_share, abs=6e-4)
        assert float(ratio) == pytest.approx(expected.early_ratio, abs=6e-3)
    for run in (arm, mdm, control):
        assert (
            f"{short_key(run.key)}  embedded / {run.spec.model} / ioi  n=4 seed=0  accuracy {run.meta.accuracy:.1%}"
            in printed
        )


def unable_compute(spec: RunSpec, on_progress: lifecycle.OnProgress) -> RunTables:
    """A pair of which only the ARM can do the task."""
    tables = tiny_compute(spec, on_progress)
    return tables if spec.is_arm else replace(tables, meta=replace(tables.meta, accuracy=0.1))


@pytest.mark.usefixtures("workspace")
def test_models_that_cannot_do_the_task_are_marked(capsys: pytest.CaptureFixture[str]) -> None:
    mark = "CANNOT DO THIS TASK: its circuit explains little"
    assert main(["compare", "--n", "4", "--k", "5", "--steps"], unable_compute) == 0
    lines = capsys.readouterr().out.splitlines()
    for line in lines:
        if any(run.key in line for run in lifecycle.list_runs()):
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
    assert {run.spec.model for run in lifecycle.list_runs()} == {"arm", "mdm"}


@pytest.mark.usefixtures("workspace")
def test_a_control_that_cannot_be_computed_does_not_hide_the_others(capsys: pytest.CaptureFixture[str]) -> None:
    def refused(spec: RunSpec, on_progress: lifecycle.OnProgress) -> RunTables:
        if spec.is_control:
            raise UserError("The ARM has no row for the mask.")
        return tiny_compute(spec, on_progress)

    assert main(["compare", "--n", "4", "--k", "5"], refused) == 0
    printed = capsys.readouterr().out
    assert "control: not computed: The ARM has no row for the mask." in printed
    assert {run.spec.model for run in lifecycle.list_runs()} == {"arm", "mdm"}


@pytest.mark.usefixtures("workspace")
def test_compare_follows_the_checkpoints(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "--n", "4", "--k", "50", "--steps"], fake_compute) == 0
    lines = capsys.readouterr().out.splitlines()
    assert {run.spec.model for run in lifecycle.list_runs()} == {"arm", "mdm", "control", "step:0", "step:100"}
    arm, late = (lifecycle.find(RunSpec(n=4, model=model)) for model in ("arm", "step:100"))
    assert arm and late
    shared = len(np.intersect1d(*(read.edge_table(run.key, limit=50).edge for run in (arm, late))))
    assert lines[-1].split()[:2] == ["100", f"{shared / (100 - shared):.3f}"] and short_key(late.key) in lines[-1]


@pytest.mark.usefixtures("workspace")
def test_one_example_has_no_halves_to_compare(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "--n", "1", "--k", "5,50", "--steps"], fake_compute) == 0
    printed = capsys.readouterr().out
    rows = [line.split() for line in printed.splitlines() if line.strip()[:1].isdecimal()]
    assert [row[4:7] for row in rows if row[0] in ("5", "50")] == [["none"] * 3] * 2
    assert "half: none, as there are no halves of a single example" in printed
    assert [row.count("none)") for row in rows if row[0] in ("0", "100")] == [2, 2]
    arm = lifecycle.find(RunSpec(n=1, model="arm"))
    assert arm and main(["export", arm.key, "--part", "half-b"]) == 2
    assert "is of one example, so that it has no second half" in capsys.readouterr().err


@pytest.mark.usefixtures("workspace")
@pytest.mark.parametrize("command", ["run", "compare"])
def test_a_metric_without_a_gradient_at_the_clean_input_is_refused(
    command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([command, "--method", "eap", "--metric", "kl"], fake_compute) == 2
    message = capsys.readouterr().err
    assert "eap takes gradients at the clean input only" in message and "Choose the method eap-ig" in message
    assert lifecycle.list_runs() == []


@pytest.mark.usefixtures("workspace")
def test_run_computes_and_list_shows(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--task", "sudoku", "--n", "3", "--model", "arm,step:100"], tiny_compute) == 0
    printed = capsys.readouterr().out
    assert [run.spec for run in lifecycle.list_runs()] == [
        RunSpec(task="sudoku", n=3, model=model) for model in ("step:100", "arm")
    ]
    assert main(["list"]) == 0
    listed = capsys.readouterr().out
    for run in lifecycle.list_runs():
        assert short_key(run.key) in printed and short_key(run.key) in listed and run.created in listed


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


@pytest.mark.parametrize("format", ["json", "graphml", "parquet", "csv"])
def test_export_writes_the_file(workspace: Path, format: str) -> None:
    run = lifecycle.run(RunSpec(n=4), compute=tiny_compute)
    out = workspace / f"circuit.{format}"
    assert main(["export", run.key, "--format", format, "--k", "9", "--out", str(out)]) == 0
    assert out.stat().st_size > 100
    if format == "json":
        assert sum(edge["in_graph"] for edge in json.loads(out.read_text())["edges"].values()) == 9


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["run", "--tsk", "ioi"], "--tsk"),
        (["run", "--task", "chess"], "chess"),
        (["compare", "--method", "magic"], "magic"),
        (["compare", "--k", "50,many"], "many"),
        (["compare", "--n", "-3"], "-3"),
        (["compare", "--n", "10001"], "n is 10001"),
        (["compare", "--pair", "nobody"], "nobody"),
        (["run", "--model", "bert"], "bert"),
        (["run", "--model", "step:7"], "step:7"),
        (["export", "abc", "--format", "gml"], "gml"),
        (["export", "abc"], "abc"),
        (["export", "abc", "--sign", "up"], "up"),
        (["export", "abc", "--kinds", "q,w"], "'w'"),
        (["train", "--out", "x", "--precision", "fp8"], "fp8"),
        (["train"], "--out"),
        (["dance"], "dance"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
@pytest.mark.usefixtures("workspace")
def test_bad_flags_are_refused_by_name(argv: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        code = main(argv)
    except SystemExit as stop:
        code = stop.code
    captured = capsys.readouterr()
    assert code == 2 and message in captured.err.splitlines()[-1] and captured.out == ""


@pytest.mark.usefixtures("workspace")
def test_bad_flags_are_refused_before_torch_is_imported() -> None:
    process = cli("compare", "--pair", "nobody")
    assert process.returncode == 2 and "'nobody'" in process.stderr and "Traceback" not in process.stderr


@pytest.mark.usefixtures("workspace")
def test_a_size_beyond_the_graph_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["compare", "--n", "4", "--k", "50,99999"], tiny_compute) == 2
    assert "--k has 99999, but this circuit has 3628 edges" in capsys.readouterr().err  # as the config tells
    assert lifecycle.list_runs() == []


@pytest.mark.usefixtures("workspace")
def test_doctor_says_what_there_is(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    lifecycle.run(RunSpec(n=4), compute=tiny_compute)
    (workspace / "pair" / "mdm" / "model.safetensors").unlink()
    assert main(["doctor"]) == 0
    printed = capsys.readouterr().out
    assert f"{workspace / 'circuits.duckdb'}: 1 runs" in printed
    assert "GiB" in printed and "device" in printed and "torch" in printed
    (line,) = [line for line in printed.splitlines() if line.startswith("pair        embedded")]
    assert "mdm missing" in line and "arm missing" not in line


def test_train_passes_the_flags_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from engine.training import train

    asked: list[tuple[train.TrainSpec, Path]] = []

    def remember(spec: train.TrainSpec, out: Path, report: train.Report) -> None:
        report("arm", 100, 7000, 0.5)
        asked.append((spec, out))

    monkeypatch.setattr(train, "train", remember)
    argv = ["train", "--out", str(tmp_path), "--seed", "3", "--arm-steps", "7000", "--precision", "bf16", "--compile"]
    assert main(argv) == 0
    expected = train.TrainSpec(seed=3, arm_steps=7000, precision="bf16", compile=True)
    assert asked == [(expected, tmp_path)]
    assert str(tmp_path) in capsys.readouterr().out


ROWS = "clean,corrupted,answer,foil\nto Mary and,to John and,John,Mary\nfrom 17 32 to 17,from 17 01 to 17,33,02\n"


def test_own_prompts_are_run_compared_and_found_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "two rows.csv").write_text(ROWS)
    assert main(["run", "--prompts", str(tmp_path / "two rows.csv")], tiny_compute) == 0
    (kept,) = own_prompts.saved_sets()
    assert (kept.title, kept.pair, len(kept.rows)) == ("two rows", "embedded", 2)
    assert {(run.spec.model, run.spec.task, run.spec.n) for run in lifecycle.list_runs()} == {
        (model, kept.name, 2) for model in ("arm", "mdm")
    }
    for asked in (
        ["--prompts", str(tmp_path / "two rows.csv")],
        ["--task", kept.name],
        ["--task", kept.name, "--n", "2"],
    ):
        capsys.readouterr()
        assert main(["compare", "--k", "7", "--no-control", *asked]) == 0  # from the cache: nothing computes here
        assert capsys.readouterr().out.startswith("Embedded pair on two rows: eap-ig with 5 points, logit_diff, n = 2")
    assert len(lifecycle.list_runs()) == 2


def test_one_row_is_a_run(tmp_path: Path) -> None:
    (tmp_path / "one.csv").write_text("\n".join(ROWS.splitlines()[:2]))
    assert main(["run", "--prompts", str(tmp_path / "one.csv"), "--model", "arm"], tiny_compute) == 0
    assert [run.spec.n for run in lifecycle.list_runs()] == [1]


@pytest.mark.parametrize(
    ("content", "flags", "message"),
    [
        (ROWS, ["--task", "ioi"], "--prompts cannot go with --task: the file's rows are the task."),
        (ROWS, ["--n", "3"], "The file has 2 rows, but 3 were asked for. Ask for 2."),
        (ROWS, ["--n", "201"], "201 rows were asked for. 200 are the most."),
        (ROWS, ["--pair", "nobody"], f"There is no pair called 'nobody'. Choose one of: {', '.join(pairs())}."),
        (ROWS, ["--points", "1001"], "points is 1001. Choose a number of integration points from 1 to 1000."),
        (None, [], "{file} cannot be read: No such file or directory."),
        ("", [], "The file is empty. Its first row must name the columns clean, corrupted, answer, foil."),
        ("x" * 1_000_001, [], "The file has more than 1 MB, the most that is read."),
        (ROWS.replace("33", ""), [], "Row 3 has an empty cell in the column answer."),
        (
            ROWS.replace("33", "Zebra"),
            [],
            "Row 3: The tokenizer of the pair embedded doesn't know 'Zebra' (token 1 of the answer).",
        ),
    ],
)
def test_bad_prompts_are_the_pages_sentences_and_nothing_is_saved(
    content: str | None, flags: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "rows.csv"
    if content is not None:
        file.write_text(content)
    assert main(["run", "--prompts", str(file), *flags], tiny_compute) == 2
    assert capsys.readouterr().err == f"error: {message.format(file=file)}\n"
    assert own_prompts.saved_sets() == [] and lifecycle.list_runs() == []


OPPOSED = "to Mary and,to John and,Mary,John\n"


def test_rows_that_contradict_each_other_are_refused_by_their_numbers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rows.csv").write_text(ROWS + OPPOSED)
    assert main(["run", "--prompts", str(tmp_path / "rows.csv")], tiny_compute) == 2
    assert capsys.readouterr().err.startswith("error: Row 4: It contradicts row 2: after the same clean prompt")
    assert own_prompts.saved_sets() == [] and lifecycle.list_runs() == []


def test_the_first_rows_of_a_file_are_taken_and_repeats_count_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row, other = ROWS.splitlines()[1:]
    (tmp_path / "rows.csv").write_text("\n".join([ROWS.splitlines()[0], *[row] * 3, other, *[OPPOSED] * 300]))
    assert main(["run", "--prompts", str(tmp_path / "rows.csv"), "--n", "4", "--model", "arm"], tiny_compute) == 0
    printed = capsys.readouterr()
    assert printed.err == "Rows that say the same as another count once: 3 (as 2), 4 (as 2).\n"
    assert " n=2 " in printed.out and [run.spec.n for run in lifecycle.list_runs()] == [2]
    (kept,) = own_prompts.saved_sets()
    assert (len(kept), kept.repeated, kept.title) == (2, 2, "rows, first 4 rows")
    assert kept.blurb.endswith("2 more rows said the same as others: each counts once.")
    assert main(["run", "--task", kept.name, "--model", "arm"]) == 0
    assert capsys.readouterr().err == f"{kept.remarks[0]}\n"


def test_token_ids_are_shown_before_anything_is_computed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    mary, john = words_of(pair_named("embedded").folder("arm")).ids("Mary John")
    (tmp_path / "ids.csv").write_text(
        f",clean,corrupted,correct_idx,incorrect_idx\n7,to Mary and,to John and,{john},{mary}\n"
    )
    assert main(["run", "--prompts", str(tmp_path / "ids.csv"), "--points", "1001"], tiny_compute) == 2
    assert main(["run", "--prompts", str(tmp_path / "ids.csv"), "--model", "arm"], tiny_compute) == 0
    told = f"Token ids as the pair embedded reads them: row 2: '{john}' is 'John', '{mary}' is 'Mary'.\n"
    assert capsys.readouterr().err.endswith(told)


@pytest.mark.parametrize("flag", ["--n", "--metric", "--pair", "--task", "--nothing"])
def test_a_value_of_any_size_leaves_errors_readable(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    codes = []
    try:
        codes.append(main(["run", flag, "x" * 100_000]))
    except SystemExit as refused:
        codes.append(refused.code)
    message = capsys.readouterr().err
    assert codes == [2] and "x" * 20 in message and len(message) < 3000


def test_more_examples_than_own_rows_are_refused(capsys: pytest.CaptureFixture[str]) -> None:
    kept = own_prompts.save([PromptRow("to Mary and", "to John and", ("John",), ("Mary",))], "Mine", "embedded")
    assert main(["run", "--task", kept.name, "--n", "2"], tiny_compute) == 2
    assert capsys.readouterr().err == "error: Mine has 1 row, but 2 examples were asked for. Ask for 1.\n"


def test_prompts_are_checked_without_torch(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(ROWS.replace("33", "Zebra"))
    process = cli("run", "--prompts", str(tmp_path / "rows.csv"))
    assert process.returncode == 2 and "'Zebra'" in process.stderr and "Traceback" not in process.stderr


@pytest.mark.usefixtures("workspace")
def test_problems_are_written_and_run(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = workspace / "cd3.jsonl"
    assert main(["countdown", str(file), "--operands", "3", "--n", "12", "--seed", "4"]) == 0
    assert capsys.readouterr().out == f"{file}: 12 problems with 3 operands\n"
    assert [set(json.loads(line)) for line in file.read_text().splitlines()] == [{"input", "output"}] * 12
    asked: list[RunSpec] = []

    def compute(spec: RunSpec, on_progress: object) -> object:
        asked.append(spec)
        return fake_compute(replace(spec, task="ioi"), on_progress)

    assert main(["run", "--problems", str(file), "--n", "3", "--model", "arm"], compute) == 0
    assert main(["run", "--problems", str(file), "--model", "arm"], compute) == 0
    printed = capsys.readouterr()
    kept = task_named(asked[0].task)
    assert isinstance(kept, ProblemFile) and kept.title == "cd3" and len(kept) + kept.left_out == 12
    assert [spec.n for spec in asked] == [3, len(kept)]
    assert "200 problems of a file" in printed.out
    assert (f"{kept.left_out} of 12 problems were left out" in printed.err) == (kept.left_out > 0)


def test_problems_cannot_go_with_what_says_otherwise(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "cd3.jsonl"
    main(["countdown", str(file), "--n", "3"])
    for argv, message in (
        (["--task", "ioi"], "--problems cannot go with --task"),
        (["--prompts", "x.csv"], "--problems cannot go with --prompts"),
        (["--n", "500"], "cd3 has 3 problems, but 500 examples were asked for"),
    ):
        assert main(["run", "--problems", str(file), *argv]) == 2
        assert message in capsys.readouterr().err
    assert main(["run", "--problems", str(tmp_path / "none.jsonl")]) == 2
    assert "none.jsonl cannot be read" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main(["countdown", str(file), "--operands", "7"])
