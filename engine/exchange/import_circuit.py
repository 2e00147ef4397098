"""Take a circuit that another program found into the cache, where it is shown, compared and evaluated like a run.

1. The file is read and checked against the graph of the model that it is said to be of (`circuit_file.read_circuit`).
2. Its run has the method "imported" and a `source` made from the scores, on which its key depends: the same scores of
   the same model on the same examples are the same run.
3. Its circuit artifact holds the edges in total. What depends on examples has no rows: there are no halves, blocks of
   examples or neurons to read. Accuracy, lens, activations and weights are those of every run of the model and task.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from cache.owners import owned_name
from engine.circuits.comparison import order_of
from engine.circuits.graph import graph_of
from engine.errors import UserError
from engine.exchange.circuit_file import CircuitFile, read_circuit
from engine.files.temporary import scratch_folder
from engine.models.architecture import Shape
from engine.runs.artifacts import record_of
from engine.runs.cache_connection import errors_of_cache, store
from engine.runs.device_plan import shape_of
from engine.runs.provenance import resolve
from engine.runs.records import Run, RunMeta
from engine.runs.spec import IMPORTED, RunSpec
from engine.runs.stored import get
from engine.schema.artifacts import tables_in
from engine.schema.vocabulary import TOTAL

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class ImportedCircuit:
    """The run that came of a file; `known`: it was here before."""

    run: Run
    known: bool


def import_circuit(path: Path, spec: RunSpec) -> ImportedCircuit:
    """Keep the circuit in a file as that of `spec`'s model on its task; its method and number of points say nothing.

    Raises:
        UserError: no such pair or task, the model is not here, the file is refused, or the cache cannot be written.
    """
    shape = shape_of(resolve(spec).pair)
    if shape is None:
        raise UserError(f"It is not known how many layers and heads the pair {spec.pair} has: its models don't say it.")
    file = read_circuit(path, graph_of(shape.layers, shape.heads), shape)
    resolved = resolve(replace(spec, method=IMPORTED, points=RunSpec.points, source=file.source))
    known = store().record(resolved.key) is not None
    if not known:
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        record = record_of("circuit", resolved.provenance, asdict(_meta(file, shape)), now, 0.0)
        with errors_of_cache():
            store().write(replace(record, imported=now), _tables(file))
    return ImportedCircuit(get(resolved.key), known)


def import_bytes(content: bytes | memoryview, name: str, spec: RunSpec) -> ImportedCircuit:
    """`import_circuit` for an upload that is called `name`."""
    with scratch_folder(owned_name()) as folder:
        path = folder / (Path(name).name or "circuit.json")
        try:
            path.write_bytes(content)
        except OSError as error:
            raise UserError(f"The file cannot be kept while it is read: {error.strerror}.") from error
        return import_circuit(path, spec)


def _meta(file: CircuitFile, shape: Shape) -> RunMeta:
    return RunMeta(
        n_layers=shape.layers,
        n_heads=shape.heads,
        n_sites=0,
        parts=(),
        metric_clean=0.0,
        metric_corrupt=0.0,
        device="",
        architecture="",
        versions={},
        n_neurons=shape.mlp,
        remarks=file.remarks,
        file=file.name,
    )


def _tables(file: CircuitFile) -> dict[str, pa.Table]:
    """The tables of a circuit artifact: its edges in total, and no rows in the others."""
    from engine.schema.arrow import arrow_schema, table  # which imports pyarrow

    order = order_of(file.score).astype(np.int32)
    columns = {"rank": np.arange(len(order), dtype=np.int32), "edge": order, "score": file.score[order]}
    edges = table("edges", {"part": [TOTAL] * len(order), **columns})
    return {name: arrow_schema(name, "circuit").empty_table() for name in tables_in("circuit")} | {"edges": edges}
