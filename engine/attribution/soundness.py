"""Refuse NaN and infinite numbers: they end a run with a sentence, and nothing is stored.

1. Logits, scores and matrices are checked where they are made (`refuse_unsound`), so that a bad run ends early and
   no library is given what it cannot handle: LAPACK ends the process on NaN.
2. Every table is checked before a run is returned (`refuse_unsound_tables`).
"""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa
import pyarrow.compute as pc
import torch
from torch import Tensor

from engine.errors import UserError
from engine.schema.tables import NULLABLE


class Unsound(UserError):
    """NaN or infinite numbers; the text says which, as in "its logits hold NaN"."""


def refuse_unsound(values: Tensor, what: str) -> None:
    """Check `values` [...]; `what` names them, as in "its logits".

    Raises:
        Unsound: some of them are NaN or infinite.
    """
    if not bool(torch.isfinite(values).all()):
        raise Unsound(f"{what} hold {kinds_of_unsound(values)}")


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


def kinds_of_unsound(values: Tensor) -> str:
    """The kinds of the numbers in `values` [...] that are not finite, as in "NaN and infinite numbers"."""
    kinds = {"NaN": torch.isnan(values), "infinite numbers": torch.isinf(values)}
    return " and ".join(kind for kind, flags in kinds.items() if bool(flags.any()))
