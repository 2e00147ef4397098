"""The detailed neurons against numpy on the raw activations of every input run alone, their words on the weights."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest
import torch

from engine.attribution.edge_scores import Attribution, attribute
from engine.inspection import neuron_detail, neuron_directions, observers, token_vectors
from engine.inspection.neuron_detail import (
    Strongest,
    Traces,
    detail_table,
    neuron_attribution_table,
    strongest_neurons,
)
from engine.inspection.observers import Input, detailed_inputs, inputs_of, survey
from engine.models.model import Model
from tests import tiny

EXAMPLES = 7
LENGTHS = (5, 9, 7)  # of prompts, so that batches are padded
LAYERS = 2
Rows = list[dict[str, Any]]


@dataclass
class Study:
    model: Model
    inputs: list[Input]
    stored: list[int]
    attribution: Attribution
    chosen: torch.Tensor  # [layer, k]
    neurons: Rows
    detail: Rows
    tokens: Rows

    def raw(self, number: int, layer: int, hook: str) -> np.ndarray:
        """[pos, neuron] when the input runs alone, without padding."""
        return tiny.recorded(self.model, self.inputs[number].ids, f"blocks.{layer}.mlp.{hook}")


@cache
def study(architecture: str, causal: bool) -> Study:
    """The tables of a tiny model, from several padded batches; 20 detailed neurons a layer."""
    model, examples = tiny.model(architecture, causal), tiny.random_examples(EXAMPLES, lengths=LENGTHS)
    rows = tiny.rows_of(model, examples)
    inputs = inputs_of(rows, examples)
    stored = detailed_inputs(inputs)
    attribution = attribute(model, rows, EXAMPLES, points=1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(observers, "TOKENS", 40)
        patch.setattr(neuron_detail, "DETAILED_NEURONS", 40)
        patch.setattr(neuron_detail, "DETAILED_OF_LAYER", 20)
        patch.setattr(token_vectors, "VALUES_AT_ONCE", 7 * tiny.VOCAB)
        chosen = strongest_neurons(attribution)
        strongest, traces = Strongest(model, inputs, chosen), Traces(model, stored, chosen)
        survey(model, inputs, [strongest, traces])
        tables = (
            neuron_attribution_table(attribution, EXAMPLES),
            detail_table(model, chosen, strongest),
            traces.table(),
        )
    return Study(model, inputs, stored, attribution, chosen, *(table.to_pylist() for table in tables))


each = pytest.mark.parametrize("causal", [True, False], ids=["arm", "mdm"])
everyone = pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)


@each
def test_attributions_are_means_over_all_and_over_half_the_examples(causal: bool) -> None:
    s = study("llama", causal)
    even, odd = (half.ravel().numpy() for half in s.attribution.neurons)
    np.testing.assert_allclose([row["attribution"] for row in s.neurons], (even + odd) / 7, rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose([row["half_a"] for row in s.neurons], even / 4, rtol=1e-5, atol=1e-9)
    np.testing.assert_allclose([row["half_b"] for row in s.neurons], odd / 3, rtol=1e-5, atol=1e-9)


def test_detail_is_kept_for_the_neurons_with_the_largest_attribution() -> None:
    s = study("llama", causal=True)
    scores = s.attribution.neurons.sum(0).abs().numpy()
    for layer in range(LAYERS):
        expected = sorted(np.argsort(-scores[layer])[:20].tolist())
        assert [row["neuron"] for row in s.detail if row["layer"] == layer] == expected


def test_how_many_neurons_are_detailed() -> None:
    def count(layers: int, width: int) -> int:
        empty = torch.zeros(1)
        return strongest_neurons(Attribution({}, empty, torch.zeros(2, layers, width), empty, empty)).shape[1]

    assert count(28, 18944) == 146  # 4096 // 28
    assert count(80, 18944) == 64  # never fewer
    assert count(6, 512) == 512  # all, when fewer


@each
@everyone
def test_strongest_examples_are_the_five_largest_maxima(architecture: str, causal: bool) -> None:
    s = study(architecture, causal)
    for layer in range(LAYERS):
        values = [s.raw(number, layer, "hook_post") for number in range(len(s.inputs))]
        for row in (row for row in s.detail if row["layer"] == layer):
            j = row["neuron"]
            best: dict[int, float] = {}
            for item, value in zip(s.inputs, values, strict=True):
                best[item.example] = max(best.get(item.example, -np.inf), value[:, j].max())
            expected = sorted(best, key=lambda example: -best[example])[:5]
            assert row["top_input_example"] == expected
            np.testing.assert_allclose(row["top_value"], [best[example] for example in expected], rtol=1e-4, atol=1e-5)
            for example, part, position, value in zip(
                row["top_input_example"], row["top_part"], row["top_position"], row["top_value"], strict=True
            ):
                there = next(i for i, item in enumerate(s.inputs) if (item.example, item.part) == (example, part))
                assert values[there][position, j] == pytest.approx(value, rel=1e-4, abs=1e-5)


def test_fewer_examples_than_five_give_shorter_lists() -> None:
    model, examples = tiny.model("llama", causal=False), tiny.random_examples(2)
    inputs = inputs_of(tiny.rows_of(model, examples), examples)
    strongest = Strongest(model, inputs, torch.tensor([[3], [4]]))
    survey(model, inputs, [strongest])
    assert [sorted(examples) for examples in strongest.columns()["top_input_example"].to_pylist()] == [[0, 1], [0, 1]]


@each
@everyone
def test_traces_are_the_raw_values_of_every_real_token(architecture: str, causal: bool) -> None:
    s = study(architecture, causal)
    expected = [
        (number, layer, j)
        for number in range(len(s.stored))
        for layer in range(LAYERS)
        for j in s.chosen[layer].tolist()
    ]
    assert [(row["input"], row["layer"], row["neuron"]) for row in s.tokens] == expected
    hooks = {"activations": "hook_post", "gates": "hook_pre", "ups": "hook_pre_linear"}
    for number, place in enumerate(s.stored):
        for layer in range(LAYERS):
            mine = [row for row in s.tokens if row["input"] == number and row["layer"] == layer]
            for column, hook in hooks.items():
                values = [row[column] for row in mine]
                if column == "ups" and architecture == "gpt2":
                    assert values == [[]] * len(mine)
                else:
                    raw = s.raw(place, layer, hook)[:, s.chosen[layer]].T
                    np.testing.assert_allclose(values, raw, rtol=1e-4, atol=1e-5)
    if architecture != "gpt2":
        row = s.tokens[-1]
        gates = torch.tensor(row["gates"])
        written = torch.nn.functional.silu(gates) * torch.tensor(row["ups"])
        torch.testing.assert_close(written, torch.tensor(row["activations"]), rtol=1e-4, atol=1e-5)


@everyone
def test_words_are_those_of_the_neurons_directions(architecture: str) -> None:
    s = study(architecture, causal=True)
    words = s.model.tokenizer.convert_ids_to_tokens(list(range(tiny.VOCAB)))
    embeddings = neuron_directions.embedding_directions(s.model)
    for row in s.detail:
        inputs = neuron_directions.input_tokens(s.model, row["layer"], torch.tensor([row["neuron"]]), embeddings)
        for side, nearest in (("gate", inputs.gate), ("up", inputs.up)):
            assert row[f"{side}_tokens"] == ([] if nearest is None else [words[i] for i in nearest.tokens[0]])
            cosines = [] if nearest is None else nearest.cosines[0].tolist()
            assert row[f"{side}_cosine"] == pytest.approx(cosines, rel=1e-4)
