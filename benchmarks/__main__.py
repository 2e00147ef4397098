"""Every benchmark, as one table of figures, bars and what was measured.

    python -m benchmarks [--only stored_size ...] [--out FOLDER]

Results are kept in benchmarks/results with date and machine. Leave the machine alone meanwhile. Ends with status 1
when a bar is missed.
"""

from __future__ import annotations

import argparse
import sys
from importlib import import_module
from pathlib import Path

from benchmarks.table import RESULTS, Figure, now, save, shown

MODULES = ("artifacts", "attribution", "embedded_evidence", "evidence", "explorer", "exports", "load", "stored_size")


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--only", nargs="+", choices=MODULES, default=MODULES)
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder for the results (JSON)")
    chosen = parser.parse_args()
    rows: list[Figure] = []
    started = now()
    for name in chosen.only:
        print(f"{name} ...", file=sys.stderr, flush=True)
        rows += import_module(f"benchmarks.{name}").rows()
        save(rows, started, chosen.out)  # after each, so that a later one that fails loses nothing
    print(shown(rows))
    sys.exit(any(row.ratio is not None and row.ratio > 1 for row in rows))


if __name__ == "__main__":
    main()
