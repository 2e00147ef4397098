"""Rows of a run's tables as frozen records, for whoever reads them (what their fields hold: docs/tables.md)."""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    import pyarrow as pa


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
class ReadoutRow:
    """A place at which logits are read and decomposed."""

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
    """The logit lens on the residual stream after `layer` layers at a readout (0: the embedding)."""

    readout: int
    layer: int
    answer_probability: float
    foil_probability: float
    entropy: float  # nats
    answer_rank: int
    foil_rank: int
    tokens: tuple[str, ...]
    probabilities: tuple[float, ...]


@dataclass(frozen=True)
class KeptInput:
    """An input of which every token's detail is kept."""

    input: int
    example: int
    part: str
    tokens: tuple[str, ...]
    roles: tuple[str, ...]
    start: int  # position of the first answer token


@dataclass(frozen=True)
class Neuron:
    """One neuron of an MLP: what it adds to the metric, how active it is, what it writes."""

    layer: int
    neuron: int
    attribution: float
    half_a: float
    half_b: float
    mean: float
    std: float
    low: float
    high: float
    active: float
    counts: tuple[int, ...]
    promoted: tuple[str, ...]
    promoted_logit: tuple[float, ...]
    suppressed: tuple[str, ...]
    suppressed_logit: tuple[float, ...]
    cos_in: float | None
    cos_gate: float | None
    cos_out: float | None


@dataclass(frozen=True)
class NeuronDetail:
    """Where a strong neuron is most active, and which embeddings are nearest to what it reads."""

    layer: int
    neuron: int
    top_input_example: tuple[int, ...]
    top_part: tuple[str, ...]
    top_position: tuple[int, ...]
    top_value: tuple[float, ...]
    gate_tokens: tuple[str, ...]
    gate_cosine: tuple[float, ...]
    up_tokens: tuple[str, ...]
    up_cosine: tuple[float, ...]


@dataclass(frozen=True)
class NeuronTokens:
    """A neuron at every token of a kept input; `ups` is empty where nothing is gated."""

    input: int
    layer: int
    neuron: int
    activations: tuple[float, ...]
    gates: tuple[float, ...]
    ups: tuple[float, ...]


@dataclass(frozen=True)
class LayerHistogram:
    """Activations of a layer's neurons at the tokens of a region; counts [bin]."""

    layer: int
    region: str
    counts: tuple[int, ...]
    n: int
    mean: float
    std: float
    kurtosis: float | None  # excess; None where nothing varies
    active: float


@dataclass(frozen=True)
class Head:
    """How a head behaves: norms of what it writes by region, and the standard scores."""

    node: int
    norm_prompt: float
    norm_answer: float
    norm_readout: float
    previous_token: float
    duplicate_token: float
    induction: float
    copying: float | None  # None where it writes nothing, whatever it attends to


@dataclass(frozen=True)
class RoleAttention:
    """The mean attention that tokens of a role pay to all tokens of another; `queries` tokens were averaged."""

    node: int
    query: str
    key: str
    weight: float
    queries: int


@dataclass(frozen=True)
class TrajectoryStep:
    """One denoising step of a sampler on an example; lists have an entry an answer position."""

    sampler: str
    example: int
    step: int
    tokens: tuple[str, ...]
    confidences: tuple[float, ...]
    revealed: tuple[bool, ...]  # at this step
    visible: tuple[bool, ...]  # before it
    correct: bool  # the finished answer


@dataclass(frozen=True)
class StepAccuracy:
    """Held-out problems solved when the answer is denoised in `steps` steps."""

    steps: int
    correct: int
    total: int


Row = TypeVar(
    "Row",
    ExampleRow,
    ReadoutRow,
    NodeLens,
    LayerLens,
    KeptInput,
    Neuron,
    NeuronDetail,
    NeuronTokens,
    LayerHistogram,
    Head,
    RoleAttention,
    TrajectoryStep,
    StepAccuracy,
)


def read_rows(kind: type[Row], table: pa.Table) -> list[Row]:
    """A table's rows as records of `kind`, whose fields are its columns."""
    names = [field.name for field in fields(kind)]
    return [kind(**{name: _frozen(row[name]) for name in names}) for row in table.select(names).to_pylist()]


def _frozen(value: Any) -> Any:
    return tuple(value) if isinstance(value, list) else value
