"""A model spread over two devices gives the tables of one that is not: README promises it for several GPUs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import torch
from transformer_lens.utilities import quantization

from engine.models import model as models
from engine.runs.compute import compute
from engine.runs.records import RunTables
from engine.runs.spec import RunSpec
from engine.training.word_tokenizer import build_tokenizer
from tests import tiny
from tests.second_device import second_device, spread

PLACES = {
    "llama": {"model.embed_tokens": "cpu", "model.rotary_emb": "cpu", "model.layers.0": "cpu", "model.layers.1": "meta",
              "model.norm": "meta", "lm_head": "meta"},
    "gpt2": {"transformer.wte": "cpu", "transformer.wpe": "cpu", "transformer.h.0": "cpu", "transformer.h.1": "meta",
             "transformer.ln_f": "meta", "lm_head": "meta"},
}  # fmt: skip


def test_the_two_devices_do_not_mix() -> None:
    """What the test itself stands on."""
    with second_device():
        there = torch.tensor([1.0, 2.0]).to("meta")
        assert (2 * there).tolist() == [2.0, 4.0] and there[torch.tensor([1])].tolist() == [2.0]
        for mixed in (
            lambda: there + torch.ones(2),
            lambda: torch.ones(2, 2) @ there,
            lambda: torch.ones(2)[there > 1],
        ):
            with pytest.raises(RuntimeError, match="same device"):
                mixed()
        here = torch.ones(2, requires_grad=True)
        (gradient,) = torch.autograd.grad((here.to("meta") * there).sum(), here)
        assert gradient.tolist() == [1.0, 2.0] and gradient.device.type == "cpu"


@pytest.mark.parametrize("model", ["arm", "mdm"])
@pytest.mark.parametrize("architecture", list(PLACES))
def test_a_spread_model_has_the_same_tables(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, architecture: str, model: str
) -> None:
    monkeypatch.setattr(tiny, "VOCAB", len(build_tokenizer()))
    monkeypatch.setitem(tiny.SHARED, "vocab_size", len(build_tokenizer()))
    for seed, name in enumerate(("arm", "mdm")):
        tiny.hf_model(architecture, seed).save_pretrained(tmp_path / name)
        build_tokenizer().save_pretrained(tmp_path / name)
    table = '[two]\ntitle = "Two"\narm = "arm"\nmdm = "mdm"\nmask_token = "<mask>"\nprompts = "words"\n'
    (tmp_path / "pairs.toml").write_text(table)
    monkeypatch.setenv("CIRCUITS_PAIRS", str(tmp_path / "pairs.toml"))
    for name in ("ACCURACY_EXAMPLES", "STEPS_EXAMPLES"):
        monkeypatch.setattr(f"engine.runs.compute.{name}", 2)
    spec = RunSpec(pair="two", model=model, task="countdown", n=2, points=2)
    expected = compute(spec, lambda progress: None)

    load_weights = models.load_weights

    def loaded_apart(*args: Any, **kwargs: Any) -> Any:
        weights = load_weights(*args, **kwargs)
        spread(weights, PLACES[architecture])
        return weights

    monkeypatch.setattr(models, "load_weights", loaded_apart)
    # TransformerLens reads nothing of this device, where there are no numbers elsewhere.
    monkeypatch.setattr(quantization, "unreadable_weight_reason", lambda weight: None)
    with second_device():
        tables = compute(spec, lambda progress: None)
    assert tables.meta.device == "meta" and expected.meta.device == "cpu"
    same_tables(tables, expected)


def same_tables(measured: RunTables, expected: RunTables) -> None:
    for name, table in expected.tables.items():
        for column in table.column_names:
            ours, theirs = (numbers(columns[column]) for columns in (measured.tables[name], table))
            if name in ("edges", "edge_blocks"):  # sorted by what is compared
                ours, theirs = np.sort(ours, axis=0), np.sort(theirs, axis=0)
            if ours.dtype.kind == "f":
                np.testing.assert_allclose(ours, theirs, rtol=1e-3, atol=1e-4, err_msg=f"{name}.{column}")
            else:
                assert len(ours) == len(theirs), f"{name}.{column}"
                assert np.sum(ours != theirs) <= 0.01 * len(ours), f"{name}.{column}"  # ties may fall the other way


def numbers(column: pa.ChunkedArray) -> np.ndarray:
    values = column.combine_chunks()
    while hasattr(values, "flatten") and values.type.num_fields:
        values = values.flatten()
    return np.asarray(values.to_numpy(zero_copy_only=False))
