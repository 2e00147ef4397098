"""The state of a training phase in one safetensors file, so that it is stored whole or not at all.

Tensors: the trained numbers, their running average, and Adam's two moments. Everything else, as counts and the curve,
is JSON in the file's metadata. Nothing is pickled.
"""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

FILE = "state.safetensors"


@dataclass
class Progress:
    """`seconds`: of the processor, for the steps without measurements.

    `solved`: the share of the training problems of late, by task.
    `arm_tokens`: after how many tokens of its training the ARM began this phase; of the ARM's own phase 0.
    """

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    arm_tokens: int = 0
    solved: dict[str, float] = field(default_factory=dict)
    curve: list[dict[str, Any]] = field(default_factory=list)
    measured: list[dict[str, Any]] = field(default_factory=list)


def store(folder: Path, tensors: dict[str, Tensor], progress: Progress) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    part = folder / f"{FILE}.part"
    save_file(tensors, part, metadata={"progress": json.dumps(asdict(progress))})
    part.replace(folder / FILE)


def stored(folder: Path) -> tuple[dict[str, Tensor], Progress] | None:
    """What `store` stored last; None where nothing was."""
    file = folder / FILE
    if not file.is_file():
        return None
    with safe_open(file, framework="pt") as opened:
        progress = Progress(**json.loads(opened.metadata()["progress"]))
    return load_file(file), progress
