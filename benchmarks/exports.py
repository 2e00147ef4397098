"""Files of a circuit of every edge at the size of a 7B pair: time, peak memory, and what other readers notice.

    python -m benchmarks --only exports

Each file is written by a process of its own, as the app and the command line do. Its peak memory is the most that was
resident, libraries and the reading of the run included.
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from benchmarks.explorer import TASK
from benchmarks.gestures import MOST
from benchmarks.painted import p95
from benchmarks.session import Session, session
from benchmarks.table import Figure
from engine.circuits.graph import Graph
from engine.exchange.background_export import ExportSpec
from engine.exchange.circuit import Other
from engine.exchange.circuit_formats import FORMATS
from engine.exchange.export import likely_size
from engine.runs import lifecycle
from engine.runs.cache_connection import close
from engine.runs.spec import RunSpec
from pages.shared.state import k_options
from tools.browser import ROOT, running_app
from tools.synthetic_runs import by_kind, fake_run, register_fake_pair

GRAPH = Graph(32, 32)
MEMORY = 512.0  # bar: MB
SLIDES, N = 40, 4
WRITE = """
import re, sys, time
from pathlib import Path
from engine.exchange.background_export import spec_of, write
began = time.perf_counter()
write(spec_of(sys.argv[1]), Path(sys.argv[2]), sys.stderr)
peak = int(re.search(r"VmHWM:\\s*(\\d+) kB", Path("/proc/self/status").read_text())[1])
print(time.perf_counter() - began, peak * 1024 / 1e6)
"""


def rows() -> list[Figure]:
    before = dict(os.environ)
    with tempfile.TemporaryDirectory() as folder:
        pairs = register_fake_pair(Path(folder), steps=())
        environment = {"CIRCUITS_CACHE": f"{folder}/cache", "CIRCUITS_PAIRS": str(pairs)}
        os.environ |= environment
        try:
            compute = by_kind(lambda spec, on_progress: fake_run(spec, on_progress, GRAPH))
            asked = [RunSpec(task=TASK, model=model, n=N) for model in ("arm", "mdm")]
            arm, mdm = (lifecycle.run(spec, compute=compute) for spec in asked)
            specs = [ExportSpec(arm.key, GRAPH.n_edges, name, other=Other(mdm.key)) for name in FORMATS]
            figures = [row for spec in specs for row in _of_format(spec, Path(folder))]
            return [*figures, *_readers(environment, specs, Path(folder))]
        finally:
            close()
            os.environ.clear()
            os.environ |= before


def _of_format(spec: ExportSpec, folder: Path) -> Iterator[Figure]:
    name, file = f"{spec.format}, {GRAPH.n_edges:,} edges", folder / f"circuit.{spec.format}"
    command = [sys.executable, "-c", WRITE, spec.as_text(), str(file)]
    seconds, peak = map(float, subprocess.run(command, cwd=ROOT, capture_output=True, check=True).stdout.split())
    size = file.stat().st_size
    file.unlink()
    note = f"{size / 1e6:.0f} MB, told beforehand: {likely_size(spec.format, GRAPH.n_edges) / 1e6:.0f} MB"
    yield Figure(f"time to write {name}", seconds, "s", note=note)
    yield Figure(f"peak memory of writing {name}", peak, "MB", MEMORY)


def _readers(environment: dict[str, str], specs: list[ExportSpec], folder: Path) -> Iterator[Figure]:
    """How long the server takes for a new K while files are written, against an app that nobody else uses."""
    options = [k for k in k_options(GRAPH.n_edges) if k <= MOST]
    choose = random.Random(0).choice
    with running_app(environment) as address, session(address, "circuits", f"task={TASK}&n={N}") as reader:
        reader.open()
        reader.rest(options[0])
        alone = [1000 * reader.rest(choose(options)) for _ in range(SLIDES)]
        yield Figure("K rests, nothing is written, p95", p95(alone), "ms", note=f"slowest {max(alone):.0f} ms")
        beside: list[float] = []
        for spec in specs:
            command = [sys.executable, "-m", "engine.exchange.background_export", spec.as_text()]
            command.append(str(folder / f"beside.{spec.format}"))
            with subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL) as writing:
                while writing.poll() is None:
                    beside.append(1000 * reader.rest(choose(options)))
        _refuse_errors(reader)
        yield Figure("K rests while files are written, p95", p95(beside), "ms", note=f"slowest {max(beside):.0f} ms")


def _refuse_errors(reader: Session) -> None:
    if reader.errors:
        raise SystemExit(f"the app shows errors: {reader.errors}")
