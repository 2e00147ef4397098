"""The numbers of an architecture, from a model's config.json or from the registry: what memory is planned with."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import UserError

ALIASES = {  # ours: as Llama, Qwen and most others write it, as GPT-2 does
    "layers": ("num_hidden_layers", "n_layer"),
    "heads": ("num_attention_heads", "n_head"),
    "d_model": ("hidden_size", "n_embd"),
    "vocabulary": ("vocab_size",),
}


@dataclass(frozen=True)
class Shape:
    """`heads` read with `kv_heads` keys and values of `d_head` each; `mlp` neurons a layer; `tied`: the unembedding is
    the embedding; `gated`: an MLP has a gate beside its input weights.
    """

    layers: int
    heads: int
    kv_heads: int
    d_head: int
    d_model: int
    mlp: int
    vocabulary: int
    tied: bool
    gated: bool = True

    @property
    def parameters(self) -> int:
        """How many weights there are, without biases, norms and learned positions: under 1 % of them."""
        attention = 2 * self.d_model * self.d_head * (self.heads + self.kv_heads)
        mlp = (3 if self.gated else 2) * self.d_model * self.mlp
        embeddings = (1 if self.tied else 2) * self.vocabulary * self.d_model
        return self.layers * (attention + mlp) + embeddings


def shape_in(folder: Path) -> Shape:
    """The shape that a folder's config.json tells.

    Raises:
        UserError: there is no config.json, or it lacks one of the numbers.
    """
    config = read_config(folder)
    found = {}
    for ours, theirs in ALIASES.items():
        value = next((config[name] for name in theirs if type(config.get(name)) is int and config[name] > 0), None)
        if value is None:
            raise UserError(f"{folder / 'config.json'} lacks {' or '.join(theirs)}, a whole number from 1 up.")
        found[ours] = value
    is_gpt2 = "n_embd" in config
    return Shape(
        **found,
        kv_heads=config.get("num_key_value_heads") or found["heads"],
        d_head=config.get("head_dim") or found["d_model"] // found["heads"],
        mlp=config.get("intermediate_size") or config.get("n_inner") or 4 * found["d_model"],
        tied=bool(config.get("tie_word_embeddings", is_gpt2)),
        gated=not is_gpt2,
    )


def read_config(folder: Path) -> dict[str, Any]:
    """A folder's config.json.

    Raises:
        UserError: there is none, or it is not a table.
    """
    if not (folder / "config.json").is_file():
        raise UserError(f"There is no model in {folder}: the folder has no config.json.")
    return read_json(folder / "config.json")


def read_json(file: Path) -> dict[str, Any]:
    """A file's table; empty where there is no file.

    Raises:
        UserError: it is not valid JSON, or not a table.
    """
    try:
        found = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    except (OSError, ValueError) as error:
        raise UserError(f"{file} is not valid JSON.") from error
    if not isinstance(found, dict):
        raise UserError(f"{file} is not a table in JSON, as it should be.")
    return found
