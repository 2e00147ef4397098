"""Read one neuron of one model, as far as its run keeps it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any

from engine.runs import read, stored
from engine.runs.rows import Neuron, NeuronDetail, NeuronTokens
from engine.runs.token_search import Place
from engine.schema.artifacts import KINDS, columns_in, row_numbers
from engine.schema.tables import TABLES
from pages.shared import cached_reads
from pages.shared.sides import Side


@dataclass(frozen=True)
class ShownNeuron:
    """One neuron of one model, as far as its run keeps it."""

    side: Side
    numbers: Neuron  # those in `missing` are zero or empty
    detail: NeuronDetail | None
    tokens: dict[int, NeuronTokens]  # by kept input
    missing: frozenset[str] = frozenset()  # names of numbers that are not computed yet

    @property
    def gated(self) -> bool:
        return any(row.ups for row in self.tokens.values())

    def as_dict(self) -> dict[str, object]:
        """Everything that is kept of it, with the run that it comes from, for a JSON file."""
        return {
            "run": self.side.run.key,
            **self.side.run.spec.as_dict(),
            **{name: value for name, value in asdict(self.numbers).items() if name not in self.missing},
            "detail": asdict(self.detail) if self.detail else None,
            "tokens": [asdict(row) for row in self.tokens.values()],
        }


NO_NUMBERS = Neuron(
    layer=0, neuron=0, attribution=0.0, half_a=0.0, half_b=0.0, mean=0.0, std=0.0, low=0.0, high=0.0, active=0.0,
    counts=(), promoted=(), promoted_logit=(), suppressed=(), suppressed_logit=(), cos_in=None, cos_gate=None,
    cos_out=None,
)  # fmt: skip


def read_neuron(side: Side, place: Place) -> ShownNeuron:
    key = side.run.key
    missing = _missing(side)
    tokens = {row.input: row for row in cached_reads.rows(NeuronTokens, key, layer=place[0], neuron=place[1])}
    return ShownNeuron(
        side,
        _numbers_there(key, place, missing) if missing else cached_reads.neuron(key, *place),
        cached_reads.row(NeuronDetail, key, layer=place[0], neuron=place[1]),
        tokens,
        missing,
    )


def _missing(side: Side) -> frozenset[str]:
    """Columns of `neurons` that lie in artifacts which are not there."""
    kinds = [kind for kind in KINDS if not stored.has(side.run, kind)]
    return frozenset(column.name for kind in kinds for column in columns_in(kind, "neurons")) - {
        *row_numbers(TABLES["neurons"])
    }


def _numbers_there(key: str, place: Place, missing: frozenset[str]) -> Neuron:
    names = [column.name for column in TABLES["neurons"].columns if column.name not in missing]
    (row,) = read.table(key, "neurons", names, layer=place[0], neuron=place[1]).to_pylist()
    known: dict[str, Any] = {name: tuple(v) if isinstance(v, list) else v for name, v in row.items()}
    return replace(NO_NUMBERS, **known)
