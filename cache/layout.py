"""What the cache stores: the record of a run, the tables that belong to runs and the order of their rows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    import pyarrow as pa

# A table that belongs to runs -> the columns that its rows are sorted by, within a run. Only these names ever become
# part of a statement; values never do.
SORTED_BY = {
    "edges": "part, rank",
    "examples": "example",
    "readouts": "readout",
    "node_lens": "readout, node",
    "residual_lens": "readout, layer",
    "edge_blocks": "edge",
    "inputs": "input",
    "neurons": "layer, neuron",
    "neuron_detail": "layer, neuron",
    "neuron_tokens": "layer, neuron, input",
    "activation_histograms": "layer, region",
    "residual_norms": 'layer, "offset"',
    "heads": "node",
    "attention_roles": "node",
    "attention_patterns": "node, input",
    "lens_layers": "example, layer",
    "position_lens": "example, step, target, layer",
    "reveals": "example, step",
    "trajectories": "sampler, example, step",
    "accuracy_steps": "steps",
}

# The fields of a spec that are columns of `runs`, by which runs are searched.
SPEC_COLUMNS = ("pair", "model", "task", "n", "seed", "method", "points", "metric", "order", "dtype")


@dataclass(frozen=True)
class RunRow:
    """A row of `runs`; `spec` and `meta` are JSON texts."""

    key: str
    spec: str
    meta: str
    created: str  # ISO 8601, UTC
    seconds: float
    made_with: str | None = None  # JSON of the description whose hash the key is
    imported: str | None = None  # when a bundle brought it, ISO 8601, UTC; None: computed here

    @property
    def spec_values(self) -> list[object]:
        """The values of SPEC_COLUMNS; None for a field that the spec does not have."""
        fields = json.loads(self.spec)
        return [fields.get(name) for name in SPEC_COLUMNS]


@dataclass(frozen=True)
class RunPart:
    """One side of a comparison: a part of a run."""

    key: str
    part: str


OverlapOf = tuple[str, str, str, str]  # a run's key and part, another's key and part


class Bundle(Protocol):
    """Runs that come from elsewhere; what reads their tables checks them, and raises where they are not sound."""

    def runs(self) -> list[RunRow]: ...

    def tables(self, key: str) -> Mapping[str, pa.Table]: ...

    def comparisons(self) -> list[OverlapOf]: ...

    def curve(self, of: OverlapOf) -> pa.Table: ...
