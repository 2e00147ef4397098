"""What a benchmark measured: one table for a person, one JSON file a run for whoever compares later.

A benchmark module has `rows() -> list[Row]` and is listed in benchmarks/__main__.py.
"""

from __future__ import annotations

import json
import os
import platform
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path
from typing import Any

RESULTS = Path(__file__).resolve().parent / "results"
LIBRARIES = ("torch", "transformers", "transformer-lens", "duckdb", "streamlit")


@dataclass(frozen=True)
class Figure:
    """One figure. Smaller is better; `bar` is the most it may be, None where none was set."""

    figure: str
    measured: float
    unit: str = ""  # "ms", "MB", "x" for a ratio
    bar: float | None = None
    note: str = ""  # what it was measured on, when the figure does not say it

    @property
    def ratio(self) -> float | None:
        """measured / bar: above 1 the bar is missed. A bar of 0 is missed by anything else."""
        if self.bar == 0:
            return 1 + self.measured if self.measured else 0.0
        return None if self.bar is None else self.measured / self.bar


def shown(rows: Sequence[Figure]) -> str:
    """The table, a line per row; "over" marks a missed bar."""
    lines = [("figure", "bar", "measured", "ratio", "")]
    for row in rows:
        over = "over" if row.ratio is not None and row.ratio > 1 else ""
        bar = "" if row.bar is None else _with_unit(row.bar, row.unit)
        ratio = "" if row.ratio is None else f"{row.ratio:.2f}"
        lines.append(
            (row.figure, bar, _with_unit(row.measured, row.unit), ratio, "  ".join(filter(None, (over, row.note))))
        )
    widths = [max(len(line[i]) for line in lines) for i in range(4)]
    return "\n".join(
        f"{name:{widths[0]}}  {bar:>{widths[1]}}  {measured:>{widths[2]}}  {ratio:>{widths[3]}}  {rest}".rstrip()
        for name, bar, measured, ratio, rest in lines
    )


def save(rows: Sequence[Figure], started: datetime, folder: Path = RESULTS) -> Path:
    """Keep results with date and machine; called again with the same start, the file is replaced."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{started:%Y-%m-%d-%H%M%S}.json"
    record = {
        "date": started.isoformat(timespec="seconds"),
        "machine": machine(),
        "rows": [_record(row) for row in rows],
    }
    path.write_text(json.dumps(record, indent=1) + "\n")
    return path


def now() -> datetime:
    return datetime.now(UTC)


def machine() -> dict[str, Any]:
    """What the numbers depend on; neither host names nor paths."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gb": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30),
        "python": platform.python_version(),
        **{name: version(name) for name in LIBRARIES},
    }


def _processor() -> str:
    """The model's name from Linux's /proc/cpuinfo."""
    cpuinfo = Path("/proc/cpuinfo")
    lines = cpuinfo.read_text().splitlines() if cpuinfo.is_file() else []
    named = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return named[0] if named else platform.machine()


def _record(row: Figure) -> dict[str, Any]:
    return {**asdict(row), "ratio": row.ratio}


def _with_unit(value: float, unit: str) -> str:
    digits = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2
    return f"{value:.{digits}f} {unit}".rstrip()
