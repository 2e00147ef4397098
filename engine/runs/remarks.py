"""Warn about runs whose numbers say little (METHOD, "Numbers that say little").

`refuse_unranked` ends a run whose scores rank nothing. `remarks` are sentences that stay with a run and are shown
wherever it is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from torch import Tensor

from engine.attribution.edge_scores import Attribution
from engine.attribution.sites import AttributionInput
from engine.errors import UserError
from engine.evidence.faithfulness import ROUNDING, Ends, ends_of
from engine.models.model import Model
from engine.runs.refusals import titled
from engine.runs.spec import RunSpec
from engine.schema.vocabulary import HALVES, TOTAL


def rounding_level(attribution: Attribution) -> float:
    """Up to here an example's score may be a rounding error.

    The gradient of a metric by a logit is computed to float32's precision of 1, and the size of the metric tells how
    far logits change: the mean over examples of the larger of |m(clean)| and |m(corrupted)|, at least 1.
    """
    return _ends(attribution).rounding


def refuse_unranked(spec: RunSpec, model: Model, rows: Sequence[AttributionInput], total: Tensor) -> None:
    """`total` [source, destination]: the scores of all edges.

    Raises:
        UserError: every score is exactly zero, so that there is no order of edges and no circuit.
    """
    if bool(total.any()):
        return
    raise UserError(
        f"All edge scores of {_inside(titled(spec))} on {spec.task} are exactly zero, so that they rank no edge above "
        f"another and there is no circuit. {_why_zero(model, rows)} Nothing is stored."
    )


def remarks(attribution: Attribution, parts: Mapping[str, Tensor], rows: Sequence[AttributionInput]) -> tuple[str, ...]:
    """Sentences about a run of these rows; `parts`: mean scores [source, destination] by part, of the metric."""
    sentences = [
        _one_example(attribution),
        _same_inputs(rows),
        _close_metrics(attribution),
        _small_scores(attribution, parts[TOTAL]),
        _cancelled_scores(attribution),
        _unranked_parts(attribution, parts),
    ]
    return tuple(remark for remark in sentences if remark)


def _one_example(attribution: Attribution) -> str | None:
    if len(attribution.metric_clean) > 1:
        return None
    return "It is of one example only: there are no halves to compare, and no intervals."


def _same_inputs(rows: Sequence[AttributionInput]) -> str | None:
    same = sum(row.clean == row.corrupt for row in rows)
    if not same:
        return None
    return (
        f"{same} of its {len(rows)} inputs are the same in the clean and the corrupted run: nothing can be explained "
        "there, and they make all scores smaller."
    )


def _close_metrics(attribution: Attribution) -> str | None:
    ends = _ends(attribution)
    if not ends.close:
        return None
    return (
        f"The metric is nearly the same on clean and on corrupted prompts ({ends.full:.3g} and "
        f"{ends.corrupted:.3g}; its standard deviation over examples is {ends.spread:.3g}): there is hardly a "
        "difference that a circuit could explain."
    )


def _ends(attribution: Attribution) -> Ends:
    return ends_of(attribution.metric_clean.numpy(), attribution.metric_corrupt.numpy())


def _small_scores(attribution: Attribution, total: Tensor) -> str | None:
    largest, level = float(total.abs().max()), rounding_level(attribution)
    if largest > level:
        return None
    return (
        f"Its largest score, {largest:.1e}, is no larger than rounding errors may be ({level:.1e}): the order of its "
        "edges means nothing."
    )


def _cancelled_scores(attribution: Attribution) -> str | None:
    """Where the examples' scores are large and their mean is rounding."""
    largest = float(attribution.total.abs().max())
    single = float(attribution.blocks.abs().sum(0).max())
    if largest > ROUNDING * single:
        return None
    return (
        "The scores of its examples cancel each other down to rounding errors, as those of contradictory prompts do: "
        "the order of its edges means nothing."
    )


def _unranked_parts(attribution: Attribution, parts: Mapping[str, Tensor]) -> str | None:
    level = rounding_level(attribution)
    left_out = {TOTAL} | ({HALVES[1]} if len(attribution.metric_clean) == 1 else set())
    unranked = [name for name, scores in parts.items() if name not in left_out and float(scores.abs().max()) <= level]
    if not unranked or float(parts[TOTAL].abs().max()) <= level:
        return None
    named = ", ".join(unranked[:5]) + (f" and {len(unranked) - 5} more" if len(unranked) > 5 else "")
    return (
        f"Scores of these parts are zero or no larger than rounding errors, so that their order means nothing: {named}."
    )


def _why_zero(model: Model, rows: Sequence[AttributionInput]) -> str:
    """What all scores being zero comes from, as far as inputs and weights tell."""
    if all(row.clean == row.corrupt for row in rows):
        return "Its clean and corrupted inputs are the same: choose prompts that differ."
    weights = model.plain.named_parameters()
    empty = next((name for name, weight in weights if weight.ndim > 1 and not weight.any()), None)
    if empty:
        return f"Its weight {empty} is all zeros: get its files again, or name another model."
    return (
        "Its metric does not depend on what differs between the clean and the corrupted inputs, or less than its "
        "precision can tell."
    )


def _inside(title: str) -> str:
    """A title in the middle of a sentence."""
    return title[0].lower() + title[1:]
