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


@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
def test_a_run_from_a_later_position_keeps_that_of_the_whole_and_earlier_keys(architecture: str) -> None:
    model, ids, start = tiny.model(architecture, causal=True), torch.tensor([IDS, IDS[::-1]]), 3
    plain, blocks, whole, later = model.plain, blocks_of(model.plain), KeptRun(), KeptRun(start)
    bias, rotation = model.attention_bias(torch.ones_like(ids, dtype=torch.bool)), Rotation()
    with torch.no_grad():
        for run in (whole, later):
            with hooked(run.hooks(plain, blocks) + rotation.hooks(plain)):
                hidden(plain, embed(plain, ids), bias)
    for name in ("before", "between", "heads", "mlps", "last"):
        expected, views = getattr(whole, name), getattr(whole.since(start), name)
        for layer, kept in getattr(later, name).items():
            assert torch.equal(kept, expected[layer][:, start:]) and torch.equal(kept, views[layer])
            assert kept.untyped_storage().nbytes() == kept.numel() * 4  # the whole is not held
            assert views[layer].data_ptr() == expected[layer][:, start:].data_ptr()
    assert whole.earlier is None and later.earlier is not None
    options = {"attention_mask": bias[:, :, start:].repeat(3, 1, 1, 1), "past_key_values": later.earlier}
    if rotation.cos_sin is not None:
        options["position_embeddings"] = rotation.since(start)
    for layer, block in enumerate(blocks):  # three copies of the rows at once, as knockouts have them
        written: list[torch.Tensor] = []
        handle = block.out.register_forward_pre_hook(lambda module, z, written=written: written.extend(z))
        with torch.no_grad(), hooked([handle]):
            block.attention(block.ln1(later.before[layer].repeat(3, 1, 1)), **options)
        np.testing.assert_allclose(written[0], later.heads[layer].repeat(3, 1, 1), rtol=1e-4, atol=1e-5)
