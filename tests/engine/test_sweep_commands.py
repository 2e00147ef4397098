"""The command `sweep`: what is missing with estimates, what was done, what failed, and an exit code that says which."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from engine import settings, sweep_commands
from engine.__main__ import main
from engine.errors import Incomplete
from engine.runs.cache_connection import store
from engine.runs.lifecycle import find
from engine.runs.spec import RunSpec
from engine.sweep_commands import sweep
from engine.sweeps.resources import Resources
from engine.sweeps.shards import Shard
from tests.contents import contents
from tests.waiting import until

ROOT = Path(__file__).resolve().parents[2]
GRID = 'models = ["arm", "mdm"]\nseeds = [0, 1]\nn = 4\nthreads = 1\n'


@pytest.fixture
def file(workspace: Path) -> Path:
    path = workspace / "grid.toml"
    path.write_text(GRID)
    return path


def lines(file: Path, shard: Shard | None = None, dry_run: bool = False, compute: str = "tiny_compute") -> list[str]:
    return list(sweep(str(file), None, 2, shard, dry_run, f"tests.fakes:{compute}"))


def refused(file: Path, compute: str) -> tuple[list[str], str]:
    """The lines of a sweep that does not end well, and its error."""
    shown: list[str] = []
    with pytest.raises(Incomplete) as raised:
        shown.extend(sweep(str(file), None, 2, None, False, f"tests.fakes:{compute}"))
    return shown, str(raised.value)


def test_a_dry_run_lists_what_is_missing_and_computes_nothing(file: Path) -> None:
    head, *listed, total = lines(file, dry_run=True)
    assert head == "grid: 4 runs, 16 artifacts to compute"
    assert len(listed) == 16 and store().records() == []
    assert any("circuit of the MDM" in line and "n = 4, seed 1" in line and "GiB" in line for line in listed)
    assert total.endswith("with one worker, a rough guess: no circuit is here yet")


def test_a_sweep_computes_what_is_missing_and_nothing_twice(file: Path) -> None:
    assert lines(file) == ["grid: 4 runs, 16 artifacts to compute", "16 done, 0 failed, 0 skipped"]
    before = contents(settings.cache_dir())
    assert lines(file) == ["grid: 4 runs, 0 artifacts to compute", "0 done, 0 failed, 0 skipped"]
    assert contents(settings.cache_dir()) == before
    assert lines(file, dry_run=True) == ["grid: 4 runs, 0 artifacts to compute"]
    assert find(RunSpec(n=4, seed=1))


def test_four_shards_leave_what_one_sweep_leaves(file: Path, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines(file)
    whole = contents(settings.cache_dir())
    monkeypatch.setenv("CIRCUITS_CACHE", str(workspace / "shards"))
    done = [lines(file, Shard(number, 4))[-1] for number in range(1, 5)]
    assert sum(int(line.split()[0]) for line in done) == len(whole)
    assert contents(settings.cache_dir()) == whole


def test_ray_leaves_what_processes_leave(file: Path, workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Circuits in parts and evidence, too; Ray is started by the command and ended with it."""
    pytest.importorskip("ray")
    file.write_text('models = ["arm", "mdm"]\nn = [4, 300]\nartifacts = ["circuit", "ability"]\nevidence = ["audit"]\n')
    assert lines(file)[-1] == "14 done, 0 failed, 0 skipped"
    whole = contents(settings.cache_dir())
    monkeypatch.setenv("CIRCUITS_CACHE", str(workspace / "ray"))
    shown = list(sweep(str(file), "local", 2, None, False, "tests.fakes:tiny_compute"))
    assert shown[-1] == "14 done, 0 failed, 0 skipped"
    assert contents(settings.cache_dir()) == whole and len(whole) == 10  # the parts are gone


def test_what_fails_is_named_and_the_rest_is_done(file: Path) -> None:
    file.write_text(GRID.replace("[0, 1]", "[0, 13]"))
    shown, error = refused(file, "moody_compute")
    assert "There is no model in this folder. Choose another pair." in "\n".join(shown)
    assert any(line.startswith("FAILED: circuit of the ARM") and "seed 13" in line for line in shown)
    done, failed, skipped = (int(word) for word in shown[-1].replace(",", "").split() if word.isdigit())
    assert done == 10 and failed + skipped == 6
    assert error.startswith("Not all of the sweep is there.")
    assert len(store().records()) == 10


def test_what_runs_share_is_computed_though_the_first_of_them_fails(file: Path) -> None:
    file.write_text('models = ["arm"]\nseeds = [13, 0]\nn = 4\nartifacts = ["circuit", "weights"]\n')
    refused(file, "no_circuit_13")
    assert sorted(record.kind for record in store().records()) == ["circuit", "weights"]


def test_a_pair_without_room_leaves_the_others(file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    large = Resources(0, 2**60)
    file.write_text('models = ["arm", "mdm"]\nn = 4\nartifacts = ["circuit"]\n')
    monkeypatch.setattr(
        sweep_commands, "groups", lambda steps, memory: [(large, steps[:1]), (Resources(0, 0), steps[1:])]
    )
    shown, _ = refused(file, "tiny_compute")
    assert any(line.startswith("FAILED: circuit of the ARM") and "A worker needs" in line for line in shown)
    assert shown[-1] == "1 done, 1 failed, 0 skipped"


def test_an_incomplete_sweep_ends_with_the_exit_code_1(file: Path, workspace: Path) -> None:
    shutil.rmtree(workspace / "pair" / "mdm")
    file.write_text('models = ["mdm"]\nn = 4\n')
    assert main(["sweep", str(file)]) == 1
    assert main(["sweep", str(file), "--dry-run"]) == 0


def test_a_model_that_is_not_here_is_named_and_the_rest_is_done(file: Path, workspace: Path) -> None:
    shutil.rmtree(workspace / "pair" / "mdm")
    shown, error = refused(file, "tiny_compute")
    assert len([line for line in shown if line.startswith("CANNOT BE COMPUTED: circuit")]) == 2
    assert shown[-1] == "8 done, 0 failed, 0 skipped, 2 runs cannot be computed here"
    assert error.startswith("Not all of the sweep is there.")


def test_a_long_list_of_failures_is_cut(file: Path, workspace: Path) -> None:
    shutil.rmtree(workspace / "pair" / "mdm")
    file.write_text(GRID.replace("[0, 1]", str(list(range(30)))).replace('"arm", ', ""))
    shown, _ = refused(file, "tiny_compute")
    assert shown[-2] == "and 10 more like these" and len(shown) == 1 + 20 + 2


@pytest.mark.parametrize(
    ("flags", "sentence"),
    [
        (["none.toml"], "The sweep none.toml cannot be read"),
        (["none.toml", "--shard", "5/4"], "as in 3/16"),
        (["none.toml", "--workers", "0"], "whole number from 1 up"),
    ],
)
def test_flags_are_refused_in_a_sentence(
    flags: list[str], sentence: str, capsys: pytest.CaptureFixture[str], workspace: Path
) -> None:
    assert workspace.is_dir()
    try:
        code = main(["sweep", *flags])
    except SystemExit as ended:
        code = int(ended.code or 0)
    error = capsys.readouterr().err
    assert code == 2 and sentence in error and "Traceback" not in error


def test_the_command_itself_computes_a_trained_pair(tmp_path: Path) -> None:
    file = tmp_path / "one.toml"
    file.write_text('models = ["arm", "mdm"]\nn = 2\nartifacts = ["circuit"]\n')
    environment = {**os.environ, "CIRCUITS_CACHE": str(tmp_path / "cache")}
    command = [sys.executable, "-m", "engine", "sweep", str(file), "--workers", "2"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=120, check=False)
    assert (done.returncode, done.stdout.splitlines()[-1]) == (0, "2 done, 0 failed, 0 skipped")
    assert "2 of 2: circuit of the " in done.stderr


INTERRUPTED = """
import signal, sys
from engine.__main__ import interrupt
from engine import sweep_commands
from engine.sweep_commands import sweep
from engine.sweeps.resources import Resources
signal.signal(signal.SIGTERM, interrupt)
try:
    for line in sweep(sys.argv[1], None, 2, None, False, "tests.fakes:slow_logging_compute"):
        pass
except KeyboardInterrupt:
    sys.exit(130)
"""


def test_an_interrupted_sweep_ends_its_workers_and_leaves_no_lease(
    file: Path, workspace: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FAKE_LOG", str(workspace / "log"))
    process = subprocess.Popen([sys.executable, "-c", INTERRUPTED, str(file)], cwd=ROOT, env=dict(os.environ))
    until(lambda: len(store().records()) >= 2)
    process.send_signal(signal.SIGTERM)
    assert process.wait(20) == 130
    assert not list(store().files.glob("*.lease"))
    pids = {int(word.removeprefix("pid")) for word in (workspace / "log").read_text().split() if word.startswith("pid")}
    until(lambda: not any(Path(f"/proc/{pid}").exists() for pid in pids))
    done = len(store().records())
    assert lines(file)[-1] == f"{16 - done} done, 0 failed, 0 skipped"
