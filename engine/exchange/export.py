"""Export a circuit as a file for other programs: what the file is called, how large it is about to be, writing it."""

from __future__ import annotations

import io
from pathlib import Path

from engine.circuits.filters import Filters
from engine.circuits.graph import Graph
from engine.errors import UserError
from engine.exchange.circuit import NO_FILTERS, Circuit, Other, circuit
from engine.exchange.circuit_formats import FORMATS, Format, OnEdges
from engine.files.writing import new_file
from engine.runs.records import Run, short_key
from engine.schema.vocabulary import TOTAL


def export(
    key: str, k: int, format: str, part: str = TOTAL, filters: Filters = NO_FILTERS, other: Other | None = None
) -> bytes:
    """A file's content: what `filters` leave of the circuit of `k` edges, in one of FORMATS.

    It is in memory as a whole: for large files, `export_to`.
    """
    file = io.BytesIO()
    format_named(format).write(circuit_for(format, key, k, part, filters, other), file, _ignore)
    return file.getvalue()


def circuit_for(
    format: str, key: str, k: int, part: str = TOTAL, filters: Filters = NO_FILTERS, other: Other | None = None
) -> Circuit:
    """What a file in one of FORMATS is made from; raises like `circuit`."""
    return circuit(key, k, part, filters, other, format_named(format).every_edge)


def export_to(path: Path, exported: Circuit, format: str, on_edges: OnEdges | None = None) -> int:
    """Write a circuit to a file in one of FORMATS, whole or not at all; the file's size in bytes.

    `on_edges` is told now and then how many edges are written, and of how many.

    Raises:
        UserError: no such format, another file is there already, or it cannot be written.
    """
    writer = format_named(format)
    with new_file(path) as file:
        writer.write(exported, file, on_edges or _ignore)
    return path.stat().st_size


def format_named(format: str) -> Format:
    if format not in FORMATS:
        raise UserError(f"format is {format!r}. Choose one of: {', '.join(FORMATS)}.")
    return FORMATS[format]


def edges_in_file(format: str, graph: Graph, chosen: int) -> int:
    """How many edges a file in one of FORMATS holds, of a circuit of `chosen` edges."""
    return graph.n_edges if format_named(format).every_edge else chosen


def likely_size(format: str, edges: int) -> int:
    """About how many bytes a file in one of FORMATS with `edges` edges has."""
    return format_named(format).bytes_an_edge * edges


def file_name(run: Run, k: int, format: str, part: str = TOTAL, filters: Filters = NO_FILTERS) -> str:
    """What to call the file, as in `embedded-arm-ioi-total-200-positive-pruned-1a2b3c4d5e.json`."""
    return f"{file_stem(run, k, part, filters)}.{format_named(format).ending or format}"


def file_stem(run: Run, k: int, part: str = TOTAL, filters: Filters = NO_FILTERS) -> str:
    """A file's name without its ending."""
    model = run.spec.model.replace(":", "")
    chosen = f"-{filters.stem}" if filters.active else ""
    return f"{run.spec.pair}-{model}-{run.spec.task}-{part}-{k}{chosen}-{short_key(run.key)}"


def _ignore(done: int, total: int) -> None:
    pass
