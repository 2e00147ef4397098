"""Adapted models against plain ones with the sum of weights and products written out."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn.functional import cross_entropy
from transformers import LlamaConfig, LlamaForCausalLM

from engine.models.adapters import ADAPTER_CONFIG, ADAPTER_WEIGHTS, MASK_EMBEDDING, merge
from engine.training.adapter_loss import causal
from engine.training.low_rank import MAPS, AdaptedModel, save_adapter
from tests.engine.training.tiny_llama import SPEC, adapted, tiny_llama, tokenizer

IDS = torch.tensor([[5, 9, 2, 7, 7, 3], [1, 8, 8, 4, 6, 0]])
READ = torch.zeros(IDS.shape, dtype=torch.bool)
READ[:, 2:4] = True
BIAS = torch.zeros(6, 6).masked_fill(~causal(6), -1e9)[None, None]


def literal(made: AdaptedModel, parts: dict[str, Tensor]) -> LlamaForCausalLM:
    """The base model with W + s B A in the place of W and a row for the mask, differentiable in `parts`."""
    model = tiny_llama()
    base = model.state_dict()
    for name in made.linears:
        product = parts[f"{name}.lora_B.weight"] @ parts[f"{name}.lora_A.weight"]
        base[f"{name}.weight"] = base[f"{name}.weight"] + made.shape.scale * product
    base["model.embed_tokens.weight"] = torch.cat([base["model.embed_tokens.weight"], parts[MASK_EMBEDDING]])
    config = LlamaConfig(**{**model.config.to_dict(), "vocab_size": made.mask_id + 1})
    plain = LlamaForCausalLM(config).eval()
    plain.set_attn_implementation("eager")
    # Tensors that depend on `parts` take the place of parameters.
    for name, tensor in base.items():
        parent, _, own = name.rpartition(".")
        module = plain.get_submodule(parent)
        del module._parameters[own]
        setattr(module, own, tensor)
    plain.lm_head.weight = base["model.embed_tokens.weight"]
    return plain


def test_logits_and_gradients_are_those_of_the_sum_written_out() -> None:
    made = adapted()
    ids = IDS.clone()
    ids[0, 2] = ids[1, 4] = made.mask_id
    wanted = torch.tensor([1, 2, 3, 4])
    parts = {name: part.clone().requires_grad_() for name, part in made.parts_of(made.vector.detach()).items()}
    logits = literal(made, parts)(input_ids=ids, attention_mask=BIAS).logits[READ][:, : made.mask_id]
    ours = made.logits(ids, BIAS, READ)
    torch.testing.assert_close(ours, logits)
    cross_entropy(logits, wanted).backward()
    cross_entropy(ours, wanted).backward()
    assert made.vector.grad is made.gradient
    for name, gradient in made.parts_of(made.gradient).items():
        if name == MASK_EMBEDDING:  # the unembedding's share is left out: a mask is never predicted
            assert gradient.abs().max() > 0
        torch.testing.assert_close(gradient, parts[name].grad, msg=name)


def test_frozen_weights_get_no_gradient_and_a_new_adapter_changes_nothing() -> None:
    model = tiny_llama()
    model.set_attn_implementation("eager")
    before = model(input_ids=IDS, attention_mask=BIAS).logits[READ]
    made = AdaptedModel(model, adapted().shape, 0, torch.float32)
    made.merge()
    ours = made.logits(IDS, BIAS, READ)
    torch.testing.assert_close(ours, before)
    ours.sum().backward()
    trained = {name for name, parameter in model.named_parameters() if parameter.grad is not None}
    assert {name.rpartition(".")[2] for name in trained} == {"a", "b"}
    assert len(made.linears) == 2 * len(MAPS)


def test_weights_give_the_same_model_in_plain_modules() -> None:
    made = adapted()
    config = LlamaConfig(**{**tiny_llama().config.to_dict(), "vocab_size": made.mask_id + 1})
    plain = LlamaForCausalLM(config).eval()
    plain.load_state_dict(made.weights(made.vector.detach()))
    logits = plain(input_ids=IDS).logits[READ][:, : made.mask_id]
    torch.testing.assert_close(made.logits(IDS, BIAS, READ), logits)


@pytest.mark.parametrize("with_mask", [True, False])
def test_saved_adapters_have_the_keys_and_shapes_of_pefts_format(tmp_path: Path, with_mask: bool) -> None:
    made = adapted()
    save_adapter(tmp_path, made.parts_of(made.vector.detach()), made.shape, with_mask)
    config, tensors = json.loads((tmp_path / ADAPTER_CONFIG).read_text()), load_file(tmp_path / ADAPTER_WEIGHTS)
    assert (config["peft_type"], config["r"], config["lora_alpha"]) == ("LORA", SPEC.rank, SPEC.alpha)
    assert set(config["target_modules"]) == set(MAPS)
    assert tensors["base_model.model.model.layers.1.mlp.down_proj.lora_A.weight"].shape == (8, 48)
    assert tensors["base_model.model.model.layers.1.mlp.down_proj.lora_B.weight"].shape == (32, 8)
    assert (MASK_EMBEDDING in tensors) == with_mask and len(tensors) == 2 * 14 + with_mask
    assert {tensor.dtype for tensor in tensors.values()} == {torch.bfloat16}


def test_a_saved_adapter_merges_into_its_model_as_any_other(tmp_path: Path) -> None:
    made, base = adapted(), tiny_llama()
    base.save_pretrained(tmp_path / "base")
    tokenizer().save_pretrained(tmp_path / "base")
    save_adapter(tmp_path / "adapter", made.parts_of(made.vector.detach()), made.shape, with_mask=True)
    (tmp_path / "merged").mkdir()
    merge(tmp_path / "base", [tmp_path / "adapter"], tmp_path / "merged")
    merged, ours = load_file(tmp_path / "merged" / "model.safetensors"), made.weights(made.vector.detach())
    for name, tensor in merged.items():
        torch.testing.assert_close(tensor, ours[name])


def test_an_adapter_built_on_another_begins_as_the_model_that_was_saved(tmp_path: Path) -> None:
    """Both adapters merged one after the other are the model that was trained; a new one changes nothing."""
    made, base = adapted(), tiny_llama()
    base.save_pretrained(tmp_path / "base")
    tokenizer().save_pretrained(tmp_path / "base")
    save_adapter(tmp_path / "arm", made.parts_of(made.vector.detach()), made.shape, with_mask=False)
    made.build_on(made.vector.detach().clone(), seed=5)
    begun = made.weights(made.vector.detach())
    with torch.no_grad():
        made.vector.add_(torch.linspace(-0.1, 0.1, len(made.vector)).bfloat16())
        made.vector.copy_(made.vector.bfloat16())
    save_adapter(tmp_path / "mdm", made.parts_of(made.vector.detach()), made.shape, with_mask=True)
    trained = made.weights(made.vector.detach())
    for name, adapters, ours in (("start", ["arm"], begun), ("end", ["arm", "mdm"], trained)):
        (tmp_path / name).mkdir()
        merge(tmp_path / "base", [tmp_path / adapter for adapter in adapters], tmp_path / name)
        for weight, tensor in load_file(tmp_path / name / "model.safetensors").items():
            torch.testing.assert_close(tensor, ours[weight][: len(tensor)], msg=f"{name}: {weight}")
    assert any(not torch.allclose(begun[name], trained[name], atol=1e-3) for name in begun)


def test_peft_loads_a_saved_adapter(tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    made = adapted()
    save_adapter(tmp_path, made.parts_of(made.vector.detach()), made.shape, with_mask=False)
    theirs = peft.PeftModel.from_pretrained(tiny_llama(), str(tmp_path)).eval()
    torch.testing.assert_close(theirs(input_ids=IDS).logits[READ], made.logits(IDS, BIAS, READ), rtol=1e-4, atol=1e-5)
