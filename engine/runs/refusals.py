"""Refuse a run whose numbers are NaN or infinite, with a message that names the model and the weight at fault."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch

from engine.attribution.soundness import Unsound, kinds_of_unsound
from engine.errors import UserError
from engine.models.model import Model
from engine.models.pair import model_title
from engine.runs.spec import RunSpec


@contextmanager
def blamed(spec: RunSpec, model: Model) -> Iterator[None]:
    """Turn Unsound into a UserError that names the model of a spec, and the weight at fault where one is known."""
    try:
        yield
    except Unsound as error:
        whose = f"{titled(spec)} gives no sound numbers: {error}."
        raise UserError(f"{whose} {_cause(model)} Nothing is stored.") from error


def titled(spec: RunSpec) -> str:
    """A spec's model, as the beginning of a sentence."""
    return f"The {model_title(spec.model)} of the pair {spec.pair}"


def _cause(model: Model) -> str:
    """A sentence about what in the model is at fault, as far as its weights tell."""
    for name, weight in model.plain.named_parameters():
        if not bool(torch.isfinite(weight).all()):
            return f"Its weight {name} holds {kinds_of_unsound(weight)}: get its files again, or name another model."
    for name, values in model.plain.named_buffers():
        if not bool(torch.isfinite(values).all()):
            return f"Its {name}, which config.json settles, holds {kinds_of_unsound(values)}: correct config.json."
    return (
        "All its weights are numbers, so config.json may say something that the model was not trained with, or numbers "
        "grow beyond what the precision holds."
    )
