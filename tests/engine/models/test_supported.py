"""Which models can be scored: no other class is taken for one of them, and every wrong weight is named."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from engine.errors import UserError
from engine.inspection.neuron_cosines import neuron_cosines
from engine.models.config_fields import BY_TYPE
from engine.models.loading import load_weights
from engine.models.model import load
from engine.models.pair import Pair
from engine.models.pairs import pair_named, same_weights
from engine.models.supported import class_of
from engine.runs import lifecycle, stored
from engine.runs.spec import RunSpec
from tests.engine.models.folders import (
    WEIGHTS,
    Change,
    config,
    copied,
    made,
    pair_in,
    value_at,
)

Q, UP, NORM = "model.layers.1.self_attn.q_proj.weight", "model.layers.1.mlp.up_proj.weight", "model.norm.weight"
EMBED, HEAD, LN = "model.embed_tokens.weight", "lm_head.weight", "model.layers.1.input_layernorm.weight"


def test_no_other_model_of_transformers_is_taken_for_one_that_is_scored() -> None:
    for kind, name in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.items():
        config = {"model_type": kind, "architectures": [name]}
        if kind in BY_TYPE:
            assert class_of(Path(), config) == BY_TYPE[kind] == name
            continue
        for architecture in (None, "LlamaForCausalLM"):
            with pytest.raises(UserError):
                class_of(Path(), config, architecture)


NUMBERS: dict[str, tuple[Change, str]] = {
    **{
        f"{key} {value}": (
            value_at(key, value),
            f"the ARM of the pair mine .*: {key} holds NaN or infinity, read as float32",
        )
        for key in (Q, UP, LN, NORM, EMBED, HEAD)
        for value in (float("nan"), float("inf"))
    },
    "zero head": (made(HEAD, torch.zeros_like), f"{HEAD} is zero everywhere"),
    "zero embedding": (made(EMBED, torch.zeros_like), f"{EMBED} is zero everywhere"),
    "overflow": (made(NORM, lambda x: 1e300 * x.double()), f"{NORM} holds NaN or infinity, read as float32"),
    **{
        f"whole {dtype}": (made(UP, lambda x, dtype=dtype: x.to(dtype)), f"no plain numbers: {UP} is stored as")
        for dtype in (torch.int8, torch.uint8, torch.int32, torch.int64, torch.float8_e4m3fn)
    },
}


@pytest.mark.parametrize("kind", NUMBERS)
def test_weights_that_are_no_numbers_are_named(models: Path, tmp_path: Path, kind: str) -> None:
    change, wanted = NUMBERS[kind]
    folder = copied(models, tmp_path / "model")
    load(pair_in(folder), "arm", device="cpu")
    change(folder)
    with pytest.raises(UserError, match=wanted):
        load(pair_in(folder), "arm", device="cpu")


def test_weights_that_overflow_in_the_runs_format_are_named(models: Path, tmp_path: Path) -> None:
    folder = copied(models, tmp_path / "model")
    made(NORM, lambda x: torch.full_like(x, torch.finfo(torch.float32).max))(folder)
    load_weights(folder)
    with pytest.raises(UserError, match=f"{NORM} holds NaN or infinity, read as bfloat16"):
        load_weights(folder, dtype="bfloat16")


def test_nothing_is_stored_of_weights_that_are_no_numbers(
    models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = copied(models, tmp_path / "model")
    value_at(EMBED, float("nan"))(folder)
    (tmp_path / "pairs.toml").write_text(
        f'[mine]\ntitle = "Mine"\narm = "{models / "llama"}"\nmdm = "model"\nmask_token = "<mask>"\n'
    )
    monkeypatch.setenv("CIRCUITS_PAIRS", str(tmp_path / "pairs.toml"))
    with pytest.raises(UserError, match=f"the MDM of the pair mine .*{EMBED} holds NaN"):
        lifecycle.run(RunSpec("mine", model="mdm", n=2))
    assert stored.list_runs() == []


def test_a_checkpoint_is_checked_as_well(models: Path, tmp_path: Path) -> None:
    step = copied(models, tmp_path / "steps" / "000007")
    value_at(Q, float("nan"))(step)
    pair = replace(pair_in(models / "llama"), steps=(7,), steps_dir=str(tmp_path / "steps"), mask_token="<mask>")  # noqa: S106
    with pytest.raises(UserError, match=f"the MDM after 7 steps of the pair mine .*: {Q} holds NaN"):
        load(pair, "step:7", device="cpu")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_compared_only_are_checked_as_well(models: Path, tmp_path: Path, value: float) -> None:
    folder = copied(models, tmp_path / "model")
    value_at(UP, value)(folder)
    with pytest.raises(UserError, match=f"{UP} of .* hold NaN"):
        neuron_cosines(str(models / "llama"), str(folder))


def test_models_of_equal_weights_are_recognised(models: Path, tmp_path: Path) -> None:
    """The same folder, or a copy with another config; one changed weight, and they are two."""
    assert "the same weights" in str(same_weights(pair_in(models / "llama")))
    assert same_weights(pair_named("embedded")) is None
    folder = copied(models, tmp_path / "model")
    config(is_causal=False)(folder)
    pair = Pair("mine", "Mine", str(models / "llama"), str(folder))
    assert "the same weights" in str(same_weights(pair))
    value_at(Q, 0.5)(folder)
    assert same_weights(pair) is None
    (folder / WEIGHTS).unlink()
    assert same_weights(pair) is None
