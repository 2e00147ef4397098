"""The step-0 control: an ARM's weights in both directions, with the MDM's row of the mask where it has none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from transformers import PreTrainedModel

from engine.errors import UserError
from engine.models.model import load
from engine.models.pair import Pair
from engine.models.pairs import pair_named
from engine.training.word_tokenizer import MASK, build_tokenizer
from tests import checkpoints
from tests.checkpoints import TIED, Format, qwen2, qwen2_config

TOKENS = (5, 9, 11, 30, 7, 12)
KNOWN = len(build_tokenizer())  # tokens of the tokenizer that every checkpoint here has


def bidirectional(model: PreTrainedModel, ids: tuple[int, ...]) -> Tensor:
    """[pos, vocab] of the plain class, every position seeing every other."""
    model.config.is_causal = False
    return model(torch.tensor([ids]), attention_mask=torch.zeros(1, 1, len(ids), len(ids))).logits[0]


def with_rows(model: PreTrainedModel, embedding: Tensor, unembedding: Tensor) -> PreTrainedModel:
    """The plain model with more rows, by a way of its own: a matrix each, tied or not."""
    into, out = model.get_input_embeddings(), model.get_output_embeddings()
    wide = [torch.cat([layer.weight, rows]) for layer, rows in ((into, embedding), (out, unembedding))]
    model.set_input_embeddings(nn.Embedding.from_pretrained(wide[0]))
    head = nn.Linear(wide[1].shape[1], len(wide[1]), bias=False)
    head.weight = nn.Parameter(wide[1], requires_grad=False)
    model.set_output_embeddings(head)
    return model


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty hub cache."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


@pytest.mark.parametrize("name", checkpoints.FORMATS)
def test_the_control_of_a_published_pair_is_its_arm_in_both_directions(cache: Path, name: str) -> None:
    arm, mdm = checkpoints.write_pair(cache, name)
    pair = pair_named(name)
    model, ids = load(pair, "control", device="cpu"), (*TOKENS[:-1], pair.mask_id or 0)
    own, there = (plain.get_input_embeddings().weight for plain in (arm, mdm))
    torch.testing.assert_close(
        model.logits(torch.tensor([TOKENS]))[0][:, : len(own)], bidirectional(arm, TOKENS), rtol=1e-4, atol=1e-4
    )
    assert (model.causal, model.shifted, model.mask_id) == (False, pair.shifted, pair.mask_id)
    lacking = name == "diffugpt-m"  # GPT-2 medium has 50257 rows, and the mask is number 50257
    assert (pair.mask_id == len(own)) == lacking
    expected = with_rows(arm, there[len(own) :], there[len(own) :]) if lacking else arm
    torch.testing.assert_close(model.logits(torch.tensor([ids]))[0], bidirectional(expected, ids), rtol=1e-4, atol=1e-4)
    assert torch.equal(model.bridge.W_E, model.plain.get_input_embeddings().weight)


def pair_in(folder: Path, rows: tuple[int, int], tied: tuple[bool, bool], mask_id: int | None) -> Pair:
    """A pair of Qwen2s with so many rows, tied or not, ARM and MDM; the mask by its number, or as a token."""
    for which, many, is_tied, seed in zip(("arm", "mdm"), rows, tied, (1, 2), strict=True):
        form = Format(qwen2(many, is_tied), qwen2_config(many, is_tied), left_out=TIED if is_tied else ())
        checkpoints.write(folder / which, form, seed)
    made = Pair("mine", "Mine", str(folder / "arm"), str(folder / "mdm"), shifted=True)
    return replace(made, mask_token=MASK) if mask_id is None else replace(made, mask_id=mask_id)


@pytest.mark.parametrize("arm_tied", [True, False])
@pytest.mark.parametrize("mdm_tied", [True, False])
@pytest.mark.parametrize("mask", [KNOWN, KNOWN + 2])
def test_a_mask_that_the_arm_has_no_row_for_is_the_mdms(
    tmp_path: Path, arm_tied: bool, mdm_tied: bool, mask: int
) -> None:
    pair = pair_in(tmp_path, (KNOWN, KNOWN + 3), (arm_tied, mdm_tied), mask)
    arm, mdm = (load(pair, which, device="cpu").plain for which in ("arm", "mdm"))
    model, ids = load(pair, "control", device="cpu"), (*TOKENS, mask)
    into, out = (layer.weight[KNOWN:] for layer in (mdm.get_input_embeddings(), mdm.get_output_embeddings()))
    reference = checkpoints.random_model(Format(qwen2(KNOWN, arm_tied), {}), 1)
    expected = bidirectional(with_rows(reference, into, into if arm_tied else out), ids)
    torch.testing.assert_close(model.logits(torch.tensor([ids]))[0], expected, rtol=1e-4, atol=1e-4)
    plain = model.plain
    assert (plain.get_input_embeddings().weight is plain.get_output_embeddings().weight) == arm_tied
    own = bidirectional(checkpoints.random_model(Format(qwen2(KNOWN, arm_tied), {}), 1), TOKENS)
    logits = model.logits(torch.tensor([TOKENS]))[0]
    torch.testing.assert_close(logits[:, :KNOWN], own, rtol=1e-4, atol=1e-4)
    assert len(arm.get_input_embeddings().weight) == KNOWN  # the ARM itself stays as it is


def test_a_row_that_the_arm_has_is_its_own(tmp_path: Path) -> None:
    pair = pair_in(tmp_path, (KNOWN + 3, KNOWN + 5), (True, True), KNOWN + 1)  # an unused padding row
    arm = checkpoints.random_model(Format(qwen2(KNOWN + 3, True), {}), 1)
    model, ids = load(pair, "control", device="cpu"), (*TOKENS, KNOWN + 1)
    torch.testing.assert_close(model.logits(torch.tensor([ids]))[0], bidirectional(arm, ids), rtol=1e-4, atol=1e-4)


def test_what_cannot_be_read_with_the_mdms_mask_is_a_sentence(tmp_path: Path) -> None:
    pair = pair_in(tmp_path, (KNOWN, KNOWN + 1), (True, True), KNOWN + 1)
    with pytest.raises(UserError, match=f"The mask is token {KNOWN + 1}, but the model has embeddings"):
        load(pair, "control", device="cpu")
    pair, file = replace(pair, mask_id=KNOWN), tmp_path / "mdm" / "model.safetensors"
    state = load_file(file)
    wide = {name: value.repeat(1, 2) if "embed" in name else value for name, value in state.items()}
    save_file(wide, file, metadata={"format": "pt"})
    with pytest.raises(UserError, match="32 wide, the ARM's embedding 16"):
        load(pair, "control", device="cpu")
    state["model.embed_tokens.weight"][-1, 3] = torch.nan
    save_file(state, file, metadata={"format": "pt"})
    with pytest.raises(UserError, match=r"model\.embed_tokens\.weight of the MDM in .*not finite"):
        load(pair, "control", device="cpu")


def test_step_0_of_the_embedded_pair_is_its_control() -> None:
    pair = pair_named("embedded")
    control, stored = (load(pair, which, device="cpu") for which in ("control", "step:0"))
    ids = torch.tensor([[*TOKENS, control.mask_id]])
    assert (control.causal, control.shifted, control.mask_id) == (stored.causal, stored.shifted, stored.mask_id)
    torch.testing.assert_close(control.logits(ids), stored.logits(ids), rtol=0, atol=0.02)  # stored in half precision
