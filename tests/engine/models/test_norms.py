"""Norms: against the modules that they stand for, finite differences, and what is linear."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from torch import Tensor, nn
from transformers.models.llama.modeling_llama import LlamaRMSNorm

from engine.models.norms import Norm, rotate, rotate_back

D = 7
KINDS = ("rms", "layer")
kinds = pytest.mark.parametrize("kind", KINDS)


def rand(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def module_of(kind: str) -> nn.Module:
    module = LlamaRMSNorm(D, eps=1e-3) if kind == "rms" else nn.LayerNorm(D, eps=1e-3)
    for i, parameter in enumerate(module.parameters()):
        parameter.data = rand(D, seed=i + 1).float()
    return module


def norm_of(kind: str) -> Norm:
    """In double precision, so that differences are sharp."""
    norm = Norm.of(module_of(kind))
    return replace(norm, weight=norm.weight.double(), bias=None if norm.bias is None else norm.bias.double())


def apply(norm: Norm, x: Tensor) -> Tensor:
    y = norm.weight * norm.centre(x) / norm.scale(x)
    return y if norm.bias is None else y + norm.bias


@kinds
def test_a_norm_computes_what_its_module_does(kind: str) -> None:
    module, x = module_of(kind), rand(2, 3, D).float()
    torch.testing.assert_close(apply(Norm.of(module), x), module(x).detach(), rtol=1e-5, atol=1e-6)


def test_half_precision_modules_are_kept_in_single_precision() -> None:
    norm = Norm.of(nn.LayerNorm(D).bfloat16())
    assert norm.weight.dtype == torch.float32 and norm.bias is not None and norm.bias.dtype == torch.float32


@kinds
def test_the_vjp_equals_finite_differences(kind: str) -> None:
    norm, x, g, h = norm_of(kind), rand(3, D), rand(3, D, seed=5), 1e-5
    expected = torch.zeros_like(x)
    for j in range(D):
        step = torch.zeros(D, dtype=torch.float64)
        step[j] = h
        expected[:, j] = ((apply(norm, x + step) - apply(norm, x - step)) * g).sum(-1) / (2 * h)
    torch.testing.assert_close(norm.vjp(x, g), expected, rtol=1e-7, atol=1e-8)


@kinds
def test_the_vjp_equals_autograd(kind: str) -> None:
    norm, x, g = norm_of(kind), rand(2, 4, D).requires_grad_(), rand(2, 4, D, seed=5)
    (expected,) = torch.autograd.grad((apply(norm, x) * g).sum(), x)
    torch.testing.assert_close(norm.vjp(x.detach(), g), expected)


@kinds
def test_parts_of_a_residual_sum_to_the_whole_under_a_frozen_scale(kind: str) -> None:
    norm, writes = norm_of(kind), rand(5, D)
    x = writes.sum(0)
    parts = norm.apply_with_frozen_scale(x, writes)
    bias = 0 if norm.bias is None else norm.bias
    torch.testing.assert_close(parts.sum(0) + bias, apply(norm, x))


def test_a_gradient_along_the_residual_is_nearly_lost() -> None:
    """A norm without an epsilon does not depend on its input's length: what it passes back is orthogonal to it."""
    for kind in KINDS:
        norm, x = replace(norm_of(kind), eps=0.0), rand(3, D)
        passed = norm.vjp(x, rand(3, D, seed=5))
        assert (norm.centre(x) * passed).sum(-1).abs().max() < 1e-12
        if kind == "layer":
            assert passed.sum(-1).abs().max() < 1e-12  # nor on its mean


def test_rotating_back_is_the_transpose_of_rotating() -> None:
    angles = rand(1, 5, 4).repeat(1, 1, 2)
    cos, sin = angles.cos(), angles.sin()
    x, g = rand(2, 3, 5, 8, seed=1), rand(2, 3, 5, 8, seed=2)  # [batch, head, pos, d_head]
    assert float((rotate(x, cos, sin) * g).sum()) == pytest.approx(float((x * rotate_back(g, cos, sin)).sum()))
    torch.testing.assert_close(rotate_back(rotate(x, cos, sin), cos, sin), x)  # a rotation's transpose is its inverse
