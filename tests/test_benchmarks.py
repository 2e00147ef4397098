"""The table that `make bench` prints, and what it keeps."""

from __future__ import annotations

import json
from pathlib import Path

from benchmarks.table import Row, now, save, shown

ROWS = [Row("time / floor", 1.5, "x", 1.2), Row("click", 90.0, "ms", 150.0, "embedded"), Row("size", 3.0, "MB")]


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
    found = json.loads(path.read_text())
    assert [row["ratio"] for row in found["rows"]] == [1.25, 0.6, None]
    assert found["date"].startswith(f"{started:%Y-%m-%d}")
    assert found["machine"]["cores"] >= 1 and found["machine"]["torch"]
