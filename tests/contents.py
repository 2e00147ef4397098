"""What a cache holds, as hashes: equal where every number of every artifact is, bit for bit."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path

import duckdb

from cache.artifact_file import RECORD
from cache.layout import record_of


def contents(cache: Path) -> dict[str, str]:
    """Key of each artifact in a cache -> hash of all its tables and of what sums it up."""
    return {file.stem: _content(file) for file in sorted((cache / "artifacts").glob("*.duckdb"))}


def _content(file: Path) -> str:
    digest = hashlib.sha256(json.dumps(record_of(file.with_suffix(".json").read_text()).meta, sort_keys=True).encode())
    with duckdb.connect(str(file), read_only=True) as db:
        names = sorted(name for (name,) in db.execute("SELECT table_name FROM duckdb_tables()").fetchall())
        for name in names:
            if name != RECORD:  # when it was computed, and how long that took
                table = db.table(name).to_arrow_table()
                digest.update(f"{name} {table.schema} {table.to_pydict()}".encode())  # repr tells floats apart exactly
    return digest.hexdigest()
