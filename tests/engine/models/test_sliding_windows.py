"""Sliding windows of attention against transformers' own logits, in every way that a model runs here."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from transformers import (
    MistralConfig,
    MistralForCausalLM,
    PreTrainedModel,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3Config,
    Qwen3ForCausalLM,
)

from engine.errors import UserError
from engine.models.batching import padded
from engine.models.decoding import decode
from engine.models.fast_model import embed, hidden, output_logits
from engine.models.model import Model, wrap
from engine.training.word_tokenizer import MASK, build_tokenizer
from tests.tiny import HEADS, SHARED, VOCAB

WINDOW, LAYERS = 4, {**SHARED, **HEADS, "num_hidden_layers": 3}
MIXED = ["sliding_attention", "full_attention", "sliding_attention"]
MODELS: dict[str, tuple[Callable[[], PreTrainedModel], tuple[int | None, ...]]] = {
    "mistral": (
        lambda: MistralForCausalLM(MistralConfig(**LAYERS, sliding_window=WINDOW)),
        (WINDOW, WINDOW, WINDOW),
    ),
    "mistral without": (lambda: MistralForCausalLM(MistralConfig(**LAYERS, sliding_window=None)), (None, None, None)),
    "qwen2": (
        lambda: Qwen2ForCausalLM(
            Qwen2Config(**LAYERS, sliding_window=WINDOW, use_sliding_window=True, max_window_layers=1)
        ),
        (None, WINDOW, WINDOW),
    ),
    "qwen2 unused": (lambda: Qwen2ForCausalLM(Qwen2Config(**LAYERS, sliding_window=WINDOW)), (None, None, None)),
    "qwen3": (
        lambda: Qwen3ForCausalLM(
            Qwen3Config(**LAYERS, head_dim=12, sliding_window=3, use_sliding_window=True, layer_types=MIXED)
        ),
        (3, None, 3),
    ),
}


def random_model(kind: str) -> PreTrainedModel:
    torch.manual_seed(0)
    model = MODELS[kind][0]()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.15 * torch.randn_like(parameter))
    return model.eval().requires_grad_(False)


def wrapped(kind: str, causal: bool = True) -> Model:
    model = random_model(kind)
    model.config.is_causal = causal
    return wrap(model, build_tokenizer(), causal=causal, mask_token=MASK)


def random_ids(length: int) -> torch.Tensor:
    return torch.randint(4, VOCAB, (1, length), generator=torch.Generator().manual_seed(length))


@pytest.mark.parametrize("length", [1, WINDOW - 1, WINDOW, WINDOW + 1, 13])
@pytest.mark.parametrize("kind", MODELS)
def test_logits_are_transformers_own(kind: str, length: int) -> None:
    """In the bridge, in the plain model, and with padding behind."""
    ids = random_ids(length)
    expected, model = random_model(kind)(ids).logits, wrapped(kind)
    assert model.windows == MODELS[kind][1]
    bias = model.attention_bias(torch.ones_like(ids, dtype=torch.bool))
    plain = output_logits(model.plain, hidden(model.plain, embed(model.plain, ids), bias))
    longer, real = padded(model, [tuple(ids[0].tolist()), tuple(random_ids(length + 5)[0].tolist())])
    for logits in (model.logits(ids), plain, model.logits(longer, real)[:1, :length]):
        torch.testing.assert_close(logits, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", MODELS)
def test_answers_are_those_of_transformers_own_logits(kind: str) -> None:
    """Decoded with a cache, beyond the window."""
    ids, theirs = random_ids(WINDOW - 1), random_model(kind)
    (answer,) = decode(wrapped(kind), [tuple(ids[0].tolist())], 9, steps=9)
    for token in answer:
        assert int(theirs(ids).logits[0, -1].argmax()) == token
        ids = torch.cat([ids, torch.tensor([[token]])], 1)


def test_the_window_matters() -> None:
    """The example that was wrong: the same weights without their window."""
    ids, far = random_ids(13), random_model("mistral")
    near = far(ids).logits
    far.config.sliding_window = None
    assert (far(ids).logits - near).abs().max() > 0.1


def test_an_mdm_is_refused_where_an_input_is_longer_than_its_window() -> None:
    model = wrapped("mistral", causal=False)
    model.logits(random_ids(WINDOW))
    with pytest.raises(UserError, match=rf"has {WINDOW + 1} tokens.*sliding window of {WINDOW}.*both directions"):
        model.logits(random_ids(WINDOW + 1))
    wrapped("mistral without", causal=False).logits(random_ids(13))
