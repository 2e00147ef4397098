"""The entry of the command line: flags reach their command, the cache answers without torch, errors are exit codes."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.__main__ import main
from engine.runs import cache_connection, lifecycle
from engine.runs.records import ArtifactTables, Run, short_key
from engine.runs.spec import RunSpec
from engine.schema.artifacts import Kind
from tests.fakes import fake_compute

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
def test_bad_flags_are_refused_before_torch_is_imported() -> None:
    process = cli("compare", "--pair", "nobody")
    assert process.returncode == 2 and "'nobody'" in process.stderr and "Traceback" not in process.stderr


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


def test_train_goes_on_with_adapters_by_their_own_flags(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from engine.training import smollm2

    asked: list[tuple[Path, dict[str, Any]]] = []

    def remember(out: Path, chosen: dict[str, Any]) -> Iterator[str]:
        asked.append((out, chosen))
        yield "arm step 10"

    monkeypatch.setattr(smollm2, "train_adapters", remember)
    (tmp_path / "arm").mkdir()  # what is there already is gone on with
    argv = ["train", "--out", str(tmp_path), "--recipe", "smollm2"]
    assert main([*argv, "--arm-tokens", "500", "--mdm-minutes", "3"]) == 0
    assert asked == [(tmp_path, {"arm_tokens": 500, "mdm_minutes": 3})]
    assert capsys.readouterr().out.splitlines() == ["arm step 10", f"Written to {tmp_path}."]
    assert main([*argv, "--arm-steps", "5"]) == 2
    assert "--arm-steps is no flag of the recipe smollm2" in capsys.readouterr().err


def test_adapters_are_released_without_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from engine.training import smollm2

    asked: list[tuple[Path, Path]] = []

    def remember(out: Path, folder: Path) -> Iterator[str]:
        asked.append((out, folder))
        yield "arm: all of it"

    monkeypatch.setattr(smollm2, "release_adapters", remember)
    monkeypatch.setattr(smollm2, "train_adapters", None)  # which can't be called
    argv = ["train", "--out", str(tmp_path), "--recipe", "smollm2", "--release", str(tmp_path / "to")]
    assert main(argv) == 0
    assert asked == [(tmp_path, tmp_path / "to")]
    assert capsys.readouterr().out.splitlines() == ["arm: all of it", f"Written to {tmp_path / 'to'}."]


def test_a_release_trains_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    argv = ["train", "--out", str(tmp_path), "--recipe", "smollm2", "--release", str(tmp_path / "to")]
    assert main([*argv, "--arm-tokens", "5"]) == 2
    assert "--arm-tokens cannot go with --release: nothing is trained then" in capsys.readouterr().err
    assert main([arg for arg in argv if arg not in ("--recipe", "smollm2")]) == 2
    assert "--release is no flag of the recipe embedded" in capsys.readouterr().err
    assert not (tmp_path / "to").exists()


ROWS = "clean,corrupted,answer,foil\nto Mary and,to John and,John,Mary\nfrom 17 32 to 17,from 17 01 to 17,33,02\n"


def test_prompts_are_checked_without_torch(tmp_path: Path) -> None:
    (tmp_path / "rows.csv").write_text(ROWS.replace("33", "Zebra"))
    process = cli("run", "--prompts", str(tmp_path / "rows.csv"))
    assert process.returncode == 2 and "'Zebra'" in process.stderr and "Traceback" not in process.stderr


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


def test_errors_are_sentences_and_exit_codes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["export", "abc"]) == 2
    assert capsys.readouterr().err.startswith("error: ")

    def interrupted(spec: RunSpec, kind: Kind, on_progress: object) -> ArtifactTables:
        raise KeyboardInterrupt

    assert main(["run", "--n", "4"], interrupted) == 130
    assert capsys.readouterr().err == "Interrupted. What was finished is kept.\n"

    def blocked(spec: RunSpec, kind: Kind, on_progress: object) -> ArtifactTables:
        raise PermissionError(13, "Permission denied", str(tmp_path))

    assert main(["run", "--n", "4"], blocked) == 2
    assert capsys.readouterr().err == f"error: {tmp_path} cannot be used: Permission denied.\n"


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--mask-token", "x"], "--mask-token only goes with --arm and --mdm"),
        (["--arm", "a"], "--arm and --mdm go together and without --pair"),
        (["--arm", "a", "--mdm", "b", "--pair", "embedded"], "--arm and --mdm go together and without --pair"),
    ],
)
def test_flags_of_two_models_go_together(argv: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    for command in ("run", "doctor"):
        assert main([command, *argv]) == 2
        assert message in capsys.readouterr().err
