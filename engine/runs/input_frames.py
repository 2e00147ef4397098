"""What an artifact is computed from beside its spec, as frames of bytes that another process can read.

The first frame is JSON: which class of engine/runs/records.py it is, with its numbers. The others are its arrays
(float32, little-endian) and tables (Arrow streams), in the order of its fields. Nothing is pickled.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from engine.runs.records import CircuitSums, EvidenceInputs, ExampleRange, Inputs

if TYPE_CHECKING:
    import pyarrow as pa

CLASSES: dict[str, type[Inputs]] = {kind.__name__: kind for kind in (EvidenceInputs, ExampleRange, CircuitSums)}
VALUE, ARRAY, TABLE = "value", "array", "table"  # what a field is


def frames_of(inputs: Inputs) -> list[bytes]:
    """The frames that `inputs_in` reads."""
    import numpy as np
    import pyarrow as pa

    fields: dict[str, Any] = {}
    frames: list[bytes] = []
    for name, value in vars(inputs).items():
        if isinstance(value, np.ndarray):
            fields[name] = [ARRAY, list(value.shape)]
            frames.append(value.astype("<f4").tobytes())
        elif isinstance(value, pa.Table):
            fields[name] = [TABLE, None]
            frames.append(stream_of(value))
        else:
            fields[name] = [VALUE, value]
    return [json.dumps({"class": type(inputs).__name__, "fields": fields}).encode(), *frames]


def inputs_in(frames: Sequence[bytes]) -> Inputs:
    """What `frames_of` wrote."""
    import numpy as np

    about, rest = json.loads(frames[0]), iter(frames[1:])
    fields: dict[str, Any] = {}
    for name, (what, value) in about["fields"].items():
        if what == ARRAY:
            fields[name] = np.frombuffer(next(rest), dtype="<f4").reshape(value)
        else:
            fields[name] = table_in(next(rest)) if what == TABLE else value
    return CLASSES[about["class"]](**fields)


def table_in(stream: bytes) -> pa.Table:
    """The table of an Arrow stream."""
    import pyarrow as pa

    return pa.ipc.open_stream(stream).read_all()


def stream_of(table: pa.Table) -> bytes:
    """A table as an Arrow stream."""
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())
