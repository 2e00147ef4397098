"""Read the logit lens of answer positions: what each layer would predict there, and from where on it is right.

Layer 0 is the embedding, layer i the residual stream after i blocks.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Columns = Mapping[str, NDArray[Any]]


@dataclass(frozen=True)
class AnswerLens:
    """The lens at one masked answer position: an entry for each of [n_layers + 1], the embedding first."""

    tokens: tuple[str, ...]  # the most probable one
    probability: NDArray[np.float32]  # its probability, 0 .. 1
    answer: NDArray[np.float32]  # the right answer's probability, 0 .. 1
    rank: NDArray[np.int32]  # the right answer's rank, 0 = most probable


def lens_by_position(columns: Columns) -> dict[tuple[int, int], AnswerLens]:
    """(denoising step, answer position) -> its lens, from the columns [row] of `position_lens` for one example."""
    if not len(columns["target"]):
        return {}
    start = int(columns["target"].min())  # at step 0 every answer position is masked
    order = np.lexsort((columns["layer"], columns["target"], columns["step"]))
    places = list(zip(columns["step"][order].tolist(), (columns["target"][order] - start).tolist(), strict=True))
    rows: dict[tuple[int, int], list[int]] = {}
    for place, row in zip(places, order.tolist(), strict=True):
        rows.setdefault(place, []).append(row)
    return {place: _lens_of(columns, at) for place, at in rows.items()}


def at_step(lenses: Mapping[tuple[int, int], AnswerLens], step: int) -> dict[int, AnswerLens]:
    """Answer position -> its lens at a denoising step; positions that are not masked any more have none."""
    return {position: lens for (s, position), lens in lenses.items() if s == step}


def readable_from(rank: NDArray[np.int32]) -> int | None:
    """The layer from which on the answer stays the top token, from its rank [layer]; None when it never is."""
    wrong = np.flatnonzero(rank != 0)
    first = int(wrong[-1]) + 1 if len(wrong) else 0
    return first if first < len(rank) else None


def _lens_of(columns: Columns, rows: Sequence[int]) -> AnswerLens:
    return AnswerLens(
        tuple(str(token) for token in columns["token"][rows]),
        np.asarray(columns["probability"][rows], np.float32),
        np.asarray(columns["answer_probability"][rows], np.float32),
        np.asarray(columns["answer_rank"][rows], np.int32),
    )
