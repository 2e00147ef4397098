"""Files written by other processes: the same content, progress, refusals, and nothing left when anything is killed."""

from __future__ import annotations

import io
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from engine import settings
from engine.circuits.filters import Filters
from engine.errors import UserError
from engine.exchange import background_export, circuit_formats
from engine.exchange.background_export import BackgroundExports, ExportSpec, ExportView, spec_of, write
from engine.exchange.circuit import Other
from engine.exchange.circuit_formats import FORMATS
from engine.exchange.export import export
from engine.runs import lifecycle
from engine.runs.records import Run
from engine.runs.spec import RunSpec
from tests.fakes import tiny_compute
from tests.waiting import until

K = 12
SPECS = (
    ExportSpec("key", K, "json"),
    ExportSpec("key", 1, "csv", "half-a", Filters(kinds=())),
    ExportSpec("key", K, "graphml", "total", Filters(("v", "mlp"), "negative", "only", True), Other("other", "half-b")),
)


@pytest.fixture
def run(workspace: Path) -> Run:
    return lifecycle.run(RunSpec(n=4, model="arm"), compute=tiny_compute)


@pytest.fixture
def exports() -> Iterator[BackgroundExports]:
    exports = BackgroundExports()
    yield exports
    exports.close()
    assert not settings.scratch_dir().exists()


def finished(exports: BackgroundExports, spec: ExportSpec) -> ExportView:
    def view() -> ExportView:
        view = exports.view(spec)
        assert view is not None
        return view

    until(lambda: not view().is_open)
    return view()


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.format)
def test_everything_that_is_asked_for_reaches_the_process(spec: ExportSpec) -> None:
    assert spec_of(spec.as_text()) == spec and hash(spec_of(spec.as_text())) == hash(spec)


def test_files_hold_what_this_process_would_have_written(run: Run, exports: BackgroundExports) -> None:
    filters, other = Filters(("q", "mlp", "logits"), "positive", "only", True), Other(run.key, "half-a")
    specs = [ExportSpec(run.key, K, name, "total", filters, other) for name in FORMATS]
    for spec in specs:
        exports.start(spec)
        exports.start(spec)  # is on its way already
    for spec in specs:
        content = export(run.key, K, spec.format, "total", filters, other)
        assert finished(exports, spec) == ExportView("done", size=len(content))
        assert exports.content(spec) == content


def test_the_process_tells_how_far_it_is(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(circuit_formats, "BLOCK", 5)
    monkeypatch.setattr(background_export, "REPORT_SECONDS", 0.0)
    outbox = io.StringIO()
    write(ExportSpec(run.key, K, "csv"), tmp_path / "circuit.csv", outbox)
    answers = [json.loads(line) for line in outbox.getvalue().splitlines()]
    size = (tmp_path / "circuit.csv").stat().st_size
    assert answers == [*({"done": done, "total": K} for done in (5, 10, 12)), {"size": size}]
    assert ExportView("running", 5, K).share == pytest.approx(5 / 12) and ExportView().share == 0


def test_what_is_refused_is_a_sentence_and_can_be_tried_again(run: Run, exports: BackgroundExports) -> None:
    spec = ExportSpec(run.key, K, "csv", "step-99")
    for _ in range(2):
        exports.start(spec)
        assert exports.view(spec) in (ExportView(), ExportView("running"))
        view = finished(exports, spec)
        assert view.state == "failed" and "step-99" in view.error
    with pytest.raises(UserError, match="Prepare it again"):
        exports.content(spec)


def test_a_refusal_does_not_tell_where_the_file_lies(run: Run, tmp_path: Path) -> None:
    (tmp_path / "there").write_text("mine")
    outbox = io.StringIO()
    write(ExportSpec(run.key, K, "csv"), tmp_path / "there", outbox)
    assert json.loads(outbox.getvalue().splitlines()[-1])["refused"].startswith("The file is there already.")


def started(exports: BackgroundExports, spec: ExportSpec) -> int:
    """Have a file written, and stop its process before it has; its id."""
    exports.start(spec)
    export = exports._exports[spec]
    until(lambda: export.process is not None)
    assert export.process
    export.process.send_signal(signal.SIGSTOP)
    return export.process.pid


def test_a_process_that_is_killed_leaves_no_file(run: Run, exports: BackgroundExports) -> None:
    spec = ExportSpec(run.key, K, "json")
    os.kill(started(exports, spec), signal.SIGKILL)
    view = finished(exports, spec)
    assert view.state == "failed" and view.error == "Writing the file ended unexpectedly (exit code -9). Try again."
    exports.start(spec)
    assert finished(exports, spec).state == "done"


def test_what_is_cancelled_ends_and_leaves_nothing(run: Run, exports: BackgroundExports) -> None:
    spec = ExportSpec(run.key, K, "json")
    pid = started(exports, spec)
    exports.remove(spec)
    assert exports.view(spec) is None and not psutil.pid_exists(pid) and not settings.scratch_dir().exists()
    exports.remove(spec)


def test_old_files_go_and_the_latest_stay(run: Run) -> None:
    exports = BackgroundExports(kept_most=1)
    first, second = ExportSpec(run.key, 5, "csv"), ExportSpec(run.key, 6, "csv")
    for spec in (first, second):
        exports.start(spec)
        finished(exports, spec)
    assert exports.view(first) is None and exports.view(second)
    assert len(list(settings.scratch_dir().iterdir())) == 1
    exports.close()
    exports = BackgroundExports(kept_seconds=0.0)
    exports.start(first)
    until(lambda: exports.view(first) is None)
    assert not settings.scratch_dir().exists()


PARENT = """
import os, time
from engine.exchange.background_export import BackgroundExports, ExportSpec
exports = BackgroundExports()
spec = ExportSpec({key!r}, 12, "json")
exports.start(spec)
while exports.view(spec).state == "waiting":
    time.sleep(0.01)
print(exports._exports[spec].process.pid, flush=True)
os.kill(os.getpid(), 9)
"""


def test_no_process_outlives_the_one_that_asked_and_the_next_removes_what_it_left(run: Run) -> None:
    parent = subprocess.run(
        [sys.executable, "-c", PARENT.format(key=run.key)],
        capture_output=True,
        text=True,
        cwd=settings.ROOT,
        check=False,
    )
    assert parent.returncode == -signal.SIGKILL, parent.stderr
    pid = int(parent.stdout)
    until(lambda: not psutil.pid_exists(pid) or psutil.Process(pid).status() == psutil.STATUS_ZOMBIE)
    assert len(list(settings.scratch_dir().iterdir())) == 1
    mine = settings.scratch_dir() / "somebody's"
    mine.mkdir()
    BackgroundExports()
    assert list(settings.scratch_dir().iterdir()) == [mine]


KILLED = """
import os, sys
from pathlib import Path
from engine.exchange import circuit_formats
from engine.exchange.circuit import circuit
from engine.exchange.export import export_to
circuit_formats.BLOCK = 5
key, format, path = sys.argv[1:]
export_to(Path(path), circuit(key, 12), format, lambda done, total: os.kill(os.getpid(), 9))
"""


@pytest.mark.parametrize("format", FORMATS)
def test_a_file_is_never_half_written(run: Run, tmp_path: Path, format: str) -> None:
    path = tmp_path / f"circuit.{format}"
    ended = subprocess.run([sys.executable, "-c", KILLED, run.key, format, str(path)], cwd=settings.ROOT, check=False)
    assert ended.returncode == -signal.SIGKILL
    assert not path.exists()


def test_the_process_imports_no_torch(run: Run) -> None:
    code = "import sys, engine.exchange.background_export; print('torch' in sys.modules)"
    answer = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=settings.ROOT, check=True)
    assert answer.stdout == "False\n"
