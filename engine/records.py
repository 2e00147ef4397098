"""What a run leaves behind: the record of the run and its tables, as the cache keeps them.

`compute` (engine/compute.py) makes a `RunTables`; the pipeline stores it whole. Tables are Arrow tables
without the run's key, which the cache adds. Their columns:

edges          part string, rank int32 (0 = largest |score|), edge int32 (Graph's index), score float32
               Every part holds every edge, sorted by rank. Parts: "total"; "half-a", "half-b" (even and odd
               examples; each the mean over its own examples); and what sums to the total: "site-TT" (ARM, answer
               index) or "step-SS" (MDM, denoising step), two digits.
examples       example int32, prompt, answer, corrupt_prompt, corrupt_answer list<string> (tokens), predicted
               list<string> (what the model answers to the clean prompt), correct bool, metric_clean, metric_corrupt
               float32
readouts       readout int32, example int32, part string, position int32 (where the logits are read), target int32
               (index in prompt + answer that is predicted), tokens list<string> (what the model sees), answer,
               foil string
node_lens      readout int32, node int32 (Graph's node index; `logits` not among them), answer_logit, foil_logit
               (the node's own contribution to them, in logits), entropy (nats), top_probability (of the softmax of the
               node's own terms) float32, promoted, suppressed list<string>, promoted_logit, suppressed_logit
               list<float32>
residual_lens  readout int32, layer int32 (0 = embedding, l = after l layers), answer_probability, foil_probability,
               entropy float32, answer_rank, foil_rank int32 (0 = top), tokens list<string>, probabilities list<float32>
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from engine.graph import Graph
from engine.spec import RunSpec

if TYPE_CHECKING:
    import pyarrow as pa

TABLES = ("edges", "examples", "readouts", "node_lens", "residual_lens")


@dataclass(frozen=True)
class RunMeta:
    """Where a run's numbers come from and what sums them up."""

    n_layers: int
    n_heads: int
    n_sites: int
    parts: tuple[str, ...]  # the "site-TT" or "step-SS" parts, in order
    accuracy: float  # share of held-out problems solved, of accuracy_n
    accuracy_n: int
    metric_clean: float  # mean over examples of the site mean
    metric_corrupt: float
    device: str
    architecture: str
    versions: dict[str, str]

    @property
    def graph(self) -> Graph:
        return Graph(self.n_layers, self.n_heads)


@dataclass(frozen=True)
class RunTables:
    """What `compute` returns: a complete run, not yet stored."""

    meta: RunMeta
    tables: dict[str, pa.Table]  # every name of TABLES


@dataclass(frozen=True)
class Run:
    """A stored run."""

    key: str
    spec: RunSpec
    meta: RunMeta
    created: str  # ISO 8601, UTC
    seconds: float  # what computing took


@dataclass(frozen=True)
class Progress:
    """`done` of `total` units of `stage`; `total` 0 when not known yet."""

    stage: str
    done: int
    total: int

    @property
    def share(self) -> float:
        return self.done / self.total if self.total else 0.0


Json = dict[str, Any]
