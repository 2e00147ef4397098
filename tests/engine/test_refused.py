"""Commands that are refused: a sentence, exit code 2, and nothing new in any folder beside the cache."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from engine.__main__ import main
from engine.errors import UserError
from engine.models.pairs import pair_named
from engine.runs import cache_connection, lifecycle, stored
from engine.runs.execution import Compute, OnProgress
from engine.runs.records import ArtifactTables
from engine.runs.spec import LARGEST_SEED, RunSpec
from engine.schema.artifacts import Kind
from engine.tasks import own_prompts
from tests.fakes import tiny_compute

ROOT = Path(__file__).resolve().parents[2]
CACHE = ("artifacts", "digests.json")
ROWS = "clean,corrupted,answer,foil\nto Mary and,to John and,John,Mary\n"
PROBLEM = '{"input": "24,17,56:15", "output": "24-17=7,56/7=8,7+8=15"}\n'


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with two models, prompts and problems, from which commands run."""
    pair = pair_named("embedded")
    for model in ("arm", "mdm"):
        shutil.copytree(pair.folder(model), tmp_path / model)
    (tmp_path / "rows.csv").write_text(ROWS)
    assert main(["countdown", str(tmp_path / "problems.jsonl"), "--n", "3"]) == 0
    (tmp_path / "there.txt").write_text("mine")
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "x").write_text("mine")
    return tmp_path


def listing(folder: Path) -> dict[str, bytes]:
    """Every file and folder but the cache's own, with contents."""
    paths = {path for path in folder.rglob("*") if path.relative_to(folder).parts[0] not in CACHE}
    return {str(path.relative_to(folder)): b"" if path.is_dir() else path.read_bytes() for path in paths}


def refused(argv: list[str], capsys: pytest.CaptureFixture[str], compute: Compute = tiny_compute) -> str:
    """What a command says that ends with exit code 2."""
    capsys.readouterr()
    try:
        code = main(argv, compute)
    except SystemExit as stop:  # as argparse does
        code = stop.code  # type: ignore[assignment]
    printed = capsys.readouterr()
    assert code == 2 and "Traceback" not in printed.err
    return printed.err.splitlines()[-1]


TWO = ["--arm", "{place}/arm", "--mdm", "{place}/mdm"]
PROMPTS, PROBLEMS = ["--prompts", "{place}/rows.csv"], ["--problems", "{place}/problems.jsonl"]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        # empty and blank
        (["run", "--pair", ""], "--pair: '' is empty"),
        (["run", "--task", ""], "--task: '' is empty"),
        (["run", "--task", " "], "--task: ' ' is empty"),
        (["run", "--model", ""], "--model: '' has an empty entry"),
        (["run", "--model", "arm,"], "'arm,' has an empty entry"),
        (["run", "--model", "arm,,mdm"], "'arm,,mdm' has an empty entry"),
        (["run", "--arm", "", "--mdm", ""], "--arm: '' is empty"),
        (["run", "--prompts", ""], "--prompts: '' is empty"),
        (["run", "--problems", ""], "--problems: '' is empty"),
        (["run", *TWO, "--mask-token", ""], "--mask-token: '' is empty"),
        (["run", "--n", ""], "'' is not a whole number"),
        (["compare", "--k", ""], "'' has an empty entry"),
        (["compare", "--k", "50,"], "'50,' has an empty entry"),
        (["bundle", ""], "file: '' is empty"),
        (["bundle", "{place}/b.duckdb", "--task", ""], "--task: '' is empty"),
        (["import", ""], "file: '' is empty"),
        (["export", ""], "key: '' is empty"),
        (["countdown", ""], "'' is empty"),
        (["train", "--out", ""], "--out: '' is empty"),
        (["doctor", "--pair", ""], "--pair: '' is empty"),
        (["pairs"], "ACTION"),
        # numbers
        *((["run", "--seed", seed], "is not a whole number from 0 to") for seed in ("-1", "1e3", "1.0", "٣", "")),
        (["run", "--seed", str(LARGEST_SEED + 1)], f"is not a whole number from 0 to {LARGEST_SEED}"),
        (["run", "--seed", str(2**64)], "is not a whole number from 0 to"),
        (["run", "--seed", "9" * 5000], f"{'9' * 40!r} is not a whole number from 0 to"),
        (["countdown", "{place}/new.jsonl", "--seed", str(2**63)], "is not a whole number from 0 to"),
        (["countdown", "{place}/new.jsonl", "--seed", "-1"], "is not a whole number from 0 to"),
        (["train", "--out", "{place}/new", "--seed", str(2**63)], "is not a whole number from 0 to"),
        (["run", "--n", "9" * 5000], "is not a whole number from 1 up"),
        (["run", "--n", "٣"], "is not a whole number from 1 up"),
        (["compare", "--k", "0"], "'0' is not a whole number from 1 up"),
        (["compare", "--k", "1,9999999"], "--k has 9999999, but this circuit has 3628 edges"),
        (["run", "--mask-id", "-1"], "'-1' is not a whole number from 0 up"),
        # models
        (["run", "--model", "step:٣"], "model is 'step:٣'"),
        (["run", "--model", "step:7"], "no model 'step:7'"),
        (["run", "--model", "mdm,step:999999999999"], "no model"),
        # what would be kept is not
        (["run", *PROMPTS, "--pair", "nobody"], "nobody"),
        (["run", *PROMPTS, "--points", "1001"], "points is 1001"),
        (["run", *PROMPTS, "--model", "step:7"], "no model 'step:7'"),
        (["compare", *PROMPTS, "--k", "9999999"], "--k has 9999999"),
        (["run", *PROBLEMS, "--n", "500"], "3 problems, but 500"),
        (["compare", *PROBLEMS, "--k", "9999999"], "--k has 9999999"),
        (["run", *TWO, "--task", "chess"], "chess"),
        (["run", *TWO, "--n", "10001"], "n is 10001"),
        (["run", *TWO, "--model", "step:5"], "no model 'step:5'"),
        (["compare", *TWO, "--k", "9999999", "--shifted"], "--k has 9999999"),
        (["compare", *TWO, "--task", "own-0123456789ab"], "own-0123456789ab"),
        (["run", *TWO, "--mask-id", "99999999"], "99999999"),
        (["run", *TWO, "--mask-token", "<nobody>"], "<nobody>"),
        (["run", *TWO, "--pair", "embedded"], "go together"),
        (["run", *TWO, *PROMPTS, "--task", "ioi"], "--prompts cannot go with --task"),
        (["run", "--arm", "{place}/arm", "--mdm", "{place}/nothing"], "There is no model at"),
        (["run", "--arm", "~nobody-here/arm", "--mdm", "{place}/mdm"], "There is no model at ~nobody-here/arm"),
        (["run", "--arm", "x" * 300, "--mdm", "{place}/mdm"], "There is no model at xxx"),
        (["doctor", "--arm", "{place}/arm"], "go together"),
        # files
        (["run", "--prompts", "{place}"], "cannot be read"),
        (["run", "--prompts", "x" * 300], "cannot be read"),
        (["run", "--problems", "{place}/none.jsonl"], "cannot be read"),
        (["countdown", "{place}/there.txt"], "is there already"),
        (["countdown", "{place}"], "is there already"),
        (["countdown", "{place}/none/x.jsonl"], "there is no folder"),
        (["countdown", "x" * 300], "cannot be written"),
        (["bundle", "{place}/there.txt"], "is there already"),
        (["bundle", "{place}/none/x.duckdb"], "there is no folder"),
        (["bundle", "{place}/new.duckdb", "--pair", "nobody"], "no runs of the pair nobody"),
        (["bundle", "{place}/new.duckdb", "--task", "chess"], "no runs of the pair embedded on chess"),
        (["import", "{place}/there.txt"], "cannot be imported"),
        (["import", "{place}"], "cannot be imported"),
        (["import", "x" * 300], "x"),
        (["train", "--out", "{place}/full"], "is there already and not an empty folder"),
        (["train", "--out", "{place}/there.txt"], "is there already and not an empty folder"),
        (["train", "--out", "x" * 300], "cannot be made"),
    ],
    ids=lambda value: " ".join(value)[:60] if isinstance(value, list) else None,
)
def test_a_sentence_and_nothing_left_behind(
    place: Path, argv: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = listing(place)
    assert message in refused([word.replace("{place}", str(place)) for word in argv], capsys)
    assert listing(place) == before
    assert stored.list_runs() == []


NEEDED = {"pair": TWO, "prompts": PROMPTS, "both": [*TWO, *PROMPTS], "problems": PROBLEMS}


@pytest.mark.parametrize("flags", NEEDED.values(), ids=NEEDED.keys())
@pytest.mark.parametrize("command", ["run", "compare"])
def test_a_run_that_cannot_be_computed_leaves_nothing(
    place: Path, flags: list[str], command: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def broken(spec: RunSpec, kind: Kind, on_progress: OnProgress) -> ArtifactTables:
        raise UserError("It does not load.")

    before = listing(place)
    argv = [command, *(word.replace("{place}", str(place)) for word in flags)]
    assert refused(argv, capsys, broken) == "error: It does not load."
    assert listing(place) == before


def test_what_a_run_needs_stays_when_a_later_one_fails(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def only_the_arm(spec: RunSpec, kind: Kind, on_progress: OnProgress) -> ArtifactTables:
        if spec.model != "arm":
            raise UserError("It does not load.")
        return tiny_compute(spec, kind, on_progress)

    for command in (["compare", "--k", "7"], ["run"]):
        assert "It does not load" in refused([*command, "--prompts", f"{place}/rows.csv"], capsys, only_the_arm)
        (kept,) = own_prompts.saved_sets()
        assert [run.spec.task for run in stored.list_runs()] == [kept.name]


def test_prompts_that_were_there_keep_their_title(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["run", "--prompts", f"{place}/rows.csv", "--model", "arm"], tiny_compute) == 0
    (pipeline_run,) = stored.list_runs()
    stored.delete(pipeline_run.key)
    (place / "rows.csv").rename(place / "other.csv")
    before = listing(place)
    refused(["compare", "--prompts", f"{place}/other.csv", "--k", "99999999"], capsys)
    assert listing(place) == before and [prompts.title for prompts in own_prompts.saved_sets()] == ["rows"]


@pytest.mark.parametrize("flags", [["--mask-token", "<mask>"], [], ["--shifted"], ["--not-shifted"]])
def test_doctor_keeps_nothing(place: Path, flags: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    before = listing(place)
    assert main(["doctor", "--arm", f"{place}/arm", "--mdm", f"{place}/mdm", *flags]) == 0
    printed = capsys.readouterr().out
    assert "mask        token '<mask>' (" in printed
    assert ("not shifted" in printed) == ("--not-shifted" in flags)
    assert listing(place) == before


@pytest.mark.usefixtures("workspace")
def test_sizes_are_refused_before_computing(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    def never(spec: RunSpec, kind: Kind, on_progress: OnProgress) -> ArtifactTables:
        raise AssertionError("computed")

    config = '{"num_hidden_layers": 2, "num_attention_heads": 2, "hidden_size": 8, "vocab_size": 99}'
    (workspace / "pair" / "arm" / "config.json").write_text(config)
    message = refused(["compare", "--n", "4", "--k", "7,47"], capsys, never)
    assert message == "error: --k has 47, but this circuit has 46 edges. Choose at most that."
    run = lifecycle.run(RunSpec(n=4), compute=tiny_compute)
    assert "--k has 47" in refused(["export", run.key, "--k", "47", "--out", str(workspace / "x.json")], capsys)
    assert not (workspace / "x.json").exists()


@pytest.mark.usefixtures("workspace")
def test_the_same_word_twice_is_meant_once(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["run", "--n", "2", "--model", " arm, arm ,step:000100,step:100, step:0"]
    assert main(asked, tiny_compute) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
    assert sorted(run.spec.model for run in stored.list_runs()) == ["arm", "step:0", "step:100"]
    assert main(["compare", "--n", "2", "--k", " 7, 7,5 ,007"], tiny_compute) == 0
    rows = [line.split()[0] for line in capsys.readouterr().out.splitlines() if line.strip()[:1].isdecimal()]
    assert rows == ["7", "5"]


@pytest.mark.usefixtures("workspace")
def test_a_key_may_be_shortened(workspace: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs = [lifecycle.run(RunSpec(n=2, seed=seed), compute=tiny_compute) for seed in range(20)]
    run = runs[0]
    for number, text in enumerate((run.key, run.key[:10], run.key[:10].upper())):
        assert main(["export", text, "--k", "5", "--out", str(workspace / f"{number}.json")]) == 0
    assert (workspace / "0.json").read_bytes() == (workspace / "2.json").read_bytes()
    first = next(a.key[0] for a in runs if sum(b.key[0] == a.key[0] for b in runs) > 1)  # 20 keys, 16 digits
    message = refused(["export", first], capsys)
    assert f"runs have a key that begins with '{first}': " in message
    assert all(other.key[:10] in message for other in runs if other.key.startswith(first))
    assert "has a key that begins with 'xyz'. There are " in refused(["export", "xyz"], capsys)


@pytest.mark.parametrize("name", ["a b.json", "ä€.json", "-x.json", "'\"$(x).json", "x.json."])
@pytest.mark.usefixtures("workspace")
def test_odd_names_are_only_names(workspace: Path, name: str) -> None:
    run = lifecycle.run(RunSpec(n=2), compute=tiny_compute)
    assert main(["export", run.key, "--k", "5", f"--out={workspace / name}"]) == 0
    assert (workspace / name).stat().st_size > 100
    assert main(["countdown", f"{workspace / name}.jsonl", "--n", "2"]) == 0


def run_alone(place: Path, *argv: str, code: str = "") -> subprocess.Popen[bytes]:
    """A command in a process of its own, with a compute that takes its time; `code` runs first."""
    program = (
        "import os, sys, signal\n"
        "from engine.__main__ import main, interrupt\n"
        "from tests.fakes import slow_compute\n"
        f"{code}\n"
        "signal.signal(signal.SIGTERM, interrupt)\n"
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"  # a process in the background has none
        "sys.exit(main(sys.argv[1:], slow_compute))"
    )
    command = [sys.executable, "-c", program, *argv]
    environment = {**os.environ, "CIRCUITS_CACHE": str(place)}
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_an_interrupted_command_leaves_nothing(place: Path, number: signal.Signals) -> None:
    before = listing(place)
    process = run_alone(place, "run", "--prompts", str(place / "rows.csv"))
    end = time.monotonic() + 60
    while not (place / "prompts").is_dir():
        assert time.monotonic() < end and process.poll() is None
        time.sleep(0.05)
    time.sleep(0.5)
    process.send_signal(number)
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 130 and errors == b"Interrupted. What was finished is kept.\n"
    assert listing(place) == before


@pytest.mark.parametrize("command", ["list", "doctor"])
@pytest.mark.parametrize(
    ("code", "expected"),
    [
        ("r, w = os.pipe(); os.close(r); os.dup2(w, 1)", 0),  # whoever read has seen enough
        ("os.dup2(os.open('/dev/full', os.O_WRONLY), 1)", 2),
    ],
    ids=["closed", "full"],
)
def test_a_stream_that_takes_no_more_is_no_traceback(place: Path, command: str, code: str, expected: int) -> None:
    lifecycle.run(RunSpec(n=2), compute=tiny_compute)
    cache_connection.close()
    process = run_alone(place, command, code=code)
    _, errors = process.communicate(timeout=60)
    assert b"Traceback" not in errors and b"Exception ignored" not in errors
    assert process.returncode == expected
