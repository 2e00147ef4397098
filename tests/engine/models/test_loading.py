"""Every published pair in its own format on disk loads as the plain class; every kind of breakage is named."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from accelerate import dispatch_model
from safetensors.torch import load_file, save_file
from transformers import PreTrainedModel

from engine.errors import UserError
from engine.inspection.neuron_cosines import neuron_cosines
from engine.models.loading import load_weights
from engine.models.model import load, wrap
from engine.models.pair import Pair
from engine.models.pairs import pair_named, pairs, weights_id
from engine.training.word_tokenizer import build_tokenizer
from tests import checkpoints

TOKENS = (5, 9, 11, 30, 7, 12)
CHANGED = (*TOKENS[:-1], 13)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty hub cache."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    return tmp_path / "hub"


def plain_logits(model: PreTrainedModel, ids: tuple[int, ...], causal: bool) -> torch.Tensor:
    """[pos, vocab] of the plain class, with the mask of the attention written out."""
    visible = torch.ones(len(ids), len(ids)).tril() if causal else torch.ones(len(ids), len(ids))
    bias = torch.zeros(1, 1, len(ids), len(ids)).masked_fill(visible == 0, torch.finfo(torch.float32).min)
    model.config.is_causal = causal
    return model(torch.tensor([ids]), attention_mask=bias).logits[0]


def test_every_published_pair_has_a_format() -> None:
    assert set(checkpoints.FORMATS) == set(pairs()) - {"embedded", "smollm2"}


@pytest.mark.parametrize("name", checkpoints.FORMATS)
def test_a_published_pair_loads_from_its_own_format(cache: Path, name: str) -> None:
    arm, mdm = checkpoints.write_pair(cache, name)
    pair = pair_named(name)
    for which, plain in (("arm", arm), ("mdm", mdm)):
        model, causal = load(pair, which, device="cpu"), which == "arm"
        assert model.architecture == pair.architecture == type(plain).__name__
        outputs = [model.logits(torch.tensor([ids]))[0] for ids in (TOKENS, CHANGED)]
        for ids, logits in zip((TOKENS, CHANGED), outputs, strict=True):
            torch.testing.assert_close(logits, plain_logits(plain, ids, causal), rtol=1e-4, atol=1e-4)
        assert torch.equal(outputs[0][:-1], outputs[1][:-1]) == causal  # only an MDM sees the last token from before
        assert model.mask_id == (None if causal else pair.mask_id)
        assert model.read_position(4) == (4 if not causal and name.endswith("mdlm") else 3)
    masked = model.logits(torch.tensor([[*TOKENS[:-1], pair.mask_id]]))
    torch.testing.assert_close(
        masked[0], plain_logits(mdm, (*TOKENS[:-1], pair.mask_id), causal=False), rtol=1e-4, atol=1e-4
    )
    assert model.tokenizer("Mary gave").input_ids == build_tokenizer()("Mary gave").input_ids


@pytest.mark.parametrize("name", ["dream", "diffullama", "diffugpt-m", "qwen3-mdlm"])
def test_neurons_are_compared_in_every_format(cache: Path, name: str) -> None:
    arm, mdm = checkpoints.write_pair(cache, name)
    pair = pair_named(name)
    cosines = neuron_cosines(pair.folder("mdm"), pair.folder("arm"))
    layers = [(m.transformer.h if hasattr(m, "transformer") else m.model.layers) for m in (mdm, arm)]
    for layer in range(checkpoints.LAYERS):
        ours, theirs = (blocks[layer].mlp for blocks in layers)
        if hasattr(ours, "c_fc"):
            sides = [(ours.c_fc.weight.T, theirs.c_fc.weight.T), (ours.c_proj.weight, theirs.c_proj.weight)]
        else:
            sides = [(ours.up_proj.weight, theirs.up_proj.weight), (ours.down_proj.weight.T, theirs.down_proj.weight.T)]
        for values, (a, b) in zip((cosines.into[layer], cosines.out[layer]), sides, strict=True):
            np.testing.assert_allclose(values, torch.cosine_similarity(a, b, dim=1).numpy(), atol=1e-5)


def test_a_hub_model_is_known_by_its_commit(cache: Path) -> None:
    checkpoints.write_pair(cache, "diffugpt-s")
    pair = pair_named("diffugpt-s")
    assert weights_id(pair.folder("arm")) == f"{pair.arm}@{pair.arm_revision}"
    assert weights_id(pair.folder("mdm")) == f"{pair.mdm}@0123abc"


def test_bf16_is_loaded_as_such(cache: Path) -> None:
    _, mdm = checkpoints.write_pair(cache, "qwen3-mdlm")
    model = load(pair_named("qwen3-mdlm"), "mdm", "bfloat16", "cpu")
    logits = model.logits(torch.tensor([TOKENS]))[0]
    assert logits.dtype == torch.bfloat16
    expected = plain_logits(mdm, TOKENS, causal=False)
    assert (logits.float() - expected).abs().max() < 0.05 * expected.abs().max()


def test_an_unknown_class_of_an_mdm_is_its_arms(tmp_path: Path) -> None:
    """A pair that no registry describes: two folders, the MDM's config naming code of its own."""
    checkpoints.write(tmp_path / "arm", checkpoints.QWEN_7B)
    plain = checkpoints.write(tmp_path / "mdm", checkpoints.DREAM, seed=1)
    model = load(Pair("mine", "Mine", str(tmp_path / "arm"), str(tmp_path / "mdm"), mask_id=151666), "mdm")
    torch.testing.assert_close(
        model.logits(torch.tensor([TOKENS]))[0], plain_logits(plain, TOKENS, causal=False), rtol=1e-4, atol=1e-4
    )


def test_a_model_whose_layers_are_placed_one_by_one_is_the_same_model(tmp_path: Path) -> None:
    """accelerate's hooks around every module, as over several GPUs: they survive the bridge and the plain copy."""
    plain = checkpoints.write(tmp_path, checkpoints.SMALL_CODER)
    for placed in (load_weights(tmp_path, device="auto"), load_weights(tmp_path)):
        dispatch_model(placed, {"": "cpu"}, force_hooks=True)
        placed.config.is_causal = False
        model = wrap(placed, build_tokenizer(), causal=False, mask_token=3)
        for logits in (model.logits(torch.tensor([TOKENS]))[0], plain_logits(model.plain, TOKENS, causal=False)):
            torch.testing.assert_close(logits, plain_logits(plain, TOKENS, causal=False), rtol=1e-4, atol=1e-4)


def test_a_tied_head_that_was_written_too_changes_nothing(tmp_path: Path) -> None:
    written = replace(checkpoints.SMALL_CODER, left_out=())
    plain = checkpoints.write(tmp_path, written)
    assert "lm_head.weight" in load_file(tmp_path / "model.safetensors")
    torch.testing.assert_close(
        load_weights(tmp_path)(torch.tensor([TOKENS])).logits[0], plain_logits(plain, TOKENS, causal=True)
    )


def test_a_head_that_was_untied_keeps_its_own_weights(tmp_path: Path) -> None:
    """The config says tied but the file holds two different matrices: neither is thrown away."""
    checkpoints.write(tmp_path, replace(checkpoints.SMALL_CODER, left_out=()))
    change(tmp_path, lambda state: {**state, "lm_head.weight": 2 * state["lm_head.weight"]})
    model = load_weights(tmp_path)
    torch.testing.assert_close(model.lm_head.weight, 2 * model.model.embed_tokens.weight)


def change(folder: Path, make: Callable[[dict[str, torch.Tensor]], dict[str, torch.Tensor]]) -> None:
    file = folder / "model.safetensors"
    save_file(make(load_file(file)), file, metadata={"format": "pt"})


def without(name: str) -> Callable[[Path], None]:
    return lambda folder: change(folder, lambda state: {key: v for key, v in state.items() if key != name})


def with_key(name: str) -> Callable[[Path], None]:
    return lambda folder: change(folder, lambda state: {**state, name: torch.ones(2)})


def resized(name: str) -> Callable[[Path], None]:
    return lambda folder: change(folder, lambda state: {**state, name: state[name][:-1].contiguous()})


def file_with(name: str, content: bytes | None) -> Callable[[Path], None]:
    """Replace a file; None: remove it."""

    def breakage(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        if content is not None:
            (folder / name).write_bytes(content)

    return breakage


def index_of(*names: str) -> Callable[[Path], None]:
    def breakage(folder: Path) -> None:
        (folder / "model.safetensors").unlink()
        weight_map = {str(i): name for i, name in enumerate(names)}
        (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": weight_map}))

    return breakage


def pickled(folder: Path) -> None:
    (folder / "model.safetensors").rename(folder / "pytorch_model.bin")


def config_with(**fields: object) -> Callable[[Path], None]:
    def breakage(folder: Path) -> None:
        file = folder / "config.json"
        file.write_text(json.dumps({**json.loads(file.read_text()), **fields}))

    return breakage


NORM, UP = "model.norm.weight", "model.layers.1.mlp.up_proj.weight"
BREAKAGES: dict[str, tuple[Callable[[Path], None], str]] = {
    "missing key": (without(UP), rf"do not fit the model: missing keys: {UP}\."),
    "unexpected key": (with_key("model.layers.0.extra"), r"unexpected keys: model\.layers\.0\.extra\."),
    "size": (resized(UP), rf"mismatched keys: {UP} \(\[11, 16\] in the file, \[12, 16\] in the model\)"),
    "fewer rows": (resized("model.embed_tokens.weight"), r"mismatched keys: .*\[151935, 16\] in the file"),
    "truncated": (file_with("model.safetensors", b"\x08\0\0\0\0\0\0\0{}"), "cannot be read as safetensors.*again"),
    "no weights": (file_with("model.safetensors", None), "There are no weights in .*model.safetensors or"),
    "pickled": (pickled, r"pickled \(pytorch_model\.bin\).*must be safetensors.*save_pretrained"),
    "shard gone": (index_of("model-1.safetensors"), r"names model-1\.safetensors: the weights are not complete"),
    "shard elsewhere": (index_of("../model-1.safetensors"), r"names '\.\./model-1\.safetensors', which is no safet"),
    "no config": (file_with("config.json", None), r"the folder has no config\.json"),
    "config": (file_with("config.json", b"{"), r"config\.json is not valid JSON"),
    "unknown class": (
        config_with(model_type="Dream", architectures=["DreamModel"]),
        "is a DreamModel, which can't be scored.*never run.*architecture = ",
    ),
    "no language model": (config_with(model_type="clip", architectures=["CLIPModel"]), "is a CLIPModel, which"),
    "quantised": (config_with(quantization_config={"bits": 4}), "quantised"),
}


@pytest.mark.parametrize("kind", BREAKAGES)
def test_a_broken_checkpoint_says_what_is_wrong(tmp_path: Path, kind: str) -> None:
    breakage, message = BREAKAGES[kind]
    checkpoints.write(tmp_path, checkpoints.SMALL_CODER)
    load_weights(tmp_path)
    breakage(tmp_path)
    with pytest.raises(UserError, match=message):
        load_weights(tmp_path)


def test_a_wrapper_without_a_mapping_lists_keys_and_what_to_write(tmp_path: Path) -> None:
    """Loaded the plain way, this checkpoint is silently random."""
    checkpoints.write(tmp_path, checkpoints.diffugpt(50257))
    with pytest.raises(UserError) as caught:
        load_weights(tmp_path, "GPT2LMHeadModel")
    message = str(caught.value)
    assert "missing keys: lm_head.weight, transformer.h.0.attn.c_attn.bias" in message and " and 21 more; " in message
    assert "unexpected keys: denoise_model.h.0.attn.c_attn.weight" in message and " and 18 more. " in message
    assert 'mdm_keys = { "denoise_model." = "transformer." }' in message


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        ({"mask_id": 151936}, "mask is token 151936, but the model has embeddings for tokens 0 to 151935"),
        ({"mask_token": "<nope>"}, "no mask token '<nope>'"),
    ],
)
def test_a_mask_that_is_none_is_refused(tmp_path: Path, mask: dict[str, object], message: str) -> None:
    checkpoints.write(tmp_path, checkpoints.SMALL_CODER)
    with pytest.raises(UserError, match=message):
        load(Pair("mine", "Mine", str(tmp_path), str(tmp_path), **mask), "mdm", device="cpu")


def test_a_tokenizer_of_another_model_is_refused(tmp_path: Path) -> None:
    config = checkpoints.qwen2_config(40, tied=True)
    checkpoints.write(tmp_path, checkpoints.Format(checkpoints.qwen2(40, tied=True), config, left_out=checkpoints.TIED))
    with pytest.raises(UserError, match=r"tokenizer has \d+ tokens, but the model in .* has embeddings for 40"):
        load(Pair("mine", "Mine", str(tmp_path), str(tmp_path)), "arm", device="cpu")


def test_a_mask_is_found_in_the_models_own_files(tmp_path: Path) -> None:
    checkpoints.write(tmp_path, checkpoints.SMALL_CODER)
    pair = Pair("mine", "Mine", str(tmp_path), str(tmp_path))
    assert load(pair, "mdm", device="cpu").mask_id == 3  # the tokenizer's <mask>
    content = json.loads((tmp_path / "tokenizer_config.json").read_text())
    (tmp_path / "tokenizer_config.json").write_text(json.dumps({k: v for k, v in content.items() if k != "mask_token"}))
    with pytest.raises(UserError, match=r"Nothing says which token masks.*mask_token or mask_id.*--mask-token"):
        load(pair, "mdm", device="cpu")
    config_with(mask_token_id=77)(tmp_path)
    assert load(pair, "mdm", device="cpu").mask_id == 77


def test_what_was_not_downloaded_says_how_to_get_it(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pair = pair_named("diffullama")
    with pytest.raises(UserError) as caught:
        load(pair, "arm")
    message = str(caught.value)
    assert f"hf download meta-llama/Llama-2-7b-hf --revision {pair.arm_revision}" in message
    assert (
        "https://huggingface.co/meta-llama/Llama-2-7b-hf" in message and "set HF_TOKEN or run hf auth login" in message
    )
    assert "HF_HUB_OFFLINE is set" in message and "HF_HOME" in message and str(cache) in message
    monkeypatch.setenv("HF_TOKEN", "secret")
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", False)
    with pytest.raises(UserError) as caught:
        load(pair, "arm")
    assert "(HF_TOKEN is set)" in str(caught.value) and "OFFLINE" not in str(caught.value)
    assert "secret" not in str(caught.value)
