"""The state of a phase: stored whole, and read back as it was."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from engine.training import phase_state
from engine.training.phase_state import FILE, Progress, store, stored


def test_what_was_stored_comes_back_to_the_last_bit(tmp_path: Path) -> None:
    assert stored(tmp_path) is None
    progress = Progress(7, 1234, 0.1 + 0.2, 99, {"ioi": 1 / 3}, [{"loss": 1e-17}], [{"step": 0}])
    tensors = {"vector": torch.randn(5), "mean": torch.zeros(5)}
    store(tmp_path, tensors, progress)
    read = stored(tmp_path)
    assert read is not None and read[1] == progress
    assert all(torch.equal(read[0][name], tensor) for name, tensor in tensors.items())
    assert [file.name for file in tmp_path.iterdir()] == [FILE]


def test_a_stop_while_storing_leaves_the_older_state(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store(tmp_path, {"vector": torch.ones(3)}, Progress(1))

    def killed(*_: object, **__: object) -> None:
        (tmp_path / f"{FILE}.part").write_bytes(b"half")
        raise KeyboardInterrupt

    monkeypatch.setattr(phase_state, "save_file", killed)
    with pytest.raises(KeyboardInterrupt):
        store(tmp_path, {"vector": torch.zeros(3)}, Progress(2))
    read = stored(tmp_path)
    assert read is not None and read[1].step == 1 and read[0]["vector"].sum() == 3
