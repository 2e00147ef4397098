"""Adapters are merged as their formula says, and as PEFT does; what would compute something else is refused by name."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer

from engine.errors import UserError
from engine.models.adapters import adapted_id, adapter_in, merge
from engine.models.hub import INDEX, weight_files
from engine.models.supported import check
from tests.engine.models.folders import copied
from tests.lora import CONFIG, adapter

MASK = "[hidden]"
Q, DOWN = "model.layers.0.self_attn.q_proj.weight", "model.layers.1.mlp.down_proj.weight"


@pytest.fixture
def base(models: Path, tmp_path: Path) -> Path:
    return copied(models, tmp_path / "base")


def merged(base: Path, *adapters: Path) -> dict[str, Tensor]:
    folder = base.parent / "merged"
    folder.mkdir()
    merge(base, list(adapters), folder)
    check(folder, weight_files(folder))
    return {name: tensor for file in weight_files(folder) for name, tensor in load_file(file).items()}


def by_hand(tensors: dict[str, Tensor], name: str, scale: float) -> list[list[float]]:
    """s B A in double precision."""
    key = f"base_model.model.{name.removesuffix('.weight')}"
    a, b = (tensors[f"{key}.lora_{factor}.weight"].double() for factor in "AB")
    return (scale * torch.einsum("or,ri->oi", b, a)).tolist()


@pytest.mark.parametrize(
    ("config", "scale"), [({}, 3.0), ({"use_rslora": True}, 12 / math.sqrt(4)), ({"r": 2, "lora_alpha": 3.0}, 1.5)]
)
def test_only_adapted_weights_change_and_by_the_formula(config: dict[str, Any], scale: float, base: Path) -> None:
    before = load_file(base / "model.safetensors")
    tensors = adapter(base.parent / "a", before, (Q, DOWN), **config)
    after = merged(base, base.parent / "a")
    assert after.keys() == before.keys()
    for name, weights in after.items():
        if name in (Q, DOWN):
            expected = before[name].double() + torch.tensor(by_hand(tensors, name, scale), dtype=torch.float64)
            torch.testing.assert_close(weights.double(), expected, atol=1e-5, rtol=1e-5)
        else:
            assert torch.equal(weights, before[name]), name


def test_adapters_are_merged_one_after_the_other(base: Path) -> None:
    before, place = load_file(base / "model.safetensors"), base.parent
    first = adapter(place / "a", before, (Q,))
    second = adapter(place / "b", before, (Q, DOWN), seed=1, lora_alpha=4)
    after = merged(base, place / "a", place / "b")
    expected = before[Q] + torch.tensor(by_hand(first, Q, 3.0)) + torch.tensor(by_hand(second, Q, 1.0))
    torch.testing.assert_close(after[Q], expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("architecture", ["llama", "gpt2"])
def test_peft_merges_the_same(architecture: str, models: Path, tmp_path: Path) -> None:
    peft = pytest.importorskip("peft")
    base = copied(models, tmp_path / "base", architecture)
    model = AutoModelForCausalLM.from_pretrained(str(base), dtype=torch.float32)
    targets = ["c_attn", "c_fc"] if architecture == "gpt2" else ["q_proj", "down_proj"]
    config = peft.LoraConfig(r=4, target_modules=targets, fan_in_fan_out=architecture == "gpt2", use_rslora=True)
    adapted = peft.get_peft_model(model, config)
    for name, parameter in adapted.named_parameters():
        if "lora_B" in name:
            parameter.data.normal_()
    adapted.save_pretrained(tmp_path / "a")
    theirs = adapted.merge_and_unload().state_dict()
    for name, weights in merged(base, tmp_path / "a").items():
        torch.testing.assert_close(weights, theirs[name], msg=name)


def test_half_precision_and_shards_are_merged_in_float32(base: Path) -> None:
    weights = {name: tensor.bfloat16() for name, tensor in load_file(base / "model.safetensors").items()}
    names = sorted(weights)
    shards = {"a.safetensors": names[::2], "b.safetensors": names[1::2]}
    (base / "model.safetensors").unlink()
    for file, part in shards.items():
        save_file({name: weights[name] for name in part}, base / file, metadata={"format": "pt"})
    weight_map = {name: file for file, part in shards.items() for name in part}
    (base / INDEX).write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    tensors = adapter(base.parent / "a", weights, (Q, DOWN))
    after = merged(base, base.parent / "a")
    assert {tensor.dtype for tensor in after.values()} == {torch.float32}
    expected = weights[Q].float() + torch.tensor(by_hand(tensors, Q, 3.0))
    torch.testing.assert_close(after[Q], expected, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("architecture", ["llama", "qwen3"])  # untied, tied
def test_a_mask_is_one_row_more(architecture: str, models: Path, tmp_path: Path) -> None:
    base = copied(models, tmp_path / "base", architecture)
    before = load_file(base / "model.safetensors")
    embedding = before["model.embed_tokens.weight"]
    tensors = adapter(tmp_path / "a", before, (Q,), mask=embedding.shape[1], mask_token=MASK)
    after = merged(base, tmp_path / "a")
    assert torch.equal(after["model.embed_tokens.weight"], torch.cat([embedding, tensors["mask_embedding"]]))
    if "lm_head.weight" in before:
        assert torch.equal(after["lm_head.weight"][:-1], before["lm_head.weight"])
        assert not after["lm_head.weight"][-1].any()
    tokenizer = AutoTokenizer.from_pretrained(str(tmp_path / "merged"))
    assert (tokenizer.mask_token, tokenizer.mask_token_id) == (MASK, len(embedding))
    assert json.loads((tmp_path / "merged" / "config.json").read_text())["vocab_size"] == len(embedding) + 1
    model = AutoModelForCausalLM.from_pretrained(str(tmp_path / "merged"))
    assert model(torch.tensor([[1, len(embedding)]])).logits.shape[-1] == len(embedding) + 1


def test_a_mask_takes_an_unused_row_where_there_is_one(base: Path) -> None:
    weights = load_file(base / "model.safetensors")
    rows, width = weights["model.embed_tokens.weight"].shape
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        weights[name] = torch.cat([weights[name], torch.ones(3, width)])
    save_file(weights, base / "model.safetensors", metadata={"format": "pt"})
    config = json.loads((base / "config.json").read_text())
    (base / "config.json").write_text(json.dumps({**config, "vocab_size": rows + 3}))
    tensors = adapter(base.parent / "a", weights, (), mask=width)
    after = merged(base, base.parent / "a")["model.embed_tokens.weight"]
    assert len(after) == rows + 3
    assert torch.equal(after[rows], tensors["mask_embedding"][0])
    assert torch.equal(after[rows + 1 :], weights["model.embed_tokens.weight"][rows + 1 :])


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"peft_type": "IA3"}, "peft_type = 'IA3'. Only LORA"),
        ({"use_dora": True}, "use_dora = True, which can't be merged"),
        ({"bias": "all"}, "bias = 'all'"),
        ({"modules_to_save": ["lm_head"]}, r"modules_to_save = \['lm_head'\]"),
        ({"rank_pattern": {"q": 2}}, "rank_pattern = "),
        ({"init_lora_weights": "pissa"}, "init_lora_weights = 'pissa'"),
        ({"some_new_field": 1}, "some_new_field = 1"),
        ({"r": 0}, "r = 0. It must be a whole number from 1 up"),
        ({"r": True}, "r = True"),
        ({"lora_alpha": "x"}, "lora_alpha = 'x'. It must be a number"),
        ({"lora_alpha": math.inf}, "adapter_config.json"),
        ({"mask_token": ""}, "mask_token = ''. It must be a token"),
    ],
)
def test_configs_that_ask_for_more_are_refused(config: dict[str, Any], message: str, tmp_path: Path) -> None:
    adapter(tmp_path, {}, ())
    (tmp_path / "adapter_config.json").write_text(json.dumps({**CONFIG, **config}))
    with pytest.raises(UserError, match=message):
        adapter_in(tmp_path)


def test_a_config_as_peft_writes_it_is_taken(tmp_path: Path) -> None:
    adapter(tmp_path, {}, ())
    nothing = dict.fromkeys(("alora_invocation_tokens", "trainable_token_indices", "loftq_config", "modules_to_save"))
    written = {"init_lora_weights": True, "alpha_pattern": {}, "lora_bias": False, "qalora_group_size": 16}
    (tmp_path / "adapter_config.json").write_text(json.dumps({**CONFIG, **nothing, **written}))
    assert (adapter_in(tmp_path).rank, adapter_in(tmp_path).scale) == (4, 3.0)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: {**t, "base_model.model.x.lora_embedding_A": torch.ones(2, 2)}, "x.lora_embedding_A, which can't"),
        (lambda t: {name: value for name, value in t.items() if "lora_B" not in name}, "lacks .*lora_B.weight"),
        (lambda t: {name.replace("layers.0", "layers.9"): v for name, v in t.items()}, r"adapts model\.layers\.9\."),
        (lambda t: {name: v[:, :2].contiguous() for name, v in t.items()}, "none of rank 4"),
        (lambda t: {name: v[:8] for name, v in t.items()}, r"has \[8, 32\] numbers for .*q_proj.*, the model has"),
        (lambda t: {**t, "mask_embedding": torch.ones(1, 7)}, "mask_embedding .* has 7 numbers, a token .* has 32"),
        (lambda t: {**t, "mask_embedding": torch.ones(7)}, r"is \[7\]. It must be \[1, d_model\]"),
    ],
)
def test_tensors_that_do_not_fit_are_refused(change: Any, message: str, base: Path) -> None:
    place = base.parent / "a"
    tensors = adapter(place, load_file(base / "model.safetensors"), (Q,))
    save_file(change(tensors), place / "adapter_model.safetensors")
    with pytest.raises(UserError, match=message):
        merged(base, place)


def test_the_id_is_that_of_all_that_is_merged(base: Path) -> None:
    weights, place = load_file(base / "model.safetensors"), base.parent
    for name, seed in (("a", 0), ("b", 1), ("same", 0)):
        adapter(place / name, weights, (Q,), seed=seed)
    ids = [
        adapted_id(which, [place / name for name in names])
        for which, names in (("x", "a"), ("y", "a"), ("x", "b"), ("x", "ab"), ("x", "ba"))
    ]
    assert len(set(ids)) == len(ids)
    assert adapted_id("x", [place / "same"]) == ids[0]
    (place / "same" / "adapter_config.json").write_text(json.dumps({**CONFIG, "lora_alpha": 1}))
    assert adapted_id("x", [place / "same"]) != ids[0]
    with pytest.raises(UserError, match=r"There is no adapter in .*none: it needs adapter_config\.json"):
        adapted_id("x", [place / "none"])
