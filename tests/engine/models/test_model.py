"""Attention direction through every path, loading, and refusals."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from engine.errors import UserError
from engine.inspection.lens import lenses
from engine.models.activation_cache import recording
from engine.models.model import load_model
from engine.training.word_tokenizer import MASK, build_tokenizer
from tests import tiny

TOKENS = (5, 9, 11, 30, 7, 12)
CHANGED = (*TOKENS[:-1], 13)


@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
@pytest.mark.parametrize("causal", [True, False], ids=["arm", "mdm"])
def test_last_token_moves_earlier_positions_only_in_an_mdm(architecture: str, causal: bool) -> None:
    model = tiny.model(architecture, causal)
    plain = [model.logits(torch.tensor([t]))[0, :-1] for t in (TOKENS, CHANGED)]
    with recording(model, ["blocks.1.hook_resid_pre"], embedding=model.bridge.W_E[list(TOKENS)][None]) as kept:
        model.logits(torch.tensor([TOKENS]))
    with recording(model, ["blocks.1.hook_resid_pre"], embedding=model.bridge.W_E[list(CHANGED)][None]) as moved:
        model.logits(torch.tensor([CHANGED]))
    hooked = [cache["blocks.1.hook_resid_pre"][0, :-1] for cache in (kept, moved)]
    read = [lens.residuals[-1] for lens in lenses(model, [TOKENS, CHANGED], [1, 1])]
    for before, after in (plain, hooked, read):
        assert torch.equal(before, after) == causal


@pytest.mark.parametrize("causal", [True, False], ids=["arm", "mdm"])
def test_padding_changes_no_logit(causal: bool) -> None:
    model = tiny.model("qwen2", causal)
    ids = torch.tensor([[*TOKENS, 3, 3]])
    real = torch.tensor([[True] * 6 + [False] * 2])
    torch.testing.assert_close(model.logits(ids, real)[0, :6], model.logits(torch.tensor([TOKENS]))[0])


@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
def test_wrapped_causal_model_equals_the_plain_class(architecture: str) -> None:
    plain = tiny.hf_model(architecture)(torch.tensor([TOKENS])).logits
    torch.testing.assert_close(
        tiny.model(architecture, True).logits(torch.tensor([TOKENS])), plain, rtol=1e-4, atol=1e-5
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    tiny.hf_model("llama").save_pretrained(tmp_path)
    build_tokenizer().save_pretrained(tmp_path)
    return tmp_path


def test_a_folder_loads_with_its_tokenizer_and_direction(folder: Path) -> None:
    model = load_model(str(folder), causal=False, shifted=True, mask_token=MASK, device="cpu")
    expected = tiny.model("llama", causal=False).logits(torch.tensor([TOKENS]))
    torch.testing.assert_close(model.logits(torch.tensor([TOKENS])), expected, rtol=1e-4, atol=1e-5)
    assert model.mask_id == 3 and model.read_position(4) == 3
    assert model.tokenizer("Mary gave").input_ids == build_tokenizer()("Mary gave").input_ids


def test_unshifted_mdm_reads_at_the_position_itself() -> None:
    assert tiny.model("llama", causal=False, shifted=False).read_position(4) == 4


def test_missing_weights_are_named(folder: Path) -> None:
    state = load_file(folder / "model.safetensors")
    del state["model.layers.1.mlp.up_proj.weight"]
    save_file(state, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"missing keys: model\.layers\.1\.mlp\.up_proj\.weight"):
        load_model(str(folder), causal=True, device="cpu")


def test_unexpected_weights_are_named(folder: Path) -> None:
    state = load_file(folder / "model.safetensors")
    save_file({**state, "model.layers.0.extra": torch.ones(2)}, folder / "model.safetensors", metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"unexpected keys: model\.layers\.0\.extra"):
        load_model(str(folder), causal=True, device="cpu")


def test_absent_folder_and_mask_token_are_refused(folder: Path) -> None:
    with pytest.raises(UserError, match=r"There is no model at .*nothing"):
        load_model(str(folder / "nothing"), causal=True)
    unknown = "<nope>"
    with pytest.raises(UserError, match="no mask token '<nope>'"):
        load_model(str(folder), causal=False, mask_token=unknown, device="cpu")
