"""What a run leaves behind: its record and its tables, as the cache keeps them.

Tables are Arrow tables. What their columns hold: docs/tables.md, written from engine/schema.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from engine.files.reading import Json
from engine.runs.spec import RunSpec

if TYPE_CHECKING:
    import pyarrow as pa

    from engine.circuits.edges import Floats
    from engine.circuits.graph import Graph
    from engine.schema.artifacts import Kind

SHOWN = 10  # characters of a run's key


def short_key(key: str) -> str:
    """A run's key as it is shown; commands take it, or any other beginning that no two runs share."""
    return key[:SHOWN]


def size_text(size: int) -> str:
    """Bytes as they are shown, as in "1.2 MiB"."""
    return f"{size / 2**20:,.1f} MiB" if size >= 2**20 else f"{size / 2**10:,.0f} KiB"


@dataclass(frozen=True)
class RunMeta:
    """Where a run's circuit comes from and what sums it up."""

    n_layers: int
    n_heads: int
    n_sites: int
    parts: tuple[str, ...]  # the "site-TT" or "step-SS" parts, in order
    metric_clean: float  # mean over examples of the site mean
    metric_corrupt: float
    device: str
    architecture: str
    versions: dict[str, str]
    n_neurons: int = 0  # of each MLP
    remarks: tuple[str, ...] = ()  # what to know before the run's numbers are believed, in sentences
    file: str = ""  # the name of the file that a circuit from elsewhere was read from

    @classmethod
    def of(cls, fields: Json) -> RunMeta:
        """From its fields as JSON has them."""
        tuples: Json = {name: tuple(fields[name]) for name in ("parts", "remarks") if name in fields}
        return cls(**{**fields, **tuples})

    @property
    def graph(self) -> Graph:
        from engine.circuits.graph import graph_of  # which imports numpy: listing runs does without

        return graph_of(self.n_layers, self.n_heads)


@dataclass(frozen=True)
class Accuracy:
    """How well a model solves a task: the share of `accuracy_n` held-out problems."""

    accuracy: float
    accuracy_n: int


@dataclass(frozen=True)
class ArtifactTables:
    """What computing an artifact returns, not yet stored; `meta`: numbers that sum it up, as JSON has them."""

    meta: Json
    tables: dict[str, pa.Table]  # engine.schema.artifacts.tables_in its kind


@dataclass(frozen=True)
class EvidenceInputs:
    """What an evidence artifact is computed from, beside the model and the examples of its run."""

    own: Floats  # [edge], total scores of the circuit that is examined
    other: Floats | None  # [edge], of the other model's; None where the kind uses none
    size: int | None = None  # K, of what is measured at one size


@dataclass(frozen=True)
class ExampleRange:
    """From which examples of a run a part of its circuit is computed: `first` to `stop` - 1."""

    first: int
    stop: int


@dataclass(frozen=True)
class CircuitSums:
    """What a circuit of many examples is made of: its parts, added (engine/runs/parts.py)."""

    sums: pa.Table  # circuit_sums
    examples: pa.Table
    reveals: pa.Table


Inputs = EvidenceInputs | ExampleRange | CircuitSums  # what an artifact is computed from beside its spec


@dataclass(frozen=True)
class RunTables:
    """A complete run, not stored."""

    meta: RunMeta
    accuracy: Accuracy
    tables: dict[str, pa.Table]  # every name of engine.schema.tables.TABLES


@dataclass(frozen=True)
class Run:
    """A stored run: there is its circuit, and some or all of the other artifacts (stored.missing)."""

    key: str  # of its circuit
    spec: RunSpec
    meta: RunMeta
    created: str  # ISO 8601, UTC
    seconds: float  # what computing the circuit took
    imported: str | None = None  # when a bundle or a file brought it, ISO 8601, UTC; None: computed here
    provenance: Json = field(default_factory=dict)  # what the key is the hash of (engine/runs/provenance.py)
    companions: Mapping[str, str] = field(default_factory=dict)  # keys of the other artifacts, by kind
    accuracy: Accuracy | None = None  # None: not computed yet

    def key_of(self, kind: Kind) -> str:
        """The key of one of its artifacts, whether that is there or not; empty where it is not known."""
        return self.key if kind == "circuit" else self.companions.get(kind, "")

    @property
    def has_halves(self) -> bool:
        """Whether even and odd examples have circuits that can be compared, which one from elsewhere has not."""
        return self.spec.n > 1 and not self.spec.is_imported

    @property
    def method_version(self) -> int | None:
        """Of the program that computed it."""
        return self.provenance.get("method_version")

    @property
    def shifted(self) -> bool | None:
        """Whether its MDM was read from the position before; None: an ARM, or not kept."""
        reading = self.provenance.get("reading")
        return reading[1] if isinstance(reading, list) and len(reading) == 2 else None


@dataclass(frozen=True)
class Progress:
    """`done` of `total` units of `stage`; `total` 0 when not known yet."""

    stage: str
    done: int
    total: int

    @property
    def share(self) -> float:
        return self.done / self.total if self.total else 0.0
