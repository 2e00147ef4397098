"""Folders with small models of every architecture, and ways to break what is in them."""

from __future__ import annotations

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file, save_file
from torch import Tensor

from engine.errors import UserError
from engine.models.model import load
from engine.models.pair import Pair
from engine.models.scorable import refuse_unscorable

Change = Callable[[Path], None]
WEIGHTS, CONFIG, TOKENIZER = "model.safetensors", "config.json", "tokenizer.json"


def copied(models: Path, place: Path, architecture: str = "llama") -> Path:
    """A model's folder of the test's own."""
    place.mkdir(parents=True)
    for file in (models / architecture).iterdir():
        (place / file.name).write_bytes(file.read_bytes())
    return place


def pair_in(folder: Path, **fields: Any) -> Pair:
    return Pair("mine", "Mine", str(folder), str(folder), **fields)


def refusals_of(folder: Path, model: str = "arm", **fields: Any) -> tuple[str, str]:
    """Why a folder is refused: without torch, and by whoever loads it. Neither takes long."""
    messages = []
    for ask in (refuse_unscorable, lambda pair, model: load(pair, model, device="cpu")):
        began = time.monotonic()
        with pytest.raises(UserError) as caught:
            ask(pair_in(folder, **fields), model)
        assert time.monotonic() - began < 10
        assert len(str(caught.value)) < 900
        messages.append(str(caught.value))
    return messages[0], messages[1]


def config(**fields: Any) -> Change:
    def change(folder: Path) -> None:
        file = folder / CONFIG
        file.write_text(json.dumps({**json.loads(file.read_text()), **fields}))

    return change


def written(name: str, content: str | bytes) -> Change:
    return lambda folder: (
        (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode()) and None
    )


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
