"""What is kept of the corrupted run is what the bridge's hooks see in it."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from engine.evidence.kept_run import KeptRun, Rotation
from engine.models.fast_model import blocks_of, embed, hidden, hooked
from tests import tiny

IDS = (5, 9, 12, 7, 30)


@pytest.mark.parametrize("causal", [True, False], ids=["arm", "mdm"])
@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
def test_kept_activations_are_the_bridges(architecture: str, causal: bool) -> None:
    model = tiny.model(architecture, causal)
    plain, run, rotation = model.plain, KeptRun(), Rotation()
    ids = torch.tensor([IDS])
    with torch.no_grad(), hooked(run.hooks(plain, blocks_of(plain)) + rotation.hooks(plain)):
        hidden(plain, embed(plain, ids), model.attention_bias(torch.ones_like(ids, dtype=torch.bool)))

    def same(kept: torch.Tensor, name: str) -> None:
        expected = tiny.recorded(model, IDS, name)
        np.testing.assert_allclose(kept[0].numpy().reshape(expected.shape), expected, rtol=1e-4, atol=1e-5)

    for layer in range(2):
        same(run.before[layer], f"blocks.{layer}.hook_in")
        same(run.between[layer], f"blocks.{layer}.ln2.hook_in")
        same(run.heads[layer], f"blocks.{layer}.attn.hook_z")
        same(run.mlps[layer], f"blocks.{layer}.hook_mlp_out")
    same(run.last[0], "ln_final.hook_in")
    assert (rotation.cos_sin is None) == (architecture == "gpt2")
    if rotation.cos_sin is not None:
        assert all(part.shape[1] == len(IDS) for part in rotation.cos_sin)
