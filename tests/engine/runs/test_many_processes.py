"""Several processes compute overlapping specs on one cache: one file a key, no error, nothing computed twice."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from engine.runs import cache_connection, lifecycle, stored
from engine.runs.provenance import resolve
from engine.runs.spec import RunSpec
from tests.fakes import tiny_compute

ROOT = Path(__file__).resolve().parents[3]
SEEDS = range(3)
COMPUTES = """
import os, sys, time
from pathlib import Path
from engine.runs import lifecycle, stored
from engine.runs.spec import RunSpec
from tests.fakes import tiny_compute

def compute(spec, kind, on_progress):
    with open(os.environ["FAKE_LOG"], "a") as log:
        log.write(f"{os.getpid()} {spec.model} {spec.seed} {kind}\\n")
    if os.environ.get("STUCK") == kind:
        print("stuck", flush=True)
        time.sleep(120)
    time.sleep(0.05)
    return tiny_compute(spec, kind, on_progress)

specs = [RunSpec(n=4, seed=int(seed), model=model) for seed in sys.argv[1:] for model in ("arm", "mdm")]
for start in range(0, len(specs), 2):
    lifecycle.run_all(specs[start : start + 2], compute=compute)
print("done", flush=True)
"""


def start(*seeds: int, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", COMPUTES, *map(str, seeds)],
        cwd=ROOT,
        env=os.environ | environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def outcome(process: subprocess.Popen[str]) -> tuple[int, str, str]:
    output, errors = process.communicate(timeout=120)
    return process.returncode, output, errors


def keys() -> set[str]:
    """Those of all artifacts of the specs."""
    specs = [RunSpec(n=4, seed=seed, model=model) for seed in SEEDS for model in ("arm", "mdm")]
    return {key for spec in specs for key in resolve(spec).keys.values()}


def one_file_a_key() -> bool:
    names = {path.name for path in cache_connection.store().files.iterdir()}
    return names == {f"{key}.{ending}" for key in keys() for ending in ("duckdb", "json")} | {"partial"}


@pytest.fixture
def log(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = workspace / "log"
    monkeypatch.setenv("FAKE_LOG", str(path))
    return path


def computed(log: Path) -> Counter[str]:
    """How often each key was computed."""
    counts: Counter[str] = Counter()
    for line in log.read_text().splitlines():
        _, model, seed, kind = line.split()
        counts[resolve(RunSpec(n=4, model=model, seed=int(seed))).keys[kind]] += 1  # type: ignore[index]
    return counts


def test_four_processes_share_the_work(log: Path) -> None:
    orders = ((0, 1, 2), (0, 1, 2), (2, 1, 0), (1, 2))
    for process in [start(*seeds) for seeds in orders]:
        assert outcome(process) == (0, "done\n", "")
    assert one_file_a_key()
    assert computed(log) == Counter(dict.fromkeys(keys(), 1))
    workers = {line.split()[0] for line in log.read_text().splitlines()}
    assert len(workers) > 1
    for seed in SEEDS:
        run = lifecycle.find(RunSpec(n=4, seed=seed))
        assert run and not stored.missing(run)
        assert lifecycle.run(run.spec, compute=tiny_compute) == run


def test_what_a_killed_process_was_computing_is_taken_over(log: Path) -> None:
    stuck = start(0, 1, 2, STUCK="lens")
    assert stuck.stdout and stuck.stdout.readline() == "stuck\n"
    others = [start(0, 1, 2) for _ in range(2)]
    while len(log.read_text().splitlines()) < 10:  # they work on other artifacts meanwhile
        assert all(process.poll() is None for process in others)
    stuck.send_signal(signal.SIGKILL)
    stuck.communicate()
    for process in others:
        assert outcome(process) == (0, "done\n", "")
    assert one_file_a_key()
    twice = {key: count for key, count in computed(log).items() if count > 1}
    assert list(twice.values()) == [2]  # the one that was lost
