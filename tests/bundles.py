"""Bundles that tests take apart, change and put together again."""

from __future__ import annotations

import json
from collections import defaultdict
from collections.abc import Callable, Sequence
from functools import cache
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import duckdb

from engine.schema.artifacts import kinds_of
from engine.schema.tables import TABLES


def zipped(folder: Path, file: Path) -> Path:
    """The files of a folder as a zip that stores them."""
    with ZipFile(file, "w") as archive:
        for path in sorted(folder.rglob("*")):
            if path.is_file():
                archive.write(path, path.relative_to(folder).as_posix())
    return file


def record_in(file: Path) -> dict[str, Any]:
    with duckdb.connect(str(file), read_only=True) as db:
        return dict(json.loads(db.execute("SELECT record FROM artifact").fetchall()[0][0]))


@cache
def kinds_in(bundle: Path) -> dict[str, list[Path]]:
    """The files of the artifacts of a bundle that is a folder and stays as it is, by kind."""
    kinds = defaultdict(list)
    for file in sorted((bundle / "artifacts").iterdir()):
        kinds[record_in(file)["kind"]].append(file)
    return dict(kinds)


def change_record(file: Path, change: Callable[[dict[str, Any]], object] | str) -> None:
    """Let a function change the record of an artifact, or put a text in its place."""
    if not isinstance(change, str):
        record = record_in(file)
        change(record)
        change = json.dumps(record)
    with duckdb.connect(str(file)) as db:
        db.execute("UPDATE artifact SET record = ?", [change])


def change_table(files: dict[str, list[Path]], table: str, statement: str, values: Sequence[object] = ()) -> None:
    """Run a statement on every artifact that has the table, and the columns that it names; on circuits, if none has.

    `files`: of the artifacts by kind.
    """
    done = 0
    for kind in kinds_of(table) if table in TABLES else ("circuit",):
        for file in files[kind]:
            with duckdb.connect(str(file)) as db:
                try:
                    db.execute(statement, list(values))
                except duckdb.BinderException:  # another kind has the column
                    continue
            done += 1
    assert done, "no artifact has this table and column"
