"""The numbers of an architecture, from a model's config.json or from the registry: what memory is planned with."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from engine.errors import UserError, shortened
from engine.files.checked import Must
from engine.models.model_files import CONFIG, is_there, read_table

ALIASES = {  # ours: as Llama, Qwen and most others write it, as GPT-2 does
    "layers": ("num_hidden_layers", "n_layer"),
    "heads": ("num_attention_heads", "n_head"),
    "d_model": ("hidden_size", "n_embd"),
    "vocabulary": ("vocab_size",),
}

MOST = 2**24  # of anything that a config counts


Size = Annotated[int, Must(lambda size: size >= 1, "a number from 1 up")]


@dataclass(frozen=True)
class Shape:
    """`heads` read with `kv_heads` keys and values of `d_head` each; `mlp` neurons a layer; `tied`: the unembedding is
    the embedding; `gated`: an MLP has a gate beside its input weights.
    """

    layers: Size
    heads: Size
    kv_heads: Size
    d_head: Size
    d_model: Size
    mlp: Size
    vocabulary: Size
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
    config, file = read_config(folder), folder / CONFIG
    sizes = {}
    for ours, theirs in ALIASES.items():
        value = next((size for name in theirs if (size := _size(file, config, name))), None)
        if value is None:
            raise UserError(f"{file} lacks {' or '.join(theirs)}, a whole number from 1 up.")
        sizes[ours] = value
    is_gpt2 = "n_embd" in config
    return Shape(
        **sizes,
        kv_heads=_size(file, config, "num_key_value_heads") or sizes["heads"],
        d_head=_size(file, config, "head_dim") or sizes["d_model"] // sizes["heads"],
        mlp=_size(file, config, "intermediate_size") or _size(file, config, "n_inner") or 4 * sizes["d_model"],
        tied=bool(config.get("tie_word_embeddings", is_gpt2)),
        gated=not is_gpt2,
    )


def _size(file: Path, config: dict[str, Any], name: str) -> int | None:
    """A size that a config names, within what any model has; None where it names none."""
    value = config.get(name)
    if value is None:
        return None
    if type(value) is not int or not 0 < value <= MOST:
        raise UserError(f"{file} says {name} = {shortened(value)}. It must be a whole number from 1 to {MOST}.")
    return value


def read_config(folder: Path) -> dict[str, Any]:
    """A folder's config.json.

    Raises:
        UserError: there is none, or it is not a table.
    """
    if not is_there(folder / CONFIG):
        raise UserError(f"There is no model in {folder}: the folder has no config.json.")
    return read_table(folder / CONFIG)
