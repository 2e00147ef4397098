"""The step-0 control: an ARM's own weights, read as its MDM is (METHOD, "Step-0 control").

All that the ARM can lack for that are embedding rows of tokens that only the MDM has, above all the mask. They are
taken from the MDM's files; everything else is the ARM's, and the logits of its own tokens stay what they were.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from engine.errors import UserError
from engine.models.hub import weight_files
from engine.models.model_files import EMBEDDINGS

if TYPE_CHECKING:
    from transformers import PreTrainedModel

UNEMBEDDING = ("lm_head.weight",)


def add_missing_rows(model: PreTrainedModel, mdm: Path, wanted: int) -> int:
    """Append the rows that the MDM in a folder has beyond a model's own, where the model has fewer than `wanted`.

    Returns how many were appended. The model's embedding and unembedding stay tied where they are.

    Raises:
        UserError: the MDM's rows are of another width, or not finite.
    """
    embedding: Any = model.get_input_embeddings()
    unembedding: Any = model.get_output_embeddings()
    have, width = embedding.weight.shape
    if wanted <= have:
        return 0
    tied = unembedding.weight is embedding.weight
    rows = _rows_beyond(mdm, EMBEDDINGS, have, width)
    if rows is None:
        return 0  # the MDM has no more of them: whoever needs one says so
    _append(embedding, rows)
    if tied:
        unembedding.weight = embedding.weight
    else:
        out = _rows_beyond(mdm, UNEMBEDDING, have, width)
        _append(unembedding, rows if out is None else out)
    embedding.num_embeddings = unembedding.out_features = model.config.vocab_size = have + len(rows)
    return len(rows)


def _rows_beyond(folder: Path, names: tuple[str, ...], start: int, width: int) -> Tensor | None:
    """[row, d_model] from row `start` on of the matrix whose key ends in one of `names`; None where there are none."""
    from safetensors import safe_open

    for path in weight_files(folder):
        with safe_open(path, "pt") as file:
            for key in file.keys():  # noqa: SIM118 - not a dictionary
                if not key.endswith(names):
                    continue
                stored = file.get_slice(key)
                rows, columns = stored.get_shape()
                if columns != width:
                    raise UserError(
                        f"{key} of the MDM in {folder} is {columns} wide, the ARM's embedding {width}: the ARM cannot "
                        "be read with the MDM's mask. Name the ARM that the MDM was post-trained from."
                    )
                if rows <= start:
                    return None
                beyond: Tensor = stored[start:]
                if not torch.isfinite(beyond).all():
                    raise UserError(f"{key} of the MDM in {folder} holds numbers that are not finite.")
                return beyond
    return None


def _append(module: Any, rows: Tensor) -> None:
    """Let the weight [row, d_model] of an embedding or a linear layer go on with `rows`."""
    own: Tensor = module.weight.data
    module.weight = nn.Parameter(torch.cat([own, rows.to(own)]), requires_grad=False)
