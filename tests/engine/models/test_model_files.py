"""A model's folder may hold anything: each wrong file is named, at once and before anything is built."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from safetensors.torch import load_file

from engine.errors import UserError
from engine.models.scorable import refuse_unscorable
from tests.engine.models.folders import (
    CONFIG,
    TOKENIZER,
    WEIGHTS,
    Change,
    config,
    copied,
    pair_in,
    refusals_of,
    written,
)


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
    content = json.loads((folder / TOKENIZER).read_text())
    (folder / TOKENIZER).write_text(json.dumps({key: value for key, value in content.items() if key != "added_tokens"}))


def index(content: object) -> Change:
    def change(folder: Path) -> None:
        keys = load_file(folder / WEIGHTS)
        (folder / WEIGHTS).rename(folder / "model-1.safetensors")
        map_of = {"weight_map": dict.fromkeys(keys, "model-1.safetensors")}
        (folder / f"{WEIGHTS}.index.json").write_text(json.dumps(map_of if content is None else content))

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
    assert len(refusals_of(folder)) == 2
