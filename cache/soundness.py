"""Tell whether the file of an artifact is damaged: all of it is read, in a database of its own.

Whatever went wrong while several files were read together, only a file that fails here is set aside.
"""

from __future__ import annotations

import re
import stat
from pathlib import Path
from typing import TYPE_CHECKING

from cache.artifact_file import RECORD
from cache.layout import NoRecord, Record, record_of

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

LONGEST_REASON = 300  # characters of what DuckDB says
NOT_THE_FILE = re.compile(  # of the errors of reading, those that are no fault of what the file holds
    r"Permission denied|Too many open files|Out of Memory|Cannot allocate memory|Input/output error|Stale file handle"
    r"|timed out|Transport endpoint|Host is down|No such device|could not set lock|conflicting lock"
    r"|can only read version",  # another DuckDB wrote it
    re.IGNORECASE,
)


def reason_of(error: BaseException, hidden: Path | None = None) -> str:
    """The first line of an error, in which a path that tells nothing to whoever reads it is only a name."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    if hidden is not None:
        text = text.replace(str(hidden.resolve()), hidden.name)
    return (text.partition("\n")[0].rstrip(".") or type(error).__name__)[:LONGEST_REASON]


def refuse_irregular(path: Path) -> None:
    """Refuse folders, links and devices.

    Raises:
        NoRecord: it is one.
        OSError: there is nothing there.
    """
    if not stat.S_ISREG(path.lstat().st_mode):
        raise NoRecord("it is not a regular file")


def record_inside(db: DuckDBPyConnection, name: str, key: str) -> Record:
    """The record that an attached file holds.

    Raises:
        NoRecord: it holds none, or that of another artifact.
        duckdb.Error: it cannot be read.
    """
    import duckdb

    try:
        rows = db.execute(f"SELECT record FROM {name}.main.{RECORD}").fetchall()  # noqa: S608
    except (duckdb.CatalogException, duckdb.BinderException) as error:
        raise NoRecord("it holds no record") from error
    if len(rows) != 1 or not isinstance(rows[0][0], str):
        raise NoRecord("it holds no record")
    record = record_of(rows[0][0])
    if record.key != key:
        raise NoRecord("it holds the record of another artifact")
    return record


def damage_of(path: Path, key: str) -> str | None:
    """Why a file cannot be read as that of an artifact; None where it can.

    Raises:
        MemoryError, duckdb.OutOfMemoryException: there is not enough memory to tell.
    """
    import duckdb

    try:
        refuse_irregular(path)
        with duckdb.connect(":memory:") as db:
            db.execute("ATTACH ? AS artifact (READ_ONLY)", [str(path)])
            record_inside(db, "artifact", key)
            tables = "SELECT table_name FROM duckdb_tables() WHERE database_name = 'artifact'"
            for (table,) in db.execute(tables).fetchall():
                quoted = '"' + table.replace('"', '""') + '"'
                db.execute(f"SELECT max(hash(COLUMNS(*))) FROM artifact.main.{quoted}").fetchall()  # noqa: S608
    except NoRecord as error:
        return str(error)
    except duckdb.OutOfMemoryException:
        raise
    except (duckdb.Error, OSError) as error:
        return None if NOT_THE_FILE.search(str(error)) else reason_of(error)
    return None
