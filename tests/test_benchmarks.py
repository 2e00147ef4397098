"""The table that `make bench` prints and keeps, and what its figures are worked out from."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from benchmarks import evidence
from benchmarks.attribution import Bars, Setup, largest_batch, measured
from benchmarks.painted import (
    Frame,
    event_to_frame,
    frames_a_second,
    frames_of,
    p95,
    place_of,
    summary,
    there_and_back,
)
from benchmarks.peak import peak
from benchmarks.session import _header
from benchmarks.table import Figure, now, save, shown
from pages.components.circuit.payload import pack

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


def test_every_move_counts_until_the_first_frame_that_shows_it() -> None:
    """A frame shows the last move that was handed out, and with it those that the browser merged into that one."""
    frames = [Frame(10, "", 100.0, 120.0), Frame(12, "", 133.0, 150.0), Frame(12, "", 133.0, 400.0)]
    merged = [[100.0, 100.0], [116.0, 116.0], [133.0, 125.0, 133.0]]  # nothing changed at 116
    assert sorted(event_to_frame(frames, merged)) == [17.0, 20.0, 25.0]
    assert event_to_frame(frames[:1], []) == [20.0]


def test_frames_a_second_are_those_of_different_events() -> None:
    frames = [Frame(k, "", event=40.0 * k, at=40.0 * k + 10) for k in range(11)]
    assert frames_a_second(frames) == pytest.approx(25)
    assert frames_a_second([*frames, Frame(10, "", event=400.0, at=900.0)]) == pytest.approx(25)  # drawn when it rests
    assert frames_a_second(frames[:1]) == 0


def test_frames_without_an_input_event_are_left_out() -> None:
    told = [{"k": 10, "node": None, "at": 5.0}, {"k": 20, "node": "a1.h2", "event": 6.0, "at": 9.5}]
    assert frames_of(told) == [Frame(20, "a1.h2", 6.0, 9.5)]


def test_a_drag_goes_there_and_back_a_position_an_event() -> None:
    xs = there_and_back(10.0, 20.0, seconds=0.1)
    assert len(xs) == 12 and max(xs) == xs[5] == 20.0 and xs[-1] == 10.0 and 10.0 not in xs[:-1]


def test_places_on_the_axis_are_logarithmic() -> None:
    assert place_of(1_000, {100: 50.0, 10: 0.0}) == pytest.approx(100)
    assert place_of(31_622, {10: 0.0, 100: 50.0}) == pytest.approx(175, abs=0.01)


def test_p95_lies_between_the_slowest() -> None:
    assert 95 <= p95(list(range(1, 101))) <= 97
    assert summary([1.0, 3.0, 20.0]) == "median 3 ms, slowest 20 ms of 3"


def test_a_bar_of_zero_is_missed_by_anything_else() -> None:
    assert Figure("requests", 0, bar=0).ratio == 0.0
    assert Figure("requests", 1, bar=0).ratio == 2.0


def test_a_session_reads_the_header_of_what_the_component_gets() -> None:
    header = {"chosen": {"k": 10, "node": "ä"}, "circuits": "abc"}
    assert _header(pack(header, {"score": np.zeros(3, np.float32)})).items() >= header.items()


def test_circuit_runs_are_measured_against_the_forward_pass() -> None:
    figures = evidence.measured(Setup("tiny", batch=4, tokens=8, rounds=1), threads=1)
    assert [row.bar for row in figures] == [3.0, None, 0.8, None, None]
    assert all(0 < row.measured < 100 for row in figures)
    assert 0.7 < figures[-1].measured < 1.1


def test_the_memory_of_a_large_model_is_told_and_follows_the_buffer() -> None:
    (default,), (larger,) = evidence.qwen_told(), evidence.qwen_told(2**34)
    assert 15 < default.measured < larger.measured < 35  # GB, 14 of them weights
