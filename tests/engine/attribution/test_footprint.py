"""What attribution is said to hold is what it holds."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, PreTrainedModel

from engine.attribution import edge_scores
from engine.attribution.contraction import contract
from engine.attribution.edge_scores import attribute
from engine.attribution.footprint import BUFFER, PATTERNS, footprint, row_named, token_bytes
from engine.attribution.path_gradients import ActivationDifference, Path
from engine.circuits.graph import Graph
from engine.models.architecture import Shape
from engine.models.fast_model import embed, hidden
from engine.models.model import wrap
from engine.training.word_tokenizer import build_tokenizer
from tests import tiny

LLAMA = Shape(layers=3, heads=8, kv_heads=2, d_head=16, d_model=128, mlp=352, vocabulary=61, tied=False)
GPT2 = Shape(layers=3, heads=8, kv_heads=8, d_head=16, d_model=128, mlp=512, vocabulary=61, tied=True, gated=False)


def hf_model(shape: Shape) -> PreTrainedModel:
    if not shape.gated:
        return GPT2LMHeadModel(GPT2Config(vocab_size=61, n_embd=128, n_layer=3, n_head=8, n_positions=64)).eval()
    config = LlamaConfig(
        vocab_size=61,
        hidden_size=128,
        intermediate_size=352,
        num_hidden_layers=3,
        num_attention_heads=8,
        num_key_value_heads=2,
    )
    return LlamaForCausalLM(config).eval()


@pytest.mark.parametrize("shape", [LLAMA, GPT2], ids=["llama", "gpt2"])
def test_parts_are_what_is_kept(shape: Shape, monkeypatch: pytest.MonkeyPatch) -> None:
    model = wrap(hf_model(shape).requires_grad_(False), build_tokenizer(), causal=True)
    rows = tiny.rows_of(model, tiny.random_examples(12, lengths=(20,), answer=2))
    length = len(rows[0].clean)
    predicted = footprint(shape, len(rows) * length, length, "float32", "cpu", points=3)
    kept: dict[str, int] = {}

    def watched(*args: object) -> Tensor:
        difference, path = args[2], args[3]
        assert isinstance(difference, ActivationDifference) and isinstance(path, Path)
        points = [x for layer in path.residuals for x in layer]
        kept["sums"] = held([*points, *path.heads.values(), *path.mlps.values(), *path.logits.values()])
        # Neurons' differences are let go before the contraction; the path's two ends are not told to it.
        written = held([difference.embedding, *difference.heads.values(), *difference.mlps.values()])
        neurons, ends = len(rows) * length * shape.layers * shape.mlp * 4, 2 * difference.embedding.nbytes
        kept["differences"] = written + neurons + ends
        return contract(*args)  # type: ignore[arg-type]

    monkeypatch.setattr(edge_scores, "contract", watched)
    attribute(model, rows, 12, points=3)
    assert kept["sums"] == pytest.approx(predicted.sums, rel=0.1)
    assert kept["differences"] == pytest.approx(predicted.differences, rel=0.1)
    ids = torch.tensor([row.clean for row in rows])
    passed = saved_by(
        lambda: hidden(model.plain, embed(model.plain, ids).requires_grad_(), model.attention_bias(ids > -1)),
        model.plain,
    )
    backward = 4 * len(rows) * length * shape.mlp * 4  # what the way back needs beside, a layer at a time
    assert passed == pytest.approx(predicted.activations - backward, rel=0.1)
    assert shape.parameters * 4 == pytest.approx(held(list(model.plain.parameters())), rel=0.05)


def held(tensors: list[Tensor]) -> int:
    """Bytes of the distinct storages behind tensors."""
    return sum({t.untyped_storage().data_ptr(): t.untyped_storage().nbytes() for t in tensors}.values())


def saved_by(forward: object, model: torch.nn.Module) -> int:
    """Bytes that a forward pass keeps for the backward pass, weights left out."""
    own = {p.untyped_storage().data_ptr() for p in model.parameters()}
    kept: list[Tensor] = []

    def pack(tensor: Tensor) -> Tensor:
        if tensor.untyped_storage().data_ptr() not in own:
            kept.append(tensor)
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        result = forward()  # type: ignore[operator]
    assert result.requires_grad
    return held(kept)


def test_the_larger_phase_counts_and_the_buffer_has_an_end() -> None:
    small, large = (footprint(LLAMA, tokens, 20, "bfloat16", "cpu") for tokens in (100, 100_000))
    assert small.buffer == 100 * token_bytes(Graph(3, 8), 128, 4) > small.activations + small.logits
    assert small.peak == small.weights + small.differences + small.sums + small.scores + small.buffer
    assert large.buffer == BUFFER["cpu"] < large.activations
    assert (
        large.peak - small.peak
        == 999 * (small.differences + small.sums) + large.activations + large.logits - small.buffer
    )


def test_long_inputs_need_more_for_a_token() -> None:
    """A layer's attention pattern grows with the square of the length; so does what is kept of every layer's."""
    short, long = (footprint(LLAMA, 4000, length, "bfloat16", "cpu") for length in (400, 4000))
    kept = 4000 * 3 * 8 * (4000 - 400) * 2
    at_once = 4000 * (PATTERNS * 8 * 4000 * 4 - max(PATTERNS * 8 * 400 * 4, 4 * 352 * 2))
    assert long.activations - short.activations == kept + at_once
    assert (long.sums, long.differences, long.scores) == (short.sums, short.differences, short.scores)


def test_a_row_is_named_by_number_length_and_beginning() -> None:
    assert row_named(3, 1204, "Who?") == "example 3, whose input has 1,204 tokens (Who?)"
    assert row_named(0, 9, "a\nb " * 40) == f"example 0, whose input has 9 tokens ({('a b ' * 40)[:59]} ...)"
