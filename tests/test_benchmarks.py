"""The table that `make bench` prints, and what it keeps."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from benchmarks import evidence
from benchmarks.attribution import Bars, Setup, largest_batch, measured
from benchmarks.peak import peak
from benchmarks.table import Figure, now, save, shown

ROWS = [
    Figure("time / floor", 1.5, "x", 1.2),
    Figure("click", 90.0, "ms", 150.0, "embedded"),
    Figure("size", 3.0, "MB"),
]


def test_the_table_marks_a_missed_bar_only() -> None:
    lines = [line.split() for line in shown(ROWS).splitlines()]
    assert lines[1] == ["time", "/", "floor", "1.20", "x", "1.50", "x", "1.25", "over"]
    assert lines[2] == ["click", "150", "ms", "90.0", "ms", "0.60", "embedded"]
    assert lines[3] == ["size", "3.00", "MB"]


def test_results_are_kept_with_date_and_machine_and_a_run_keeps_one_file(tmp_path: Path) -> None:
    started = now()
    save(ROWS[:1], started, tmp_path)
    path = save(ROWS, started, tmp_path)
    assert list(tmp_path.iterdir()) == [path]
    saved = json.loads(path.read_text())
    assert [row["ratio"] for row in saved["rows"]] == [1.25, 0.6, None]
    assert saved["date"].startswith(f"{started:%Y-%m-%d}")
    assert saved["machine"]["cores"] >= 1 and saved["machine"]["torch"]


def test_attribution_is_measured_against_the_plain_model() -> None:
    figures = {
        row.figure.split(",")[0]: row for row in measured(Setup("tiny", batch=4, tokens=8, rounds=1), Bars(time=1.2))
    }
    assert [row.bar for row in figures.values()] == [1.2, None, None]
    assert all(row.figure.endswith("tiny, 4 x 8 tokens, float32, cpu") for row in figures.values())
    assert 0 < figures["attribution / floor"].measured < 100
    assert 0.7 < figures["peak memory / told beforehand"].measured < 1.3


def test_a_peak_counts_what_is_held_at_once_and_the_weights() -> None:
    weight = torch.ones(1000)

    def work() -> None:
        first = weight * 2
        second = first.view(10, 100) + 1  # the view is no memory of its own
        del first
        torch.cat([second.flatten(), weight])  # beside `second`: twice as much

    assert peak(work, "cpu", [weight]) == 4 * (1000 + 1000 + 2000)


def test_the_largest_batch_fills_what_the_footprint_leaves(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("benchmarks.attribution.cpu_memory", lambda: (0, 80 * 2**30))
    setup = Setup("qwen2.5-7b", dtype="bfloat16")
    assert 0.8 < setup.footprint(largest_batch(setup)).peak / (80 * 2**30) < 0.9


def test_circuit_runs_are_measured_against_the_forward_pass() -> None:
    figures = evidence.measured(Setup("tiny", batch=4, tokens=8, rounds=1), threads=1)
    assert [row.bar for row in figures] == [3.0, None, 0.8, None, None]
    assert all(0 < row.measured < 100 for row in figures)
    assert 0.7 < figures[-1].measured < 1.1


def test_the_memory_of_a_large_model_is_told_and_follows_the_buffer() -> None:
    (default,), (larger,) = evidence.qwen_told(), evidence.qwen_told(2**34)
    assert 15 < default.measured < larger.measured < 35  # GB, 14 of them weights
