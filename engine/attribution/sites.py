"""The inputs that an attribution runs, each with the sites that are read from it (METHOD).

A row is one clean and one corrupted input of equal length with the sites read from it. The ARM gets one row per
site of the teacher-forced pass; the MDM one row per denoising step that reveals a site. Every site of an example has
the same weight, whichever model, so that rows of an example sum to its metric.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from engine.models.decoding import Order
from engine.models.encoding import Encoded, Ids
from engine.models.model import Model
from engine.schema.vocabulary import site_part, step_part


@dataclass(frozen=True)
class Site:
    """Logits at position `read` predict the token at `target`; `right` against `wrong` is the contrast."""

    read: int
    target: int
    right: Ids
    wrong: Ids


@dataclass(frozen=True)
class AttributionInput:
    """`weight` is 1 / (sites of the example): the metric of a row is weight * sum over its sites."""

    example: int
    part: str
    clean: Ids
    corrupt: Ids
    sites: tuple[Site, ...]
    weight: float


def arm_inputs(model: Model, examples: Sequence[Encoded]) -> list[AttributionInput]:
    """One row per site: prompt + answer, clean and corrupted, read just before the site."""
    return [
        AttributionInput(
            example=i,
            part=site_part(t),
            clean=e.prompt + e.answer,
            corrupt=e.corrupt_prompt + e.corrupt_answer,
            sites=(_site(model, e, t),),
            weight=1 / len(e.contrasts),
        )
        for i, e in enumerate(examples)
        for t in e.contrasts
    ]


def mdm_inputs(model: Model, examples: Sequence[Encoded], orders: Sequence[Order]) -> list[AttributionInput]:
    """One row per denoising step that reveals at least one site.

    At step s the answer positions of earlier steps are visible, with the clean answer's tokens in the clean input and
    the corrupted answer's in the corrupted one; all others are masked.
    """
    rows = []
    for i, (e, order) in enumerate(zip(examples, orders, strict=True)):
        visible: set[int] = set()
        for step, revealed in enumerate(order):
            sites = tuple(_site(model, e, t) for t in revealed if t in e.contrasts)
            if sites:
                clean = e.prompt + masked_answer(model, e.answer, visible)
                corrupt = e.corrupt_prompt + masked_answer(model, e.corrupt_answer, visible)
                rows.append(AttributionInput(i, step_part(step), clean, corrupt, sites, 1 / len(e.contrasts)))
            visible |= set(revealed)
    return rows


def up_to_reads(row: AttributionInput) -> AttributionInput:
    """The row without the tokens after the last that is read, on which a causal model's logits there do not depend."""
    end = max(site.read for site in row.sites) + 1
    return replace(row, clean=row.clean[:end], corrupt=row.corrupt[:end])


def _site(model: Model, e: Encoded, t: int) -> Site:
    target = e.start + t
    right, wrong = (e.right, e.wrong) if e.right else ((e.answer[t],), (e.corrupt_answer[t],))
    return Site(model.read_position(target), target, right, wrong)


def masked_answer(model: Model, answer: Ids, visible: set[int]) -> Ids:
    """An answer of which only the indices in `visible` are shown."""
    if model.mask_id is None:
        raise ValueError("an MDM needs a mask token")
    return tuple(token if t in visible else model.mask_id for t, token in enumerate(answer))
