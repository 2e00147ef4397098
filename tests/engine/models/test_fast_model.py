"""The plain model computes what the bridge computes, from the same weights."""

from __future__ import annotations

import pytest
import torch
from accelerate import dispatch_model
from transformers import MixtralConfig, MixtralForCausalLM

from engine.attribution.edge_scores import attribute
from engine.errors import UserError
from engine.models.batching import padded
from engine.models.decoding import decode
from engine.models.fast_model import blocks_of, embed, hidden, output_logits
from engine.models.model import load_model, wrap
from engine.models.pairs import pair_named
from engine.training.word_tokenizer import MASK, build_tokenizer
from tests import tiny


@pytest.mark.parametrize("causal", [True, False], ids=["arm", "mdm"])
@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
def test_logits_equal_the_bridges(architecture: str, causal: bool) -> None:
    model = tiny.model(architecture, causal)
    ids, real = padded(model, [(5, 6, 7, 8, 9), (10, 11, 12), (13, 14, 15, 16)])
    plain = output_logits(model.plain, hidden(model.plain, embed(model.plain, ids), model.attention_bias(real)))
    assert torch.allclose(plain[real], model.logits(ids, real)[real], atol=1e-5)


@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
def test_there_is_no_second_copy_of_a_weight(architecture: str) -> None:
    model, hf = tiny.model(architecture, causal=True), tiny.hf_model(architecture)
    expected = {name: p for name, p in hf.named_parameters() if "attn.c_attn" not in name}  # GPT-2's bridge splits it
    held = {p.data_ptr() for p in model.bridge.parameters()}
    shared = dict(model.plain.named_parameters())
    assert shared.keys() == dict(hf.named_parameters()).keys()
    for name in expected:
        assert shared[name].data_ptr() in held, name


def test_an_unknown_architecture_is_refused_by_name() -> None:
    config = MixtralConfig(
        vocab_size=8,
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        num_local_experts=2,
    )
    with pytest.raises(UserError, match="MixtralForCausalLM can't be scored"):
        blocks_of(MixtralForCausalLM(config))


@pytest.mark.parametrize("side", ["arm", "mdm"])
def test_half_precision_keeps_the_order_of_the_strongest_edges(side: str) -> None:
    """Spearman's correlation over the 1,000 edges strongest in fp32, on a trained model."""
    pair = pair_named("embedded")
    scores = []
    for dtype in ("float32", "bfloat16"):
        model = load_model(
            pair.folder(side), causal=side == "arm", shifted=pair.shifted, mask_token=pair.mask_token, dtype=dtype
        )
        rows = tiny.rows_of(model, tiny.random_examples(8), order="left-to-right")
        scores.append(attribute(model, rows, 8).total[torch.from_numpy(model.graph.legal)])
    exact, half = scores
    strongest = exact.abs().topk(1000).indices
    ranks = torch.stack([scores[strongest].argsort().argsort().float() for scores in (exact, half)])
    assert float(torch.corrcoef(ranks)[0, 1]) >= 0.99


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
def test_a_model_spread_by_accelerate_has_the_same_scores(architecture: str) -> None:
    """Hooks that move tensors from device to device move with the copied modules; here there is one device only."""
    hf, model = tiny.hf_model(architecture), tiny.model(architecture, causal=True)
    layers = "h" if architecture == "gpt2" else "layers"
    prefix, base = hf.base_model_prefix, hf.base_model
    places = {f"{prefix}.{name}" for name, _ in base.named_children() if name != layers} | {"lm_head"}
    places |= {f"{prefix}.{layers}.{i}" for i in range(2)}
    spread = dispatch_model(hf, dict.fromkeys(places, "cpu"), main_device="cpu", force_hooks=True)
    assert any(hasattr(module, "_hf_hook") for module in spread.modules())
    hooked = wrap(spread, build_tokenizer(), causal=True, mask_token=MASK)
    rows = tiny.rows_of(model, tiny.random_examples(3))
    assert torch.allclose(attribute(hooked, rows, 3).total, attribute(model, rows, 3).total, rtol=1e-5, atol=1e-7)
    assert decode(hooked, [row.clean for row in rows], 4, 4) == decode(model, [row.clean for row in rows], 4, 4)
