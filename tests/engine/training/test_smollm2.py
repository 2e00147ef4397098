"""The recipe of smollm2 takes the pair's base model and the flags that were given."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch

from engine.models.pair import Pair
from engine.training import smollm2
from engine.training.adapt import AdaptSpec, Pace
from engine.training.smollm2 import UNLIMITED, train_adapters
from tests.engine.training.tiny_llama import tiny_llama, tokenizer


def test_the_pairs_arm_is_adapted_as_flags_say(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    tiny_llama().save_pretrained(tmp_path / "base")
    tokenizer().save_pretrained(tmp_path / "base")
    source = str(tmp_path / "base")
    monkeypatch.setattr(smollm2, "pair_named", lambda name: Pair(name, "Tiny", source, source))
    asked: list[tuple[AdaptSpec, Path, Pace]] = []

    def remember(base: torch.nn.Module, words: object, spec: AdaptSpec, out: Path, pace: Pace) -> Iterator[str]:
        asked.append((spec, out, pace))
        assert torch.equal(base.state_dict()["model.norm.weight"], tiny_llama().state_dict()["model.norm.weight"])
        yield "trained"

    monkeypatch.setattr(smollm2, "adapt", remember)
    assert list(train_adapters(tmp_path / "out", {"arm_minutes": 4, "seed": 3, "mdm_tokens": 70})) == ["trained"]
    ((spec, out, pace),) = asked
    assert (spec, out) == (AdaptSpec(seed=3, mdm_tokens=70), tmp_path / "out")
    assert pace.minutes == {"arm": 4, "mdm": UNLIMITED}
