"""The columns of `neurons` that depend on the weights alone: what a neuron writes, and how far it was turned.

Words come from engine/inspection/neuron_directions.py, cosines from engine/inspection/neuron_cosines.py. Those of
`heads` are in engine/inspection/head_scores.py.
"""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import torch
from numpy.typing import NDArray

from engine.inspection.neuron_cosines import Cosines
from engine.inspection.neuron_directions import output_tokens, token_texts, unembedding_vectors
from engine.inspection.neurons import neuron_numbers
from engine.models.model import Model
from engine.schema import arrow
from engine.schema.list_columns import lists, word_lists


def neuron_weights_table(model: Model, cosines: Cosines | None) -> pa.Table:
    """A row for every neuron; `cosines` against the ARM's weights, None for the ARM itself."""
    unembeddings = unembedding_vectors(model)
    sides = [output_tokens(model, layer, unembeddings) for layer in range(model.graph.n_layers)]
    rows = {
        name: torch.cat([getattr(side, name) for side in sides]).cpu().numpy()
        for name in ("promoted", "promoted_logits", "suppressed", "suppressed_logits")
    }
    width, words = len(sides[0].promoted), token_texts(model)
    turned = (None, None, None) if cosines is None else (cosines.into, cosines.gate, cosines.out)
    return arrow.table(
        "neurons",
        {
            **neuron_numbers(len(sides), width),
            **{name: word_lists(rows[name], words) for name in ("promoted", "suppressed")},
            **{f"{name}_logit": lists(rows[f"{name}_logits"]) for name in ("promoted", "suppressed")},
            **{
                name: _nullable(values, len(sides) * width)
                for name, values in zip(("cos_in", "cos_gate", "cos_out"), turned, strict=True)
            },
        },
        "weights",
    )


def _nullable(values: NDArray[np.float32] | None, rows: int) -> pa.Array:
    return pa.nulls(rows, pa.float32()) if values is None else pa.array(values.ravel(), pa.float32())
