"""Read one neuron of one model, as far as its run keeps it."""

from __future__ import annotations

from dataclasses import asdict, dataclass

from engine.runs.rows import Neuron, NeuronDetail, NeuronTokens
from engine.runs.token_search import Place
from pages.shared import cached_reads
from pages.shared.sides import Side


@dataclass(frozen=True)
class ShownNeuron:
    """One neuron of one model, as far as its run keeps it."""

    side: Side
    numbers: Neuron
    detail: NeuronDetail | None
    tokens: dict[int, NeuronTokens]  # by kept input

    @property
    def gated(self) -> bool:
        return any(row.ups for row in self.tokens.values())

    def as_dict(self) -> dict[str, object]:
        """Everything that is kept of it, with the run that it comes from, for a JSON file."""
        return {
            "run": self.side.run.key,
            **self.side.run.spec.as_dict(),
            **asdict(self.numbers),
            "detail": asdict(self.detail) if self.detail else None,
            "tokens": [asdict(row) for row in self.tokens.values()],
        }


def read_neuron(side: Side, place: Place) -> ShownNeuron:
    key = side.run.key
    tokens = {row.input: row for row in cached_reads.rows(NeuronTokens, key, layer=place[0], neuron=place[1])}
    return ShownNeuron(
        side,
        cached_reads.neuron(key, *place),
        cached_reads.row(NeuronDetail, key, layer=place[0], neuron=place[1]),
        tokens,
    )
