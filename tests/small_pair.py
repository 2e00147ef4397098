"""A pair trained for a few steps, in a folder of its own with the pairs file that names it `small`."""

from __future__ import annotations

from pathlib import Path

from engine.training.train import TrainSpec, train

PAIR = """
[small]
title = "Small"
arm = "pair/arm"
mdm = "pair/mdm"
mask_token = "<mask>"
shifted = true
steps = [0]
steps_dir = "pair/steps"
"""


def train_pair(spec: TrainSpec, folder: Path) -> Path:
    """Train a pair into `folder`/pair; the pairs file is `folder`/pairs.toml."""
    train(spec, folder / "pair", lambda *_: None)
    (folder / "pairs.toml").write_text(PAIR)
    return folder
