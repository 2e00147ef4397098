"""Many readers at once: 32 sessions that choose K without a pause, and the memory of a server after long use.

    python -m benchmarks --only load

On synthetic runs of the size of Qwen2.5-7B (benchmarks/large.py), in sessions without a browser. Readers share two
cores with the server, and each waits for its own answer, so the time grows with their number.
"""

from __future__ import annotations

import random
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator

import psutil

from benchmarks.explorer import TASK, python
from benchmarks.gestures import MOST
from benchmarks.large import PAIRS
from benchmarks.painted import p95
from benchmarks.session import session
from benchmarks.table import Figure
from engine.circuits.graph import Graph
from pages.shared.state import k_options
from tools.browser import running_app

PAIR = "qwen"
READERS, SLIDES = 32, 16  # SLIDES by each reader
LONG = 2_000  # slides by one reader
AT_ONCE, GROWTH = 2_800.0, 60.0  # bars: milliseconds, MB
QUERY = f"pair={PAIR}&task={TASK}"


def rows() -> list[Figure]:
    return list(_measured())


def _measured() -> Iterator[Figure]:
    shape = PAIRS[PAIR]
    sizes = [k for k in k_options(Graph(shape.layers, shape.heads).n_edges) if k <= MOST]
    with tempfile.TemporaryDirectory() as folder:
        environment = {"CIRCUITS_CACHE": f"{folder}", "CIRCUITS_PAIRS": f"{folder}/pairs.toml"}
        python(environment, "-m", "benchmarks.large", PAIR, folder, TASK)
        with running_app(environment) as address:
            server = psutil.Process().children()[-1]
            yield from _at_once(address, server, sizes)
        with running_app(environment) as address:
            yield _growth(address, psutil.Process().children()[-1], sizes)


def _at_once(address: str, server: psutil.Process, sizes: list[int]) -> Iterator[Figure]:
    spent: list[float] = []
    ready = threading.Barrier(READERS + 1)

    def read(seed: int) -> None:
        choose = random.Random(seed).choice
        with session(address, "circuits", QUERY) as reader:
            reader.open()
            reader.rest(sizes[0])  # a browser asks for the overlap at every K as soon as it has painted the first
            ready.wait()
            spent.extend(1000 * reader.rest(choose(sizes)) for _ in range(SLIDES))

    threads = [threading.Thread(target=read, args=(seed,)) for seed in range(READERS)]
    for thread in threads:
        thread.start()
    ready.wait()
    began, used = time.perf_counter(), _seconds(server)
    for thread in threads:
        thread.join()
    took, used = time.perf_counter() - began, _seconds(server) - used
    note = f"median {statistics.median(spent):.0f} ms, {len(spent) / took:.1f} requests a second"
    yield Figure(f"K of {READERS} readers rests at once, p95", p95(spent), "ms", AT_ONCE, note)
    yield Figure("processor time of the server for a K that rests", 1000 * used / len(spent), "ms")


def _growth(address: str, server: psutil.Process, sizes: list[int]) -> Figure:
    """Memory that the server has taken after many K, beyond what it had when the page was shown whole."""
    choose, held = random.Random(0).choice, []
    with session(address, "circuits", QUERY) as reader:
        reader.open()
        reader.rest(sizes[0])
        for slide in range(LONG + 1):
            if slide % (LONG // 4) == 0:
                held.append(server.memory_info().rss / 1e6)
            reader.rest(choose(sizes))
    along = ", ".join(f"{memory:.0f}" for memory in held)
    return Figure(
        f"memory after {LONG:,} K that rested, more than before", held[-1] - held[0], "MB", GROWTH, f"MB along: {along}"
    )


def _seconds(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
