"""Where the lenses of both models are read: an example and a token of it that the reader chooses."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import streamlit as st

from engine.models.token_text import visible
from engine.runs.rows import ReadoutRow
from pages.shared import address, cached_reads, state
from pages.shared.artifacts import lacking
from pages.shared.glossary import meaning
from pages.shared.sides import Sides
from pages.shared.synced import synced

NOWHERE = "The lens was computed at different tokens for these two runs, so there is nothing to compare."


@dataclass(frozen=True)
class Place:
    """A token of an example that both models predict: where their lenses can be compared."""

    example: int
    target: int
    answer: str
    foil: str

    @property
    def label(self) -> str:
        return f"example {self.example}, token {self.target}: {visible(self.answer)} (not {visible(self.foil)})"

    @classmethod
    def of(cls, readout: ReadoutRow) -> Place:
        return cls(readout.example, readout.target, readout.answer, readout.foil)


def places(sides: Sides) -> list[Place]:
    """Those of which both models have a lens."""
    arm, mdm = (_readouts(side.run.key) for side in sides)
    return [place for place in arm if place in mdm]


def choose_place(sides: Sides) -> dict[str, ReadoutRow] | None:
    """The readouts of both models at the example and token that the reader chooses; None where they have none."""
    labels = {place.label: place for place in places(sides)}
    if not labels:
        return None
    _follow_older_link(list(labels.values()))
    chosen = st.selectbox(
        "Example and predicted token",
        list(labels),
        key=synced(state.READOUT, next(iter(labels)), list(labels)),
        help=f"At these tokens of a few examples the lens was computed for both models; attention is of the same "
        f"example. {meaning('readout')} {meaning('logit_lens')}",
    )
    return {side.model: _readouts(side.run.key)[labels[chosen]] for side in sides}


def _readouts(key: str) -> dict[Place, ReadoutRow]:
    return {Place.of(readout): readout for readout in cached_reads.rows(ReadoutRow, key)}


def _follow_older_link(known: Sequence[Place]) -> None:
    """A link that names the example alone, as those to attention patterns did, chooses its first token."""
    address.check(state.INPUT, sorted({place.example for place in known}))
    example = st.query_params.get(state.INPUT)
    if example is None:
        return
    first = next((place for place in known if str(place.example) == example), None)
    readout = {state.READOUT: first.label} if first and state.READOUT not in st.query_params else {}
    address.write({state.INPUT: None, **readout})


def chosen_example(sides: Sides) -> int | None:
    """The example of the place that the reader chooses here; None where the models have no lens in common."""
    if lacking(sides.runs, ["lens"]):
        return None
    chosen = choose_place(sides)
    return chosen["arm"].example if chosen else None
