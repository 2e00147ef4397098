"""Small artifacts for tests of the cache, and folders full of them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from cache import queries
from cache.artifact_file import RECORD
from cache.folder import ArtifactFolder
from cache.layout import Record


def key(number: int) -> str:
    return f"{number:020x}"


def record(number: int, **fields: Any) -> Record:
    """The record of artifact `number`; the higher, the later it was made."""
    created = f"2026-01-01T{number // 3600:02}:{number // 60 % 60:02}:{number % 60:02}+00:00"
    values = {"kind": "circuit", "made_with": {"number": number}, "meta": {}, "created": created, "seconds": 1.5}
    return Record(**{"key": key(number), **values, **fields})


def edges(number: int, rows: int = 50) -> pa.Table:
    """Edges of one part, by rank; other scores for another `number`."""
    rng = np.random.default_rng(number)
    scores = np.sort(rng.random(rows).astype(np.float32))[::-1]
    columns = {
        "part": pa.array(["total"] * rows),
        "rank": np.arange(rows, dtype=np.int32),
        "edge": rng.permutation(rows).astype(np.int32),
        "score": scores,
    }
    return pa.table(columns)


def fill(folder: ArtifactFolder, *numbers: int, rows: int = 50) -> None:
    for number in numbers:
        folder.write(record(number), {"edges": edges(number, rows)})


def fill_fast(files: Path, numbers: Iterable[int]) -> None:
    """What `fill` writes, with one connection for all of them."""
    with duckdb.connect(":memory:") as db:
        for number in numbers:
            made = record(number)
            db.execute("ATTACH ? AS artifact (BLOCK_SIZE 16384)", [str(files / f"{made.key}.duckdb")])
            db.execute(f"CREATE TABLE artifact.main.{RECORD} AS SELECT ? AS record", [made.as_written_inside()])
            db.register("incoming", edges(number))
            db.execute("CREATE TABLE artifact.main.edges AS SELECT * FROM incoming")
            db.execute("DETACH artifact")
            size = (files / f"{made.key}.duckdb").stat().st_size
            (files / f"{made.key}.json").write_text(replace(made, size=size).as_text())


def content(folder: ArtifactFolder, number: int) -> pa.Table:
    return queries.edges(folder, key(number), "total")


def is_whole(folder: ArtifactFolder, number: int, rows: int = 50) -> bool:
    """Whether the content of an artifact is what was written."""
    return content(folder, number).equals(edges(number, rows).select(["edge", "score"]))


def names(folder: ArtifactFolder) -> set[str]:
    """What lies in the folder of the artifacts."""
    return {path.name for path in folder.files.iterdir()}


def changed_copy(file: Path, copy: Path, *statements: str) -> Path:
    """A copy of a database in which some statements were run."""
    copy.write_bytes(file.read_bytes())
    with duckdb.connect(str(copy)) as db:
        for statement in statements:
            db.execute(statement)
    return copy
