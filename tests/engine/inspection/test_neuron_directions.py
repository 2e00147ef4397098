"""Tokens that neurons read and write, against one neuron and one token at a time."""

from __future__ import annotations

import pytest
import torch
from torch.nn.functional import cosine_similarity

from engine.inspection import token_vectors
from engine.inspection.neuron_directions import (
    embedding_directions,
    input_tokens,
    output_tokens,
    token_texts,
    unembedding_vectors,
)
from engine.schema.vocabulary import NEURON_TOKENS
from tests import tiny

NEURONS = torch.tensor([0, 5, 17, 40])
architectures = pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)


@pytest.fixture(autouse=True)
def few_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Several chunks of neurons, the last one smaller."""
    monkeypatch.setattr(token_vectors, "VALUES_AT_ONCE", 7 * tiny.VOCAB)


@architectures
@pytest.mark.parametrize("layer", [0, 1])
def test_output_tokens_are_the_ends_of_the_output_direction(architecture: str, layer: int) -> None:
    """W_out[j] under the final norm's weight, centred where the norm centres, unembedded."""
    model = tiny.model(architecture, causal=True)
    weight = model.bridge.ln_final.original_component.weight
    ends = output_tokens(model, layer, unembedding_vectors(model))
    w_out = model.bridge.blocks[layer].mlp.W_out
    assert ends.promoted.shape == ends.suppressed.shape == (len(w_out), NEURON_TOKENS)
    for neuron, direction in enumerate(w_out):
        centred = direction - direction.mean() if architecture == "gpt2" else direction
        logits = (centred * weight) @ model.bridge.W_U
        order = logits.argsort(descending=True)
        assert torch.equal(ends.promoted[neuron], order[:NEURON_TOKENS])
        assert torch.equal(ends.suppressed[neuron], order.flip(0)[:NEURON_TOKENS])
        for tokens, values in (
            (ends.promoted, ends.promoted_logits),
            (ends.suppressed, ends.suppressed_logits),
        ):
            torch.testing.assert_close(values[neuron], logits[tokens[neuron]], rtol=1e-4, atol=1e-5)


@architectures
@pytest.mark.parametrize("layer", [0, 1])
def test_input_tokens_are_the_nearest_embeddings(architecture: str, layer: int) -> None:
    """Under the weight of the norm before the MLP; where it centres, directions and embeddings are centred."""
    model, gated = tiny.model(architecture, causal=True), architecture != "gpt2"
    block, embeddings = model.bridge.blocks[layer], model.bridge.W_E
    inputs = input_tokens(model, layer, NEURONS, embedding_directions(model))
    assert (inputs.up is not None) == gated
    sides = [(inputs.gate, block.mlp.W_gate), (inputs.up, block.mlp.W_in)] if gated else [(inputs.gate, block.mlp.W_in)]
    for nearest, weights in sides:
        assert nearest is not None and nearest.tokens.shape == (len(NEURONS), NEURON_TOKENS)
        for i, neuron in enumerate(NEURONS):
            direction = weights[:, neuron] * block.ln2.original_component.weight
            if not gated:
                direction = direction - direction.mean()
                embeddings = model.bridge.W_E - model.bridge.W_E.mean(1, keepdim=True)
            cosines = cosine_similarity(direction[None], embeddings)
            assert torch.equal(nearest.tokens[i], cosines.argsort(descending=True)[:NEURON_TOKENS])
            torch.testing.assert_close(nearest.cosines[i], cosines[nearest.tokens[i]], rtol=1e-4, atol=1e-5)


def test_a_neuron_that_writes_a_tokens_unembedding_promotes_it() -> None:
    model = tiny.model("llama", causal=True)
    weight, w_u = model.bridge.ln_final.original_component.weight, model.bridge.W_U
    token = int((w_u.norm(dim=0)).argmax())
    model.bridge.blocks[1].mlp.W_out[3] = w_u[:, token] / weight
    assert int(output_tokens(model, 1, unembedding_vectors(model)).promoted[3, 0]) == token


def test_a_neuron_that_reads_a_tokens_embedding_is_nearest_to_it() -> None:
    model = tiny.model("llama", causal=True)
    weight = model.bridge.blocks[0].ln2.original_component.weight
    model.bridge.blocks[0].mlp.W_gate[:, 2] = model.bridge.W_E[9] / weight
    gate = input_tokens(model, 0, torch.tensor([2]), embedding_directions(model)).gate
    assert int(gate.tokens[0, 0]) == 9 and float(gate.cosines[0, 0]) == pytest.approx(1)


def test_tokens_without_a_word_are_named_by_their_id(monkeypatch: pytest.MonkeyPatch) -> None:
    """Qwen2.5 has 399 more embeddings than tokens."""
    model = tiny.model("llama", causal=True)
    known = model.tokenizer.convert_ids_to_tokens
    monkeypatch.setattr(
        model.tokenizer, "convert_ids_to_tokens", lambda ids: [known(i) if i < tiny.VOCAB - 2 else None for i in ids]
    )
    assert token_texts(model).to_pylist()[-3:] == [known(tiny.VOCAB - 3), "<id 59>", "<id 60>"]
