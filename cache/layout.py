"""What the cache stores: the record of an artifact, the tables that artifacts hold and the order of their rows."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields, replace
from typing import Any

SCHEMA = 10  # of the files; raised by every change of their tables. The single file of before had 1 to 9.

# A table -> the columns that its rows are sorted by. Only these names ever become part of a statement; values never do.
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
    "circuit_runs": "circuit, draw, part, size",
    "smallest_circuits": "circuit, tau",
    "knockouts": "node, replaced_by, part",
    "group_knockouts": "selection, draw, removed",
    "audited_edges": "rank",
    "circuit_sums": "name",
}

Json = Mapping[str, Any]


class NoRecord(ValueError):
    """A text that is no record of an artifact."""


@dataclass(frozen=True)
class Record:
    """What is known of an artifact without opening its file.

    `made_with`: everything that its numbers depend on; the key is its hash.
    `companions`: the keys of the other artifacts of the same run, by kind (of a circuit; empty otherwise).
    `meta`: what sums it up; each kind has its own fields.
    """

    key: str
    kind: str
    made_with: Json
    meta: Json
    created: str  # ISO 8601, UTC
    seconds: float  # what computing took
    companions: Mapping[str, str] = field(default_factory=dict)
    imported: str | None = None  # when a bundle or a file brought it, ISO 8601, UTC; None: computed here
    size: int = 0  # bytes of its file
    schema: int = SCHEMA

    def __hash__(self) -> int:
        return hash((self.key, self.created, self.imported))

    def as_text(self) -> str:
        return json.dumps(asdict(self), sort_keys=True)

    def as_written_inside(self) -> str:
        """The text that the artifact's own file holds: without what depends on where it lies."""
        return replace(self, imported=None, size=0).as_text()


TYPES: dict[str, type | tuple[type, ...]] = {
    "key": str,
    "kind": str,
    "made_with": dict,
    "meta": dict,
    "created": str,
    "seconds": (int, float),
    "companions": dict,
    "imported": (str, type(None)),
    "size": int,
    "schema": int,
}


def record_of(text: str | bytes) -> Record:
    """The record that a text holds.

    Raises:
        NoRecord: it holds none.
    """
    try:
        values = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise NoRecord("it is not JSON") from error
    names = {entry.name for entry in fields(Record)}
    if not isinstance(values, dict) or values.keys() != names:
        raise NoRecord("it does not have the fields of a record")
    wrong = [name for name in names if not isinstance(values[name], TYPES[name])]
    if wrong:
        raise NoRecord(f"its field {min(wrong)!r} is of another type")
    if not all(isinstance(key, str) for key in values["companions"].values()):
        raise NoRecord("its companions are no keys")
    return Record(**values)
