"""What a run leaves behind: the record of the run and its tables, as the cache keeps them.

`compute` (engine/runs/compute.py) makes a `RunTables`; lifecycle.keep stores it whole. Tables are Arrow tables
without the run's key, which the cache adds. Their columns (types and bounds: engine/schema/tables.py):

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
edge_blocks    edge int32, scores list<float32>: for the 4096 strongest edges of "total" what each block of examples
               adds to the score (block b: examples with example % 32 == b; min(32, n) blocks); they sum to the score

What components do, on the task's clean inputs (engine/inspection/observers.py; an ARM has one an example, an MDM one a
step):

inputs         input int32, example int32, part string, tokens, roles list<string>, start int32 (position of the first
               answer token): the few inputs of which every token's detail is kept
neurons        layer, neuron int32, attribution, half_a, half_b float32 (means over all, even and odd examples), mean,
               std, low, high float32 (activation over all tokens), active float32 (share of tokens at which the
               non-linearity's input is positive), counts list<int32> (bins: engine/inspection/bins.py), promoted,
               suppressed list<string>, promoted_logit, suppressed_logit list<float32> (of the output direction),
               cos_in, cos_gate, cos_out float32 (weights against the ARM's; null in the ARM's run, cos_gate where
               nothing is gated). Every neuron.
neuron_detail  layer, neuron int32, top_input_example list<int32>, top_part list<string>, top_position list<int32>,
               top_value list<float32> (where it is most active), gate_tokens, up_tokens list<string>, gate_cosine,
               up_cosine list<float32> (embeddings nearest to its input directions). For the neurons of each layer
               with the largest |attribution|: max(64, 4096 // n_layers) of them.
neuron_tokens  input, layer, neuron int32, activations, gates, ups list<float32> (per token; ups empty when nothing is
               gated). For the neurons of neuron_detail.
activation_histograms
               layer int32, region string ("prompt", "answer", "readout"), counts list<int64>, n int64, mean, std,
               kurtosis (excess; null where nothing varies), active float32
residual_norms layer int32 (0 = embedding), offset int32 (position - start of the answer), mean, std float32, n int32
heads          node int32, norm_prompt, norm_answer, norm_readout (mean norm of what it writes), previous_token,
               duplicate_token, induction, copying (null where a head writes nothing) float32
attention_roles
               node int32, query, key string (roles), weight float32, queries int32
attention_patterns
               input, node int32, pattern list<uint8> (round(255 p), query x key): as many inputs as fit
lens_layers    example, layer int32, residual_entropy, residual_top, node_entropy, node_top float32 (means over sites;
               node_*: over the layer's heads and MLP). All examples.
position_lens  example, step, target, layer int32, token string, probability, answer_probability float32, answer_rank
               int32: every masked answer position at every step (ARM: step 0, every answer position)
reveals        example, step, index int32: the order in which the MDM of this run reveals (ARM: none)
trajectories   sampler string, example, step int32, tokens list<string>, confidences list<float32>, revealed, visible
               list<bool> (at this step, before it), correct bool; a list entry an answer position (ARM: none)
accuracy_steps steps, correct, total int32: held-out problems solved in so many denoising steps (ARM: none)
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from engine.circuits.graph import Graph, graph_of
from engine.files.reading import Json
from engine.runs.spec import RunSpec

if TYPE_CHECKING:
    import pyarrow as pa

TABLES = (
    "edges",
    "examples",
    "readouts",
    "node_lens",
    "residual_lens",
    "edge_blocks",
    "inputs",
    "neurons",
    "neuron_detail",
    "neuron_tokens",
    "activation_histograms",
    "residual_norms",
    "heads",
    "attention_roles",
    "attention_patterns",
    "lens_layers",
    "position_lens",
    "reveals",
    "trajectories",
    "accuracy_steps",
)


SHOWN = 10  # characters of a run's key


def short_key(key: str) -> str:
    """A run's key as it is shown; commands take it, or any other beginning that no two runs share."""
    return key[:SHOWN]


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
    n_neurons: int = 0  # of each MLP
    stored_bytes: int = 0  # of the tables, before the database compresses them
    remarks: tuple[str, ...] = ()  # what to know before the run's numbers are believed, in sentences

    @classmethod
    def of(cls, fields: Json) -> RunMeta:
        """From its fields as JSON has them."""
        tuples: Json = {name: tuple(fields[name]) for name in ("parts", "remarks") if name in fields}
        return cls(**{**fields, **tuples})

    @property
    def graph(self) -> Graph:
        return graph_of(self.n_layers, self.n_heads)


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
    imported: str | None = None  # when a bundle brought it, ISO 8601, UTC; None: computed here
    provenance: Json = field(
        default_factory=dict
    )  # what the key is the hash of (engine/runs/provenance.py); empty: not kept

    @property
    def has_halves(self) -> bool:
        """Whether there are even and odd examples, whose circuits can be compared."""
        return self.spec.n > 1

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
