"""What a model's folder may hold: each wrong value, weight or file is named, at once and before anything is built."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import AutoModelForCausalLM, LlamaConfig, LlamaForCausalLM
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES

from engine import doctor, settings
from engine.__main__ import main
from engine.errors import UserError
from engine.inspection.neuron_cosines import neuron_cosines
from engine.models.config_fields import ACTIVATIONS, BY_TYPE
from engine.models.fast_model import embed, hidden, output_logits
from engine.models.loading import load_weights
from engine.models.model import load
from engine.models.pair import Pair
from engine.models.pairs import pair_named, same_weights
from engine.models.scorable import refuse_unscorable
from engine.models.supported import class_of
from engine.runs import lifecycle
from engine.runs.records import RunTables
from engine.runs.spec import RunSpec
from engine.training.word_tokenizer import build_tokenizer
from tests import tiny

Change = Callable[[Path], None]
WEIGHTS, CONFIG, TOKENIZER = "model.safetensors", "config.json", "tokenizer.json"
Q, UP, NORM = "model.layers.1.self_attn.q_proj.weight", "model.layers.1.mlp.up_proj.weight", "model.norm.weight"
EMBED, HEAD, LN = "model.embed_tokens.weight", "lm_head.weight", "model.layers.1.input_layernorm.weight"


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small model of every architecture, with as many tokens as its tokenizer has."""
    place, words = tmp_path_factory.mktemp("models"), len(build_tokenizer())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(tiny, "VOCAB", words)
        patch.setitem(tiny.SHARED, "vocab_size", words)
        for architecture in tiny.ARCHITECTURES:
            tiny.hf_model(architecture).save_pretrained(place / architecture)
            build_tokenizer().save_pretrained(place / architecture)
    return place


def copied(models: Path, place: Path, architecture: str = "llama") -> Path:
    """A model's folder of the test's own."""
    place.mkdir(parents=True)
    for file in (models / architecture).iterdir():
        (place / file.name).write_bytes(file.read_bytes())
    return place


def pair_in(folder: Path, **fields: Any) -> Pair:
    return Pair("mine", "Mine", str(folder), str(folder), **fields)


def said_of(folder: Path, model: str = "arm", **fields: Any) -> tuple[str, str]:
    """What is said of a folder: without torch, and by whoever loads it. Neither takes long."""
    found = []
    for ask in (refuse_unscorable, lambda pair, model: load(pair, model, device="cpu")):
        began = time.monotonic()
        with pytest.raises(UserError) as caught:
            ask(pair_in(folder, **fields), model)
        assert time.monotonic() - began < 10
        assert len(str(caught.value)) < 900
        found.append(str(caught.value))
    return found[0], found[1]


def config(**fields: Any) -> Change:
    def change(folder: Path) -> None:
        file = folder / CONFIG
        file.write_text(json.dumps({**json.loads(file.read_text()), **fields}))

    return change


def written(name: str, content: str | bytes) -> Change:
    return lambda folder: (
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode()) and None
    )


FIELDS: list[tuple[str, str, list[Any]]] = [  # architecture, field, values that it can't have
    ("llama", "num_hidden_layers", ["2", 1_000_000, 0, -1, 1e3, True, None, [2], 3, 1]),
    ("llama", "hidden_act", ["nope", 3, "", ["silu"]]),
    ("llama", "rms_norm_eps", [0, -1e-6, "1e-6", True, 1e400, float("nan")]),
    ("llama", "num_attention_heads", [7, 0, "4", 3, -4, 10**30]),
    ("llama", "num_key_value_heads", [3, 0, -1, "2", 8, 1]),
    ("llama", "rope_theta", [0, -1, "x", [1]]),
    ("llama", "rope_scaling", [{"type": "nope"}, {"rope_type": "linear", "factor": 0}, {"type": "linear"}, [1], "x"]),
    ("llama", "rope_scaling", [{"rope_type": "llama3", "factor": 8}, {"rope_type": ["x"]}]),
    ("llama", "rope_scaling", [{"rope_type": "yarn", "factor": "x"}]),
    ("llama", "rope_parameters", [{"rope_theta": 0}, {"full_attention": {"rope_theta": 1}}]),
    ("llama", "rope_parameters", [{"rope_type": "longrope", "short_factor": [1], "long_factor": [1]}]),
    ("llama", "rope_scaling", [{"type": "dynamic", "factor": 2.0}]),
    ("llama", "rope_parameters", [{"rope_theta": 1e4, "partial_rotary_factor": 0.5}]),
    ("llama", "pad_token_id", [10**9, -5, "x", 10**90]),
    ("llama", "vocab_size", [10**12, 0, -1, "61", 10**6]),
    ("llama", "intermediate_size", [0, -1, 47, 10**9, "48"]),
    ("llama", "hidden_size", [0, 33, "32", 64, 10**9]),
    ("llama", "head_dim", [0, 3, 4, 16, "8", 10**9]),
    ("llama", "max_position_embeddings", [0, -1, "x", 10**30]),
    ("llama", "attention_bias", ["yes", 1]),
    ("llama", "tie_word_embeddings", ["x", 3]),
    ("llama", "sliding_window", [4, 0, "x"]),
    ("llama", "layer_types", [["sliding_attention"] * 2, ["chunked_attention"] * 2, "x"]),
    ("qwen2", "layer_types", [["sliding_attention", "full_attention"], ["full_attention"], [3, 4]]),
    ("qwen2", "use_sliding_window", ["x"]),
    ("gpt2", "n_layer", ["x", 3, 10**6]),
    ("gpt2", "n_head", [3, 0, "x"]),
    ("gpt2", "n_embd", [31, 0, 48]),
    ("gpt2", "n_inner", [7, 0, "x"]),
    ("gpt2", "layer_norm_epsilon", [0, -1, "x"]),
    ("gpt2", "activation_function", ["nope"]),
    ("gpt2", "n_positions", [0, 5, 10**9]),
    ("gpt2", "scale_attn_weights", [False]),
    *(
        ("llama", field, [value])
        for field, value in {
            "attn_logit_softcapping": 30.0, "final_logit_softcapping": 30.0, "query_pre_attn_scalar": 256,
            "num_experts": 8, "num_local_experts": 8, "logit_scale": 0.0625, "logits_scaling": 8.0,
            "residual_multiplier": 0.22, "embedding_multiplier": 12.0, "attention_multiplier": 0.0078,
            "partial_rotary_factor": 0.5, "attention_chunk_size": 8192, "attention_sinks": 4, "alibi": True,
            "use_parallel_residual": True, "qk_norm": True, "no_rope_layers": [1, 1, 0], "clip_qkv": 8, "bd_size": 32,
        }.items()
    ),
]  # fmt: skip


@pytest.mark.parametrize(
    ("architecture", "field", "value"),
    [(architecture, field, value) for architecture, field, values in FIELDS for value in values],
    ids=lambda one: str(one)[:30],
)
def test_a_value_that_a_config_cannot_have_is_named(
    models: Path, tmp_path: Path, architecture: str, field: str, value: Any
) -> None:
    folder = copied(models, tmp_path / "model", architecture)
    config(**{field: value})(folder)
    for said in said_of(folder):
        assert CONFIG in said or "do not fit the model" in said
        assert field in said or "mismatched keys" in said or "is no number" in said


def linked(name: str, target: str) -> Change:
    def change(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).symlink_to(target)

    return change


def instead(name: str, make: Callable[[Path], None]) -> Change:
    def change(folder: Path) -> None:
        (folder / name).unlink(missing_ok=True)
        make(folder / name)

    return change


def without_added(folder: Path) -> None:
    told = json.loads((folder / TOKENIZER).read_text())
    (folder / TOKENIZER).write_text(json.dumps({key: value for key, value in told.items() if key != "added_tokens"}))


def index(told: object) -> Change:
    def change(folder: Path) -> None:
        keys = load_file(folder / WEIGHTS)
        (folder / WEIGHTS).rename(folder / "model-1.safetensors")
        map_of = {"weight_map": dict.fromkeys(keys, "model-1.safetensors")}
        (folder / f"{WEIGHTS}.index.json").write_text(json.dumps(map_of if told is None else told))

    return change


def header(content: bytes) -> Change:
    return written(WEIGHTS, len(content).to_bytes(8, "little") + content)


FILES: dict[str, tuple[Change, str]] = {
    "config list": (written(CONFIG, "[1]"), "is not a table"),
    "config null": (written(CONFIG, "null"), "is not a table"),
    "config deep": (written(CONFIG, '{"a":' * 100_000), "more than 100 deep"),
    "config digits": (written(CONFIG, '{"vocab_size": ' + "9" * 5000 + "}"), "a number of more than 100 digits"),
    "config NaN": (written(CONFIG, '{"rms_norm_eps": NaN}'), "NaN, which is no number"),
    "config empty": (written(CONFIG, ""), "is not valid JSON"),
    "config binary": (written(CONFIG, b"\xff\xfe\x00"), "is not UTF-8 text"),
    "config huge": (written(CONFIG, '{"a":"' + "x" * (2**26) + '"}'), "67108864 are the most"),
    "config endless": (linked(CONFIG, "/dev/zero"), "a pipe or a device"),
    "config loop": (linked(CONFIG, CONFIG), "a link to a file that is not there"),
    "tokenizer garbage": (written(TOKENIZER, "xyz"), "tokenizer.json is not valid JSON"),
    "tokenizer empty": (written(TOKENIZER, "{}"), "tokenizer.json lacks added_tokens"),
    "tokenizer no added": (without_added, 'lacks added_tokens.*Add "added_tokens": ..'),
    "tokenizer deep": (written(TOKENIZER, "[" * 100_000), "more than 100 deep"),
    "tokenizer dangling": (linked(TOKENIZER, "nowhere"), "tokenizer.json is a link to a file that is not there"),
    "weights dangling": (linked(WEIGHTS, "nowhere"), "model.safetensors is a link to a file that is not there"),
    "weights loop": (linked(WEIGHTS, WEIGHTS), "model.safetensors is a link to a file that is not there"),
    "weights pipe": (instead(WEIGHTS, os.mkfifo), "model.safetensors is a pipe or a device"),
    "config pipe": (instead(CONFIG, os.mkfifo), "config.json is a pipe or a device"),
    "tokenizer pipe": (instead(TOKENIZER, os.mkfifo), "tokenizer.json is a pipe or a device"),
    "settings pipe": (instead("generation_config.json", os.mkfifo), "generation_config.json is a pipe or a device"),
    "weights folder": (instead(WEIGHTS, Path.mkdir), "model.safetensors is a folder"),
    "weights empty": (written(WEIGHTS, b""), "cannot be read as safetensors"),
    "weights long header": (written(WEIGHTS, b"\xff" * 8 + b"{}"), "cannot be read as safetensors"),
    "weights list": (header(b"[]"), "cannot be read as safetensors"),
    "weights shape": (header(b'{"a":{"dtype":"F32","shape":["x"],"data_offsets":[0,0]}}'), "cannot be read as safet"),
    "index without metadata": (index(None), 'has no metadata.*Add "metadata"'),
    "index list": (index([]), "is not a table"),
    "index map list": (index({"metadata": {}, "weight_map": [1]}), "is not an index"),
    "index long name": (index({"metadata": {}, "weight_map": {"a": "x" * 300 + ".safetensors"}}), "cannot be read"),
    "adapter": (written("adapter_config.json", "{}"), "holds an adapter"),
    "gemma": (config(architectures=["GemmaForCausalLM"], model_type="gemma"), "is a GemmaForCausalLM, which can't be"),
    "ministral": (config(architectures=["MinistralForCausalLM"], model_type="ministral"), "is a MinistralForCausalLM"),
    "two kinds": (config(model_type="mistral"), "says model_type 'mistral'"),
    "in blocks": (config(architectures=["SDARForCausalLM"], model_type="sdar"), "denoises in blocks"),
}


@pytest.mark.parametrize("kind", FILES)
def test_a_file_that_is_none_is_named(models: Path, tmp_path: Path, kind: str) -> None:
    change, wanted = FILES[kind]
    folder = copied(models, tmp_path / "model")
    change(folder)
    with pytest.raises(UserError, match=wanted):
        refuse_unscorable(pair_in(folder), "arm")
    assert len(said_of(folder)) == 2


def test_doctor_run_and_pages_give_one_answer(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = copied(models, tmp_path / "model")
    FILES["gemma"][0](folder)
    table = '[mine]\ntitle = "Mine"\narm = "model"\nmdm = "model"\nmask_token = "<mask>"\n'
    (tmp_path / "pairs.toml").write_text(table)
    monkeypatch.setenv("CIRCUITS_PAIRS", str(tmp_path / "pairs.toml"))
    said = "\n".join(doctor.pair(pair_named("mine")))
    assert "refused     mine, arm: The model in" in said and "GemmaForCausalLM, which can't be scored" in said
    assert "fits" not in said
    assert any("mine (Mine): arm refused, mdm refused" in line for line in doctor.machine())
    for model in ("arm", "mdm"):
        assert "GemmaForCausalLM, which can't be scored" in str(lifecycle.obstacle(RunSpec("mine", model=model)))
        with pytest.raises(UserError, match="GemmaForCausalLM, which can't be scored"):
            lifecycle.run(RunSpec("mine", model=model))
    assert lifecycle.list_runs() == []


@pytest.mark.parametrize(
    ("setting", "what"),
    [
        ({"num_hidden_layers": 3}, "3 layers"),
        ({"hidden_size": 48}, "48 numbers a token"),
        ({"intermediate_size": 12}, "12 neurons a layer"),
    ],
)
def test_an_mdm_of_another_size_than_its_arm_is_refused_before_anything_is_computed(
    models: Path, tmp_path: Path, setting: dict[str, int], what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arm, config = copied(models, tmp_path / "arm"), LlamaConfig.from_pretrained(models / "llama")
    config.update(setting)
    LlamaForCausalLM(config).save_pretrained(tmp_path / "mdm")
    build_tokenizer().save_pretrained(tmp_path / "mdm")
    command = ["--arm", str(arm), "--mdm", str(tmp_path / "mdm"), "--mask-token", "<mask>", "--not-shifted"]
    for name in ("run", "compare"):
        assert main([name, *command, "--n", "2"], compute=not_called) == 2
        said = capsys.readouterr().err
        assert f"has {what}, the ARM in {arm} has" in said and "they are no pair" in said
    assert lifecycle.list_runs() == [] and not list(settings.kept_pairs_dir().glob("*"))


def not_called(spec: RunSpec, on_progress: object) -> RunTables:
    raise AssertionError(spec)


def test_no_other_model_of_transformers_is_taken_for_one_that_is_scored() -> None:
    for kind, name in MODEL_FOR_CAUSAL_LM_MAPPING_NAMES.items():
        told = {"model_type": kind, "architectures": [name]}
        if kind in BY_TYPE:
            assert class_of(Path(), told) == BY_TYPE[kind] == name
            continue
        for architecture in (None, "LlamaForCausalLM"):
            with pytest.raises(UserError):
                class_of(Path(), told, architecture)


def value_at(key: str, value: float) -> Change:
    def change(folder: Path) -> None:
        tensors = load_file(folder / WEIGHTS)
        tensors[key].view(-1)[5] = value
        save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})

    return change


def made(key: str, make: Callable[[Tensor], Tensor]) -> Change:
    def change(folder: Path) -> None:
        tensors = load_file(folder / WEIGHTS)
        tensors[key] = make(tensors[key])
        save_file(tensors, folder / WEIGHTS, metadata={"format": "pt"})

    return change


NUMBERS: dict[str, tuple[Change, str]] = {
    **{
        f"{key} {value}": (value_at(key, value), f"mine, arm .*: {key} holds NaN or infinity, read as float32")
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
    with pytest.raises(UserError, match=f"mine, mdm .*{EMBED} holds NaN"):
        lifecycle.run(RunSpec("mine", model="mdm", n=2))
    assert lifecycle.list_runs() == []


ROTATED: dict[str, dict[str, Any]] = {
    "linear": {"factor": 2.0},
    "yarn": {"factor": 4.0, "original_max_position_embeddings": 16},
    "llama3": {
        "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 16
    },
}  # fmt: skip
ALLOWED: list[tuple[str, dict[str, Any]]] = [
    *(("llama", {"rope_parameters": {"rope_type": k, "rope_theta": 1e4, **v}}) for k, v in ROTATED.items()),
    *(("llama", {"hidden_act": name}) for name in ACTIVATIONS),
    *(("gpt2", {"activation_function": name}) for name in ACTIVATIONS),
]


@pytest.mark.parametrize(("architecture", "fields"), ALLOWED, ids=lambda one: str(one)[:50])
def test_what_a_config_may_say_is_computed(
    models: Path, tmp_path: Path, architecture: str, fields: dict[str, Any]
) -> None:
    """Logits of the bridge and of the plain model against transformers' own class."""
    folder, ids = copied(models, tmp_path / "model", architecture), torch.arange(5, 25)[None]
    config(**fields)(folder)
    model = load(pair_in(folder), "arm", device="cpu")
    expected = AutoModelForCausalLM.from_pretrained(folder)(ids).logits
    bias = model.attention_bias(torch.ones_like(ids, dtype=torch.bool))
    plain = output_logits(model.plain, hidden(model.plain, embed(model.plain, ids), bias))
    for found in (model.logits(ids), plain):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_a_checkpoint_is_looked_at_as_well(models: Path, tmp_path: Path) -> None:
    step = copied(models, tmp_path / "steps" / "000007")
    value_at(Q, float("nan"))(step)
    pair = replace(pair_in(models / "llama"), steps=(7,), steps_dir=str(tmp_path / "steps"), mask_token="<mask>")  # noqa: S106
    with pytest.raises(UserError, match=f"mine, step:7 .*: {Q} holds NaN"):
        load(pair, "step:7", device="cpu")


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_weights_that_are_compared_only_are_looked_at_as_well(models: Path, tmp_path: Path, value: float) -> None:
    folder = copied(models, tmp_path / "model")
    value_at(UP, value)(folder)
    with pytest.raises(UserError, match=f"{UP} of .* hold NaN"):
        neuron_cosines(str(models / "llama"), str(folder))


MASKS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {  # the pair's, the tokenizer's, what is said
    "unknown": ({"mask_token": "<nope>"}, {}, "has no mask token '<nope>'"),
    "beyond": ({"mask_id": 10**6}, {}, "embeddings for tokens 0 to"),
    "a number": ({}, {"mask_token": 3}, "mask_token = 3. It must be a token"),
    "a list": ({}, {"mask_token": ["<mask>"]}, "It must be a token"),
    "empty": ({}, {"mask_token": ""}, "It must be a token"),
    "truth": ({}, {"mask_token": True}, "mask_token = True. It must be a token"),
}


@pytest.mark.parametrize("kind", MASKS)
def test_a_mask_that_is_none_is_refused_before_weights_are_read(models: Path, tmp_path: Path, kind: str) -> None:
    fields, settings, wanted = MASKS[kind]
    folder = copied(models, tmp_path / "model")
    file = folder / "tokenizer_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **settings}))
    with pytest.raises(UserError, match=wanted):
        refuse_unscorable(pair_in(folder, **fields), "mdm")


def test_models_of_equal_weights_are_told_as_such(models: Path, tmp_path: Path) -> None:
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
