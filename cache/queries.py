"""Ask artifacts for rows: Arrow tables out of the files of a cache folder.

Names of tables and columns come from SORTED_BY and from the caller's schema, never from a user; values are parameters.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from cache.folder import ArtifactFolder
from cache.layout import SORTED_BY

if TYPE_CHECKING:
    import pyarrow as pa

ALL = 2**31 - 1  # edges


def edges(folder: ArtifactFolder, key: str, part: str, limit: int | None = None) -> pa.Table:
    """`edge`, `score` of the `limit` strongest edges of a part (all: None), strongest first; empty when unknown."""
    with folder.reading(key) as (cursor, names):
        query = f"SELECT edge, score FROM {names[key]}.main.edges WHERE part = ? AND rank < ? ORDER BY rank"  # noqa: S608
        return cursor.sql(query, params=[part, ALL if limit is None else limit]).to_arrow_table()


def ranks(folder: ArtifactFolder, key: str, part: str) -> pa.Table:
    """`edge`, `rank` of every edge of a part, in no order."""
    with folder.reading(key) as (cursor, names):
        query = f"SELECT edge, rank FROM {names[key]}.main.edges WHERE part = ?"  # noqa: S608
        return cursor.sql(query, params=[part]).to_arrow_table()


def edges_among(folder: ArtifactFolder, key: str, part: str, wanted: pa.Table) -> pa.Table:
    """`edge`, `rank`, `score` of the edges in the column `edge` of `wanted`, in no order."""
    with folder.reading(key) as (cursor, names):
        cursor.register("wanted", wanted)
        edges = f"{names[key]}.main.edges"
        query = f"SELECT edge, rank, score FROM {edges} SEMI JOIN wanted USING (edge) WHERE part = ?"  # noqa: S608
        return cursor.sql(query, params=[part]).to_arrow_table()


def rows(
    folder: ArtifactFolder,
    name: str,
    keys: Sequence[str],
    numbers: Sequence[str],
    columns: Sequence[str],
    where: Mapping[str, object],
) -> pa.Table:
    """Rows of the table `name`, in its order, whose columns have the values of `where`.

    `keys`: the artifacts that hold its columns; they are joined by the columns `numbers`, which number the rows.
    """
    wanted = ", ".join(f'"{column}"' for column in columns)
    conditions = " AND ".join(f'"{column}" = ?' for column in where) or "true"
    with folder.reading(*keys) as (cursor, names):
        query = (
            f"SELECT {wanted} FROM {_joined(name, keys, names, numbers)} WHERE {conditions} ORDER BY {SORTED_BY[name]}"  # noqa: S608
        )
        return cursor.sql(query, params=list(where.values())).to_arrow_table()


def neurons_promoting(folder: ArtifactFolder, circuit: str, weights: str, token: str, most: int) -> pa.Table:
    """Neurons whose output direction promotes a token, the largest |attribution| first."""
    keys = (circuit, weights)
    with folder.reading(*keys) as (cursor, names):
        neurons = _joined("neurons", keys, names, ("layer", "neuron"))
        query = f"""
            SELECT * FROM {neurons} WHERE list_contains(promoted, ?) ORDER BY abs(attribution) DESC LIMIT ?"""  # noqa: S608
        return cursor.sql(query, params=[token, most]).to_arrow_table()


def _joined(name: str, keys: Sequence[str], names: Mapping[str, str], numbers: Sequence[str]) -> str:
    first, *others = (f"{names[key]}.main.{name}" for key in keys)
    using = ", ".join(f'"{column}"' for column in numbers)
    return first + "".join(f" JOIN {other} USING ({using})" for other in others)
