"""What neurons write: words and logits of their directions, and cosines, as columns."""

from __future__ import annotations

import numpy as np
import pytest

from engine.inspection import neuron_directions
from engine.inspection.neuron_cosines import Cosines
from engine.inspection.neuron_weights import neuron_weights_table
from engine.schema.arrow import arrow_schema
from tests import tiny

WIDTH = 48


@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
def test_words_are_those_of_the_neurons_directions(architecture: str) -> None:
    model = tiny.model(architecture, causal=True)
    words = model.tokenizer.convert_ids_to_tokens(list(range(tiny.VOCAB)))
    unembeddings = neuron_directions.unembedding_vectors(model)
    outputs = [neuron_directions.output_tokens(model, layer, unembeddings) for layer in range(2)]
    table, width = neuron_weights_table(model, None), len(outputs[0].promoted)
    assert table.schema == arrow_schema("neurons", "weights")
    rows = table.to_pylist()
    assert [(row["layer"], row["neuron"]) for row in rows] == [(layer, j) for layer in range(2) for j in range(width)]
    for row in rows:
        tokens, neuron = outputs[row["layer"]], row["neuron"]
        assert row["promoted"] == [words[i] for i in tokens.promoted[neuron]]
        assert row["suppressed"] == [words[i] for i in tokens.suppressed[neuron]]
        assert row["promoted_logit"] == pytest.approx(tokens.promoted_logits[neuron].tolist(), rel=1e-5)
        assert row["suppressed_logit"] == pytest.approx(tokens.suppressed_logits[neuron].tolist(), rel=1e-5)


def test_cosines_become_columns_and_nulls_where_there_are_none() -> None:
    model = tiny.model("llama", causal=False)
    names = ("cos_in", "cos_gate", "cos_out")
    assert all(neuron_weights_table(model, None)[name].null_count == 2 * WIDTH for name in names)
    values = np.arange(2 * WIDTH, dtype=np.float32).reshape(2, WIDTH)
    table = neuron_weights_table(model, Cosines(values, None, -values))
    assert table["cos_in"].to_pylist() == values.ravel().tolist()
    assert table["cos_out"].to_pylist() == (-values).ravel().tolist()
    assert table["cos_gate"].null_count == table.num_rows
