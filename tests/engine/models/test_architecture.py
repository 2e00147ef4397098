"""The shape of a model: read from config.json under either family's names, counted into parameters, refused by name."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine.errors import UserError
from engine.models.architecture import MOST, Shape, read_config, shape_in

LLAMA = {"num_hidden_layers": 2, "num_attention_heads": 4, "hidden_size": 16, "vocab_size": 50}


def written(folder: Path, config: Any) -> Path:
    (folder / "config.json").write_text(json.dumps(config))
    return folder


def test_what_a_config_leaves_out_follows_from_the_rest(tmp_path: Path) -> None:
    assert shape_in(written(tmp_path, LLAMA)) == Shape(2, 4, 4, 4, 16, 64, 50, tied=False)
    gpt2 = {"n_layer": 2, "n_head": 4, "n_embd": 16, "vocab_size": 50}
    assert shape_in(written(tmp_path, gpt2)) == Shape(2, 4, 4, 4, 16, 64, 50, tied=True, gated=False)


def test_what_a_config_says_is_taken(tmp_path: Path) -> None:
    stated = {"num_key_value_heads": 2, "head_dim": 6, "intermediate_size": 48, "tie_word_embeddings": True}
    assert shape_in(written(tmp_path, {**LLAMA, **stated})) == Shape(2, 4, 2, 6, 16, 48, 50, tied=True)


def test_parameters_are_attention_mlp_and_embeddings() -> None:
    attention, mlp, embedding = 2 * 16 * 6 * (4 + 2), 16 * 48, 50 * 16
    assert Shape(2, 4, 2, 6, 16, 48, 50, tied=True).parameters == 2 * (attention + 3 * mlp) + embedding
    assert (
        Shape(2, 4, 2, 6, 16, 48, 50, tied=False, gated=False).parameters == 2 * (attention + 2 * mlp) + 2 * embedding
    )


@pytest.mark.parametrize("value", [0, -1, MOST + 1, "2", 2.0, True, [2]])
def test_a_size_that_none_has_is_named(tmp_path: Path, value: object) -> None:
    with pytest.raises(UserError, match=r"config\.json says hidden_size = .*It must be a whole number from 1 to"):
        shape_in(written(tmp_path, {**LLAMA, "hidden_size": value}))


@pytest.mark.parametrize("name", LLAMA)
def test_a_size_that_is_missing_is_named(tmp_path: Path, name: str) -> None:
    with pytest.raises(UserError, match=rf"config\.json lacks {name}"):
        shape_in(written(tmp_path, {key: value for key, value in LLAMA.items() if key != name}))


def test_a_folder_without_a_config_has_no_model(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"There is no model in .*: the folder has no config\.json"):
        read_config(tmp_path)
