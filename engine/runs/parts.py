"""Circuits of many examples: the parts in which they are computed, and how these are added.

1. A circuit of more than EXAMPLES_AT_ONCE examples (engine/runs/provenance.py) is computed in parts of so many each,
   of the same list of examples. Which those are does not depend on who computes them, or on how many do.
2. A part is an artifact of its own, so that it is computed by whoever is free, and kept when something ends the rest.
   Its key is the hash of the circuit's provenance and of its examples.
3. `stored_sums` adds what the parts hold: one part after the other, from the first to the last, in float32. From these
   sums the circuit is computed (engine/runs/compute_circuit.py).
4. When the circuit is stored, its parts are deleted (`delete`); those that a kill left behind are with the circuit, or
   when old runs are (engine/runs/stored.py).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from cache import queries
from cache.errors import StoreError
from cache.keys import hash_of
from cache.layout import Record
from engine.errors import UserError
from engine.runs.cache_connection import errors_of_cache, store
from engine.runs.provenance import Resolved
from engine.runs.records import CircuitSums
from engine.schema.artifacts import PART, PART_HOLDS
from engine.schema.columns import Table
from engine.schema.tables import ALL_TABLES

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray


def made_with(run: Resolved, part: range) -> dict[str, Any]:
    """Everything that changes the numbers of a part of a run's circuit."""
    return {**run.provenance, "artifact": PART, "part_of": run.key, "examples": [part.start, part.stop]}


def key_of(run: Resolved, part: range) -> str:
    return hash_of(made_with(run, part))


def record_of(run: Resolved, part: range, meta: Mapping[str, Any], created: str, seconds: float) -> Record:
    """The record of a part; `created` in ISO 8601, `seconds` of computing."""
    return Record(key_of(run, part), PART, made_with(run, part), meta, created, seconds)


def stored_sums(run: Resolved) -> CircuitSums:
    """The sums of all parts of a run's circuit, which are stored by now.

    Raises:
        UserError: one is not.
    """
    return added(_stored(run, part) for part in run.parts)


def stored_seconds(run: Resolved) -> float:
    """What computing the parts of a run's circuit took, of those that are stored."""
    records = [store().record(key_of(run, part)) for part in run.parts]
    return sum(record.seconds for record in records if record)


def delete(run: Resolved) -> None:
    """Remove the parts of a run's circuit, which is stored. What cannot be removed stays until old runs are."""
    with suppress(StoreError):
        for part in run.parts:
            store().delete(key_of(run, part))


def added(parts: Iterable[Mapping[str, pa.Table]]) -> CircuitSums:
    """The sums over the examples of all parts, added in their order, and the rows of their examples."""
    import pyarrow as pa

    sums: dict[str, NDArray[np.float32]] = {}
    examples, reveals = list[pa.Table](), list[pa.Table]()
    for part in parts:
        for name, values in arrays(part["circuit_sums"]).items():
            sums[name] = sums[name] + values if name in sums else values
        examples.append(part["examples"])
        reveals.append(part["reveals"])
    return CircuitSums(sums_table(sums), pa.concat_tables(examples), pa.concat_tables(reveals))


def sums_table(sums: Mapping[str, NDArray[np.float32]]) -> pa.Table:
    """`circuit_sums` of docs/tables.md, in the order of names."""
    import numpy as np

    from engine.schema.arrow import table
    from engine.schema.list_columns import ragged

    names = sorted(sums)
    values, lengths = np.concatenate([sums[name] for name in names]), np.array([len(sums[name]) for name in names])
    return table("circuit_sums", {"name": names, "sums": ragged(values, lengths)})


def arrays(sums: pa.Table) -> dict[str, NDArray[np.float32]]:
    """The sums of a table `circuit_sums` by name, each [edge] or [layer * neuron]."""
    column = sums["sums"].combine_chunks()
    flat, ends = column.values.to_numpy(), column.offsets.to_numpy()
    return {name: flat[ends[i] : ends[i + 1]] for i, name in enumerate(sums["name"].to_pylist())}


def _stored(run: Resolved, part: range) -> dict[str, pa.Table]:
    key = key_of(run, part)
    if store().record(key) is None:
        raise UserError(
            f"The circuit cannot be put together: the part of its examples {part.start + 1:,} to {part.stop:,} is not "
            "in the cache any more. Ask for the circuit again; what is there of it is not computed again."
        )
    with errors_of_cache():
        return {name: queries.rows(store(), name, [key], (), _columns(ALL_TABLES[name]), {}) for name in PART_HOLDS}


def _columns(table: Table) -> list[str]:
    return [column.name for column in table.columns]
