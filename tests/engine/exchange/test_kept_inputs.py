"""Pairs, prompts and problems that a command is given: kept for its runs, put back where no run came of them."""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path

import pytest

from engine.__main__ import main
from engine.errors import UserError
from engine.exchange import kept_inputs
from engine.models.pairs import Pair, kept_pairs, pairs
from engine.runs import lifecycle, stored
from engine.runs.spec import RunSpec
from engine.tasks import own_prompts
from engine.tasks.countdown import problem_file, published_format
from tests.fakes import tiny_compute

ROWS = "clean,corrupted,answer,foil\nto Mary and,to John and,John,Mary\nfrom 17 32 to 17,from 17 01 to 17,33,02\n"


def test_own_prompts_are_run_compared_and_found_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "two rows.csv").write_text(ROWS)
    assert main(["run", "--prompts", str(tmp_path / "two rows.csv")], tiny_compute) == 0
    (kept,) = own_prompts.saved_sets()
    assert (kept.title, kept.pair, len(kept.rows)) == ("two rows", "embedded", 2)
    assert {(run.spec.model, run.spec.task, run.spec.n) for run in stored.list_runs()} == {
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
    assert len(stored.list_runs()) == 2


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
    assert own_prompts.saved_sets() == [] and stored.list_runs() == []


OPPOSED = "to Mary and,to John and,Mary,John\n"


def test_rows_that_contradict_each_other_are_refused_by_their_numbers(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "rows.csv").write_text(ROWS + OPPOSED)
    assert main(["run", "--prompts", str(tmp_path / "rows.csv")], tiny_compute) == 2
    assert capsys.readouterr().err.startswith("error: Row 4: It contradicts row 2: after the same clean prompt")
    assert own_prompts.saved_sets() == [] and stored.list_runs() == []


def test_the_first_rows_of_a_file_are_taken_and_repeats_count_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    row, other = ROWS.splitlines()[1:]
    (tmp_path / "rows.csv").write_text("\n".join([ROWS.splitlines()[0], *[row] * 3, other, *[OPPOSED] * 300]))
    assert main(["run", "--prompts", str(tmp_path / "rows.csv"), "--n", "4", "--model", "arm"], tiny_compute) == 0
    printed = capsys.readouterr()
    assert printed.err == "Rows that say the same as another count once: 3 (as 2), 4 (as 2).\n"
    assert " n=2 " in printed.out and [run.spec.n for run in stored.list_runs()] == [2]
    (kept,) = own_prompts.saved_sets()
    assert (len(kept), kept.repeated, kept.title) == (2, 2, "rows, first 4 rows")
    assert kept.blurb.endswith("2 more rows said the same as others: each counts once.")
    assert main(["run", "--task", kept.name, "--model", "arm"]) == 0
    assert capsys.readouterr().err == f"{kept.remarks[0]}\n"


def test_prompts_are_put_back_unless_a_run_names_them(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(ROWS)
    with ExitStack() as undo:
        task, notes = kept_inputs.save_prompts(str(tmp_path / "rows.csv"), "embedded", None, undo)
        assert (task.title, len(task), notes) == ("rows", 2, ())
        assert [prompts.name for prompts in own_prompts.saved_sets()] == [task.name]
    assert own_prompts.saved_sets() == []
    with ExitStack() as undo:
        task, _ = kept_inputs.save_prompts(str(tmp_path / "rows.csv"), "embedded", 1, undo)
        lifecycle.run(RunSpec(task=task.name, n=1, model="arm"), compute=tiny_compute)
    assert [prompts.title for prompts in own_prompts.saved_sets()] == ["rows, first 1 rows"]


def test_problems_are_put_back_unless_a_run_names_them(tmp_path: Path) -> None:
    file = tmp_path / "cd3.jsonl"
    file.write_text(published_format.written(published_format.drawn(3, 6, 0)))
    with ExitStack() as undo:
        problems = kept_inputs.save_problems(str(file), undo)
        assert problems.title == "cd3" and problem_file.file_of(problems.name).is_file()
    assert not problem_file.file_of(problems.name).exists()


def test_a_pair_that_was_kept_before_stays_as_it_was(tmp_path: Path) -> None:
    pair = Pair("two-models", "Two models", str(tmp_path / "arm"), str(tmp_path / "mdm"), mask_id=3)
    with ExitStack() as undo:
        assert kept_inputs.keep_pair(pair, undo).title == "Two models"
        undo.pop_all()
    with ExitStack() as undo:
        assert kept_inputs.keep_pair(replace(pair, shifted=True), undo).shifted
    assert not kept_pairs()[pair.name].shifted


def test_a_file_that_is_not_there_is_named() -> None:
    with (
        ExitStack() as undo,
        pytest.raises(UserError, match=r"^none\.csv cannot be read: No such file or directory\.$"),
    ):
        kept_inputs.save_prompts("none.csv", "embedded", None, undo)
