"""Whether a run's numbers are numbers: NaN and infinities end it with a sentence, and nothing is stored.

1. Logits, scores and matrices are looked at where they are made (`refuse_unsound`), so that a bad run ends early and
   no library is given what it cannot bear: LAPACK ends the process on NaN.
2. Every table is looked through before a run is returned (`refuse_unsound_tables`).
3. `blamed` says whose numbers they are, and which weight is at fault.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from engine.errors import UserError
from engine.models.model import Model
from engine.runs.spec import RunSpec
from engine.schema.tables import NULLABLE


class Unsound(UserError):
    """Numbers that are none; the text says which, as in "its logits hold NaN"."""


def refuse_unsound(values: Tensor, what: str) -> None:
    """`what` names the values, as in "its logits".

    Raises:
        Unsound: some of them are NaN or infinite.
    """
    if not bool(torch.isfinite(values).all()):
        raise Unsound(f"{what} hold {_none_of(values)}")


def refuse_unsound_tables(tables: Mapping[str, pa.Table]) -> None:
    """Raises Unsound where a table holds NaN or an infinite number, or lacks a number that has to be there."""
    for name, table in tables.items():
        for column in table.column_names:
            values = table[column]
            while pa.types.is_list(values.type):
                values = pc.list_flatten(values)
            if not pa.types.is_floating(values.type):
                continue
            if not pc.all(pc.is_finite(values), min_count=0).as_py():
                raise Unsound(f"the column {column} of its table {name} holds NaN or infinite numbers")
            if values.null_count and (name, column) not in NULLABLE:
                raise Unsound(f"the column {column} of its table {name} lacks numbers")


@contextmanager
def blamed(spec: RunSpec, model: Model) -> Iterator[None]:
    """Let a refusal of numbers name the model of a spec, and the weight at fault where one can be found."""
    try:
        yield
    except Unsound as error:
        whose = f"{titled(spec)} gives no sound numbers: {error}."
        raise UserError(f"{whose} {_cause(model)} Nothing is stored.") from error


def titled(spec: RunSpec) -> str:
    """A spec's model, as the beginning of a sentence."""
    side = "ARM" if spec.is_arm else "step-0 control" if spec.is_control else "MDM"
    after = f" after {int(spec.model[5:]):,} steps" if spec.model.startswith("step:") else ""
    return f"The {side} of the pair {spec.pair}{after}"


def _cause(model: Model) -> str:
    """A sentence about what in the model is at fault, as far as its weights tell."""
    for name, weight in model.plain.named_parameters():
        if not bool(torch.isfinite(weight).all()):
            return f"Its weight {name} holds {_none_of(weight)}: get its files again, or name another model."
    for name, values in model.plain.named_buffers():
        if not bool(torch.isfinite(values).all()):
            return f"Its {name}, which config.json settles, holds {_none_of(values)}: correct config.json."
    return (
        "All its weights are numbers, so config.json may say something that the model was not trained with, or numbers "
        "grow beyond what the precision holds."
    )


def _none_of(values: Tensor) -> str:
    """What numbers that are not finite are."""
    kinds = {"NaN": torch.isnan(values), "infinite numbers": torch.isinf(values)}
    return " and ".join(kind for kind, found in kinds.items() if bool(found.any()))
