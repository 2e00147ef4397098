"""Cosines between the neurons of two folders whose weights were made for it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import save_file

from engine.errors import UserError
from engine.inspection.neuron_cosines import Cosines, neuron_cosines
from tests import tiny

LAYERS, NEURONS, D_MODEL = 3, 7, 5
Weights = dict[str, torch.Tensor]


def llama(seed: int, prefix: str = "model.") -> Weights:
    """Linear weights [out, in] as transformers stores them, and others that must not be taken for them."""
    generator = torch.Generator().manual_seed(seed)
    weights = {f"{prefix}embed_tokens.weight": torch.randn(11, D_MODEL, generator=generator)}
    for layer in range(LAYERS):
        at = f"{prefix}layers.{layer}."
        for name, shape in (("up", (NEURONS, D_MODEL)), ("gate", (NEURONS, D_MODEL)), ("down", (D_MODEL, NEURONS))):
            weights[f"{at}mlp.{name}_proj.weight"] = torch.randn(*shape, generator=generator)
        weights[f"{at}self_attn.o_proj.weight"] = torch.randn(D_MODEL, D_MODEL, generator=generator)
        weights[f"{at}mlp.up_proj.bias"] = torch.randn(NEURONS, generator=generator)
    return weights


def gpt2(seed: int, prefix: str) -> Weights:
    """Conv1D weights [in, out]; attention has a c_proj too."""
    generator = torch.Generator().manual_seed(seed)
    weights = {f"{prefix}wte.weight": torch.randn(11, D_MODEL, generator=generator)}
    for layer in range(LAYERS):
        weights[f"{prefix}h.{layer}.mlp.c_fc.weight"] = torch.randn(D_MODEL, NEURONS, generator=generator)
        weights[f"{prefix}h.{layer}.mlp.c_proj.weight"] = torch.randn(NEURONS, D_MODEL, generator=generator)
        weights[f"{prefix}h.{layer}.attn.c_proj.weight"] = torch.randn(D_MODEL, D_MODEL, generator=generator)
    return weights


def folder(path: Path, weights: Weights, shards: int = 1) -> str:
    path.mkdir()
    if shards == 1:
        save_file(weights, path / "model.safetensors")
        return str(path)
    weight_map = {}
    for shard in range(shards):
        name = f"model-{shard + 1:05d}-of-{shards:05d}.safetensors"
        part = {key: value for i, (key, value) in enumerate(weights.items()) if i % shards == shard}
        save_file(part, path / name)
        weight_map |= dict.fromkeys(part, name)
    (path / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": weight_map}))
    return str(path)


def cosine(a: torch.Tensor, b: torch.Tensor) -> float:
    return float(a @ b / (a.norm() * b.norm()))


def every(cosines: Cosines) -> np.ndarray:
    return np.stack([values for values in (cosines.into, cosines.gate, cosines.out) if values is not None])


@pytest.mark.parametrize(("sign", "scale"), [(1, 1.0), (-1, 1.0), (1, 17.0), (-1, 0.01)])
@pytest.mark.parametrize("make", [lambda: llama(0), lambda: gpt2(0, "transformer.")], ids=["llama", "gpt2"])
def test_the_same_weights_give_one_and_negated_ones_minus_one(
    tmp_path: Path, make: Callable[[], Weights], sign: int, scale: float
) -> None:
    a = folder(tmp_path / "a", make())
    b = folder(tmp_path / "b", {key: sign * scale * value for key, value in make().items()})
    np.testing.assert_allclose(every(neuron_cosines(a, b)), sign, atol=1e-6)


def test_llama_cosines_equal_a_loop_over_neurons(tmp_path: Path) -> None:
    a, b = llama(0), llama(1)
    cosines = neuron_cosines(folder(tmp_path / "a", a), folder(tmp_path / "b", b))
    assert cosines.gate is not None
    for layer in range(LAYERS):
        at = f"model.layers.{layer}.mlp."
        for j in range(NEURONS):
            for role, name in ((cosines.into, "up_proj"), (cosines.gate, "gate_proj")):
                expected = cosine(a[f"{at}{name}.weight"][j], b[f"{at}{name}.weight"][j])
                assert role[layer, j] == pytest.approx(expected, abs=1e-6)
            expected = cosine(a[f"{at}down_proj.weight"][:, j], b[f"{at}down_proj.weight"][:, j])
            assert cosines.out[layer, j] == pytest.approx(expected, abs=1e-6)


@pytest.mark.parametrize("prefix", ["", "transformer.", "denoise_model."])
def test_gpt2_cosines_equal_a_loop_over_neurons_under_every_prefix(tmp_path: Path, prefix: str) -> None:
    a, b = gpt2(0, ""), gpt2(1, prefix)
    cosines = neuron_cosines(folder(tmp_path / "a", a), folder(tmp_path / "b", b))
    assert cosines.gate is None and cosines.into.shape == cosines.out.shape == (LAYERS, NEURONS)
    for layer in range(LAYERS):
        for j in range(NEURONS):
            fc, proj = f"h.{layer}.mlp.c_fc.weight", f"h.{layer}.mlp.c_proj.weight"
            assert cosines.into[layer, j] == pytest.approx(cosine(a[fc][:, j], b[prefix + fc][:, j]), abs=1e-6)
            assert cosines.out[layer, j] == pytest.approx(cosine(a[proj][j], b[prefix + proj][j]), abs=1e-6)


def test_shards_prefixes_and_precisions_change_nothing(tmp_path: Path) -> None:
    a, other = llama(0), llama(1)
    expected = every(neuron_cosines(folder(tmp_path / "a", a), folder(tmp_path / "b", other)))
    sharded = folder(tmp_path / "sharded", llama(1), shards=4)
    bare = folder(tmp_path / "bare", llama(1, prefix=""))
    np.testing.assert_array_equal(every(neuron_cosines(str(tmp_path / "a"), sharded)), expected)
    np.testing.assert_array_equal(every(neuron_cosines(str(tmp_path / "a"), bare)), expected)
    half = folder(tmp_path / "half", {key: value.bfloat16() for key, value in other.items()}, shards=2)
    np.testing.assert_allclose(every(neuron_cosines(str(tmp_path / "a"), half)), expected, atol=2e-2)


@pytest.mark.parametrize("architecture", tiny.ARCHITECTURES)
def test_what_transformers_saves_is_read(tmp_path: Path, architecture: str) -> None:
    """Cosines against a model whose neuron 3 of layer 1 was turned around in every role, and nothing else."""
    plain, turned = tiny.hf_model(architecture), tiny.hf_model(architecture)
    with torch.no_grad():
        for key, value in turned.state_dict().items():
            if ".1.mlp." in key and key.endswith("weight"):
                by_row = any(name in key for name in ("up_proj", "gate_proj", "c_proj"))
                (value[3] if by_row else value[:, 3]).neg_()
    plain.save_pretrained(tmp_path / "plain")
    turned.save_pretrained(tmp_path / "turned")
    cosines = every(neuron_cosines(str(tmp_path / "plain"), str(tmp_path / "turned")))
    expected = np.ones_like(cosines)
    expected[:, 1, 3] = -1
    np.testing.assert_allclose(cosines, expected, atol=1e-5)


def test_a_hub_id_is_read_from_its_local_snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from huggingface_hub import constants

    home = tmp_path / "models--someone--small"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text("abc123")
    (home / "snapshots").mkdir()
    folder(home / "snapshots" / "abc123", llama(0))
    (home / "snapshots" / "abc123" / "config.json").write_text("{}")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    here = folder(tmp_path / "here", llama(0))
    np.testing.assert_allclose(every(neuron_cosines("someone/small", here)), 1, atol=1e-6)
    with pytest.raises(UserError, match=r"no model at someone/other.*hf download someone/other"):
        neuron_cosines("someone/other", here)
    with pytest.raises(UserError, match=r"no model at someone/small at revision 0f00.*--revision 0f00"):
        neuron_cosines("someone/small@0f00", here)
    np.testing.assert_allclose(every(neuron_cosines("someone/small@abc123", here)), 1, atol=1e-6)


def test_names_that_fit_nothing_are_refused_by_name(tmp_path: Path) -> None:
    a = folder(tmp_path / "a", llama(0))
    odd = folder(tmp_path / "odd", {"encoder.block.0.wi.weight": torch.ones(2, 2), "head.weight": torch.ones(2)})
    with pytest.raises(UserError, match=r"odd/model.safetensors has no MLP weights.*encoder\.block\.0\.wi\.weight"):
        neuron_cosines(a, odd)
    lacking = {key: value for key, value in llama(0).items() if "layers.1.mlp.gate" not in key}
    with pytest.raises(UserError, match="for every layer"):
        neuron_cosines(folder(tmp_path / "lacking", lacking), a)


@pytest.mark.parametrize("value", [float("nan"), float("inf")], ids=str)
@pytest.mark.parametrize("side", [0, 1])
def test_weights_that_are_no_numbers_are_named_with_their_model(tmp_path: Path, side: int, value: float) -> None:
    sides = [llama(0), llama(1)]
    sides[side]["model.layers.1.mlp.down_proj.weight"][2, 3] = value
    sources = [folder(tmp_path / name, weights) for name, weights in zip(("here", "there"), sides, strict=True)]
    with pytest.raises(UserError) as error:
        neuron_cosines(*sources)
    assert f"model.layers.1.mlp.down_proj.weight of {sources[side]} hold NaN or infinite" in str(error.value)


def test_models_of_other_sizes_are_refused(tmp_path: Path) -> None:
    a = folder(tmp_path / "a", llama(0))
    narrow = {key: value[: NEURONS - 1] if "up_proj" in key else value for key, value in llama(0).items()}
    with pytest.raises(UserError, match="different layers or sizes"):
        neuron_cosines(a, folder(tmp_path / "narrow", narrow))
    with pytest.raises(UserError, match="different layers or sizes"):
        neuron_cosines(a, folder(tmp_path / "gpt2", gpt2(0, "")))


@pytest.mark.parametrize(
    ("index", "message"),
    [
        (None, "needs model.safetensors or model.safetensors.index.json"),
        ("not json", "not valid JSON"),
        ("[]", "not a table of fields in JSON"),
        ("{}", "not an index of safetensors files"),
        ('{"weight_map": {"x": "gone.safetensors"}}', "names gone.safetensors: the weights are not complete"),
        ('{"weight_map": {}}', "names no file"),
    ],
)
def test_a_folder_without_weights_is_refused(tmp_path: Path, index: str | None, message: str) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    if index is not None:
        (empty / "model.safetensors.index.json").write_text(index)
    with pytest.raises(UserError, match=message):
        neuron_cosines(str(empty), folder(tmp_path / "a", llama(0)))
