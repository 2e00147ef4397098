"""Rows of a run's tables as frozen records, for whoever reads them (columns: engine/records.py)."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pyarrow as pa


@dataclass(frozen=True)
class EdgeTable:
    """Edges of one part of a run, strongest first."""

    edge: NDArray[np.int32]  # Graph's edge index
    score: NDArray[np.float32]


@dataclass(frozen=True)
class ExampleRow:
    example: int
    prompt: tuple[str, ...]
    answer: tuple[str, ...]
    corrupt_prompt: tuple[str, ...]
    corrupt_answer: tuple[str, ...]
    predicted: tuple[str, ...]
    correct: bool
    metric_clean: float
    metric_corrupt: float


@dataclass(frozen=True)
class Readout:
    """A place where a run looked through the lens."""

    readout: int
    example: int
    part: str
    position: int
    target: int
    tokens: tuple[str, ...]
    answer: str
    foil: str


@dataclass(frozen=True)
class NodeLens:
    """What one node writes towards the logits at a readout."""

    readout: int
    node: int
    answer_logit: float
    foil_logit: float
    entropy: float  # nats
    top_probability: float
    promoted: tuple[str, ...]
    suppressed: tuple[str, ...]
    promoted_logit: tuple[float, ...]
    suppressed_logit: tuple[float, ...]


@dataclass(frozen=True)
class LayerLens:
    """What the residual after `layer` layers would say at a readout (0: the embedding)."""

    readout: int
    layer: int
    answer_probability: float
    foil_probability: float
    entropy: float  # nats
    answer_rank: int
    foil_rank: int
    tokens: tuple[str, ...]
    probabilities: tuple[float, ...]


Row = TypeVar("Row", ExampleRow, Readout, NodeLens, LayerLens)


def read_rows(kind: type[Row], table: pa.Table) -> list[Row]:
    """A table's rows as records of `kind`, whose fields are its columns."""
    names = [field.name for field in fields(kind)]
    return [kind(**{name: _frozen(row[name]) for name in names}) for row in table.select(names).to_pylist()]


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
