"""Cosines of every neuron's weights in two models, read from their files: how far post-training turned it.

Safetensors are read one matrix at a time, so that neither model is ever in memory. A neuron's input weights are its
column of W_in (up_proj, c_fc), its gate's those of W_gate (gate_proj), its output weights its row of W_out (down_proj,
c_proj). GPT-2 stores its matrices transposed.
"""

from __future__ import annotations

import re
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn.functional import cosine_similarity

from engine.errors import UserError
from engine.models.hub import weight_files
from engine.models.sources import snapshot

KEY = re.compile(
    r"(?:denoise_model\.)?(?:model\.|transformer\.)?(?:layers|h)\.(?P<layer>\d+)\.mlp\."
    r"(?P<matrix>up_proj|gate_proj|down_proj|c_fc|c_proj)\.weight"
)
ROLES = {"up_proj": "in", "gate_proj": "gate", "down_proj": "out", "c_fc": "in", "c_proj": "out"}
BY_NEURON = ("up_proj", "gate_proj", "c_proj")  # stored [neuron, d_model]; the others [d_model, neuron]


@dataclass(frozen=True)
class Cosines:
    """[layer, neuron] each: of input, gate (None where nothing is gated) and output weights."""

    into: NDArray[np.float32]
    gate: NDArray[np.float32] | None
    out: NDArray[np.float32]


def neuron_cosines(source: str, other: str, device: torch.device | str = "cpu") -> Cosines:
    """Cosines between the weights of the same neuron in two models, each a folder or the id of a downloaded hub model.

    `device` is where they are multiplied.

    Raises:
        UserError: no weights there, no MLP among them, some that are no numbers, or two architectures.
    """
    with ExitStack() as stack:
        here, there = _Weights.open(source, stack), _Weights.open(other, stack)
        if here.shapes() != there.shapes():
            raise UserError(
                f"The MLPs of {source} and {other} have different layers or sizes: their neurons cannot be compared. "
                "Name the ARM that the model was post-trained from in pairs.toml."
            )
        roles = sorted({role for _, role in here.keys})
        layers = range(1 + max(layer for layer, _ in here.keys))
        cosines = {role: np.stack([_cosine(here, there, layer, role, device) for layer in layers]) for role in roles}
    return Cosines(cosines["in"], cosines.get("gate"), cosines["out"])


def _cosine(here: _Weights, there: _Weights, layer: int, role: str, device: torch.device | str) -> NDArray[np.float32]:
    """[neuron]"""
    a, b = (weights.matrix(layer, role).to(device) for weights in (here, there))
    for weights, matrix in ((here, a), (there, b)):
        if not bool(torch.isfinite(matrix).all()):
            raise UserError(
                f"The weights {weights.keys[layer, role][1]} of {weights.source} hold NaN or infinite numbers: get its "
                "files again, or name another model."
            )
    return cosine_similarity(a.float(), b.float(), dim=1).cpu().numpy()


@dataclass(frozen=True)
class _Weights:
    """A model's MLP matrices by layer and role, in open files."""

    source: str
    keys: dict[tuple[int, str], tuple[Any, str]]  # the file and its key

    @classmethod
    def open(cls, source: str, stack: ExitStack) -> _Weights:
        from safetensors import safe_open

        keys: dict[tuple[int, str], tuple[Any, str]] = {}
        names: list[str] = []
        files = weight_files(snapshot(source))
        for path in files:
            file = stack.enter_context(safe_open(path, "pt"))
            for key in file.keys():  # noqa: SIM118 - not a dictionary
                names.append(key)
                match = KEY.fullmatch(key)
                if match:
                    keys[int(match["layer"]), ROLES[match["matrix"]]] = file, key
        layers = {layer for layer, _ in keys}
        roles = {role for _, role in keys}
        if not {"in", "out"} <= roles or len(keys) != len(roles) * len(layers) or layers != set(range(len(layers))):
            raise UserError(
                f"{files[0]} has no MLP weights of a Llama, Qwen or GPT-2 for every layer, as in "
                f"model.layers.0.mlp.up_proj.weight. It has: {', '.join(sorted(names)[:6]) or 'nothing'}."
            )
        return cls(source, keys)

    def shapes(self) -> dict[tuple[int, str], tuple[int, int]]:
        """[neuron, d_model] by layer and role."""
        shapes = {}
        for at, (file, key) in self.keys.items():
            rows, columns = file.get_slice(key).get_shape()
            shapes[at] = (rows, columns) if _by_neuron(key) else (columns, rows)
        return shapes

    def matrix(self, layer: int, role: str) -> Tensor:
        """[neuron, d_model]"""
        file, key = self.keys[layer, role]
        weights = file.get_tensor(key)
        if not weights.is_floating_point():
            raise UserError(f"The weights {key} of {self.source} are whole numbers: gradients need fp32, bf16 or fp16.")
        return weights if _by_neuron(key) else weights.T


def _by_neuron(key: str) -> bool:
    return key.split(".")[-2] in BY_NEURON
