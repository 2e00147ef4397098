"""The explorer at the size of a 7B pair: server side and in a real browser.

    python -m benchmarks --only explorer

Synthetic runs (benchmarks/large.py) of both architectures are stored in a cache of their own, and the real app is
started on it. Server side is from the request to the end of the script, in a session without a browser; what a hand
does in a browser is measured in the page (benchmarks/gestures.py).
"""

from __future__ import annotations

import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator

from benchmarks.gestures import MOST, gestures
from benchmarks.large import PAIRS
from benchmarks.painted import p95, summary
from benchmarks.session import Session, session
from benchmarks.table import Figure
from engine.circuits.graph import Graph
from pages.shared.state import k_options
from tools.browser import ROOT, running_app

TASK = "ioi"
SERVER, COLD = 150.0, 3.0  # bars: milliseconds, seconds
CURVE = """
import time
from engine.runs import read, stored
keys = [run.key for run in stored.list_runs()]
for a, b, *parts in [(*keys, "total", "total"), *((key, key, "half-a", "half-b") for key in keys)]:  # what a page asks
    read.overlap_curve(a, b, *parts)
began = time.perf_counter()
read.overlap_curve(*keys, "half-a", "half-b")
print(time.perf_counter() - began)
"""


def rows() -> list[Figure]:
    return [row for name in PAIRS for row in _of_pair(name)]


def _of_pair(name: str) -> Iterator[Figure]:
    shape = PAIRS[name]
    n_edges = Graph(shape.layers, shape.heads).n_edges
    size = f"{n_edges:,} edges"
    with tempfile.TemporaryDirectory() as folder:
        environment = {"CIRCUITS_CACHE": f"{folder}", "CIRCUITS_PAIRS": f"{folder}/pairs.toml"}
        began = time.perf_counter()
        python(environment, "-m", "benchmarks.large", name, folder, TASK)
        yield Figure(f"two runs made and stored, {size}", time.perf_counter() - began, "s")
        curve = float(python(environment, "-c", CURVE))
        yield Figure(f"overlap curve, not kept yet, {size}", 1000 * curve, "ms", SERVER)
        began = time.perf_counter()
        query = f"pair={name}&task={TASK}"
        with running_app(environment) as address:
            with session(address, "circuits", query) as reader:
                reader.open()
                yield Figure(
                    f"from starting the app to a cached comparison, {size}", time.perf_counter() - began, "s", COLD
                )
                yield from _server(reader, n_edges, size)
            yield from gestures(f"{address}circuits?{query}", size)


def _server(reader: Session, n_edges: int, size: str) -> Iterator[Figure]:
    options = k_options(n_edges)
    few = [k for k in options if k <= MOST]
    random.Random(0).shuffle(few)
    yield Figure(f"overlap at every K after the first, server, {size}", 1000 * reader.rest(few[0]), "ms")
    spent = [1000 * reader.rest(k) for k in 2 * few]
    yield Figure(f"K rests in 10 .. {MOST:,}, server, p95, {size}", p95(spent), "ms", SERVER, summary(spent))
    many = [1000 * reader.rest(k) for k in options[len(few) :: 4]]
    yield Figure(f"K rests above {MOST:,}, server, slowest, {size}", max(many), "ms")
    yield Figure(f"K = all, server, {size}", 1000 * reader.rest(n_edges), "ms")
    if reader.errors:
        raise SystemExit(f"the app shows errors: {reader.errors}")


def python(environment: dict[str, str], *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments], cwd=ROOT, env={**os.environ, **environment}, capture_output=True, check=True
    )
    return done.stdout.decode().strip()
