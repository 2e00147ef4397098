"""Whether a pair's models can be scored: doctor, run and pages give one answer, before weights are read."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from transformers import LlamaConfig, LlamaForCausalLM

from engine import doctor, settings
from engine.__main__ import main
from engine.errors import UserError
from engine.models.pairs import pair_named
from engine.models.scorable import refuse_unscorable
from engine.runs import lifecycle, stored
from engine.runs.records import RunTables
from engine.runs.spec import RunSpec
from engine.training.word_tokenizer import build_tokenizer
from tests.engine.models.folders import (
    config,
    copied,
    pair_in,
)


def test_doctor_run_and_pages_give_one_answer(models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = copied(models, tmp_path / "model")
    config(architectures=["GemmaForCausalLM"], model_type="gemma")(folder)
    table = '[mine]\ntitle = "Mine"\narm = "model"\nmdm = "model"\nmask_token = "<mask>"\n'
    (tmp_path / "pairs.toml").write_text(table)
    monkeypatch.setenv("CIRCUITS_PAIRS", str(tmp_path / "pairs.toml"))
    output = "\n".join(doctor.pair(pair_named("mine")))
    assert (
        "refused     The ARM of the pair mine: The model in" in output
        and "GemmaForCausalLM, which can't be scored" in output
    )
    assert "fits" not in output
    assert any("mine (Mine): arm refused, mdm refused" in line for line in doctor.machine())
    for model in ("arm", "mdm"):
        assert "GemmaForCausalLM, which can't be scored" in str(lifecycle.obstacle(RunSpec("mine", model=model)))
        with pytest.raises(UserError, match="GemmaForCausalLM, which can't be scored"):
            lifecycle.run(RunSpec("mine", model=model))
    assert stored.list_runs() == []


@pytest.mark.parametrize(
    ("setting", "what"),
    [
        ({"num_hidden_layers": 3}, "3 layers"),
        ({"hidden_size": 48}, "48 numbers a token"),
        ({"intermediate_size": 12}, "12 neurons a layer"),
    ],
)
def test_an_mdm_of_another_size_than_its_arm_is_refused_before_anything_is_computed(
    models: Path, tmp_path: Path, setting: dict[str, int], what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    arm, config = copied(models, tmp_path / "arm"), LlamaConfig.from_pretrained(models / "llama")
    config.update(setting)
    LlamaForCausalLM(config).save_pretrained(tmp_path / "mdm")
    build_tokenizer().save_pretrained(tmp_path / "mdm")
    command = ["--arm", str(arm), "--mdm", str(tmp_path / "mdm"), "--mask-token", "<mask>", "--not-shifted"]
    for name in ("run", "compare"):
        assert main([name, *command, "--n", "2"], compute=not_called) == 2
        output = capsys.readouterr().err
        assert f"has {what}, the ARM in {arm} has" in output and "they are no pair" in output
    assert stored.list_runs() == [] and not list(settings.kept_pairs_dir().glob("*"))


def not_called(spec: RunSpec, on_progress: object) -> RunTables:
    raise AssertionError(spec)


MASKS: dict[str, tuple[dict[str, Any], dict[str, Any], str]] = {  # the pair's, the tokenizer's, what is said
    "unknown": ({"mask_token": "<nope>"}, {}, "has no mask token '<nope>'"),
    "beyond": ({"mask_id": 10**6}, {}, "embeddings for tokens 0 to"),
    "a number": ({}, {"mask_token": 3}, "mask_token = 3. It must be a token"),
    "a list": ({}, {"mask_token": ["<mask>"]}, "It must be a token"),
    "empty": ({}, {"mask_token": ""}, "It must be a token"),
    "truth": ({}, {"mask_token": True}, "mask_token = True. It must be a token"),
}


@pytest.mark.parametrize("kind", MASKS)
def test_a_mask_that_is_none_is_refused_before_weights_are_read(models: Path, tmp_path: Path, kind: str) -> None:
    fields, settings, wanted = MASKS[kind]
    folder = copied(models, tmp_path / "model")
    file = folder / "tokenizer_config.json"
    file.write_text(json.dumps({**json.loads(file.read_text()), **settings}))
    with pytest.raises(UserError, match=wanted):
        refuse_unscorable(pair_in(folder, **fields), "mdm")
