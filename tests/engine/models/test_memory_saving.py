"""Modules that keep less for the backward pass compute the same, forwards and backwards."""

from __future__ import annotations

import copy

import pytest
import torch
from torch import Tensor, nn

from engine.models.memory_saving import save_memory
from tests import tiny

IDS = torch.tensor([[5, 9, 11, 30, 7, 12]])


def logits_and_gradient(model: nn.Module) -> tuple[Tensor, Tensor, int]:
    """Logits, the gradient at the embeddings, and how many bytes were kept for it besides weights."""
    kept: dict[int, int] = {}
    weights = {parameter.untyped_storage().data_ptr() for parameter in model.parameters()}

    def keep(tensor: Tensor) -> Tensor:
        storage = tensor.untyped_storage()
        if storage.data_ptr() not in weights:
            kept[storage.data_ptr()] = storage.nbytes()
        return tensor

    embedding = model.get_input_embeddings()(IDS).detach().requires_grad_()  # type: ignore[operator]
    with torch.autograd.graph.saved_tensors_hooks(keep, lambda tensor: tensor):
        logits = model(inputs_embeds=embedding, use_cache=False).logits
        size = sum(kept.values())
    (gradient,) = torch.autograd.grad(logits.square().sum(), embedding)
    return logits.detach(), gradient, size


@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
def test_logits_and_gradients_are_the_models_own_from_less_memory(architecture: str) -> None:
    plain = tiny.hf_model(architecture)
    saving = copy.deepcopy(plain)
    save_memory(saving)
    (expected, expected_gradient, before), (logits, gradient, after) = map(logits_and_gradient, (plain, saving))
    torch.testing.assert_close(logits, expected, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-4, atol=1e-3)
    if architecture == "gpt2":  # neither gated nor RMSNorm
        assert after == before and torch.equal(logits, expected)
    else:
        assert after < 0.95 * before


def test_norms_share_their_weight_and_keep_their_epsilon() -> None:
    model = tiny.hf_model("llama")
    norms = {name: (m.weight, m.variance_epsilon) for name, m in model.named_modules() if name.endswith("norm")}
    save_memory(model)
    for name, (weight, epsilon) in norms.items():
        made = model.get_submodule(name)
        assert isinstance(made, nn.RMSNorm) and made.weight is weight and made.eps == epsilon
        assert not made.training


def test_what_accelerate_moves_is_left_alone() -> None:
    model = tiny.hf_model("llama")
    norm = model.base_model.norm
    norm._hf_hook = object()
    save_memory(model)
    assert model.base_model.norm is norm
