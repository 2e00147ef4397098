"""RMSNorm, LayerNorm and rotary embeddings with their derivatives (METHOD, "Edge scores").

A norm is part of what a component reads, so attribution differentiates through it; only the lenses freeze its scale.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import torch
from torch import Tensor, nn


@dataclass(frozen=True)
class Norm:
    """y = weight * c(x) / scale(x) + bias, where c centres x for a LayerNorm and does nothing for an RMSNorm."""

    weight: Tensor  # [d]
    bias: Tensor | None  # [d]
    eps: float
    centred: bool

    @classmethod
    def of(cls, module: nn.Module) -> Norm:
        """The norm that a transformers module computes, in fp32."""
        centred = isinstance(module, nn.LayerNorm)
        eps = getattr(module, "variance_epsilon", None) or module.eps
        bias = getattr(module, "bias", None)
        weight: Tensor = module.weight  # type: ignore[assignment]
        return cls(weight.float(), None if bias is None else bias.float(), float(eps), centred)  # type: ignore[arg-type]

    def on(self, device: torch.device) -> Norm:
        """The same norm on a device."""
        return replace(self, weight=self.weight.to(device), bias=None if self.bias is None else self.bias.to(device))

    def centre(self, x: Tensor) -> Tensor:
        """x [..., d] less its mean (LayerNorm), or x itself (RMSNorm)."""
        return x - x.mean(-1, keepdim=True) if self.centred else x

    def scale(self, x: Tensor) -> Tensor:
        """[..., 1]: the root mean square (RMSNorm) or standard deviation (LayerNorm) of x [..., d]."""
        return (self.centre(x).pow(2).mean(-1, keepdim=True) + self.eps).sqrt()

    def vjp(self, x: Tensor, g: Tensor) -> Tensor:
        """The gradient at x of <norm(x), g>: METHOD's G for one point; everything [..., d]."""
        xc, r, wg = self.centre(x), self.scale(x), self.weight * g
        return self.centre(wg) / r - xc * (xc * wg).sum(-1, keepdim=True) / (x.shape[-1] * r**3)

    def apply_with_frozen_scale(self, x: Tensor, write: Tensor) -> Tensor:
        """[..., d]: a part `write` [..., d] of the residual x [..., d] under the norm's scale at x, without bias."""
        return self.weight * self.centre(write) / self.scale(x)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """RoPE (Su et al. 2021, arXiv 2104.09864) on x [batch, head, pos, d_head]; cos, sin [1 or batch, pos, d_head]."""
    first, second = x.chunk(2, -1)
    return x * cos[:, None] + torch.cat([-second, first], -1) * sin[:, None]


def rotate_back(g: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """The transpose of RoPE on g [batch, head, pos, d_head]; cos, sin [1 or batch, pos, d_head]."""
    return rotate(g, cos, -sin)
