"""How an MDM whose files don't say reads: found by its answers, kept with the pair."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from engine import pipeline
from engine.__main__ import main
from engine.pairs import pair_named, pairs
from engine.shift import PROBLEMS, Readings, readings
from engine.tasks import TASKS, examples
from tests.fakes import tiny_compute


def test_the_readings_are_those_of_the_plain_model() -> None:
    pair = pair_named("embedded")
    plain, tokenizer = (
        AutoModelForCausalLM.from_pretrained(pair.folder("mdm")),
        AutoTokenizer.from_pretrained(pair.folder("mdm")),
    )
    plain.config.is_causal = False
    before, there = [], []
    for example in examples(TASKS["ioi"], PROBLEMS, 0):
        ids = [*tokenizer(example.prompt).input_ids, tokenizer.convert_tokens_to_ids("<mask>")]
        with torch.no_grad():
            likely = plain(torch.tensor([ids])).logits[0].log_softmax(-1)
        answer = tokenizer.convert_tokens_to_ids(example.answer)
        before.append(float(likely[-2, answer]))
        there.append(float(likely[-1, answer]))
    found = readings("embedded", "ioi", "float32")
    assert found.before == pytest.approx(sum(before) / PROBLEMS, abs=1e-4)
    assert found.there == pytest.approx(sum(there) / PROBLEMS, abs=1e-4)
    assert found.shifted is True


def test_readings_that_hardly_differ_tell_nothing() -> None:
    assert Readings(-3.0, -0.5).shifted is False
    assert Readings(-10.1, -10.2).shifted is None


def test_two_folders_that_say_nothing_are_read_as_they_answer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pair = pair_named("embedded")
    two = []
    for model in ("arm", "mdm"):
        two += [f"--{model}", str(shutil.copytree(pair.folder(model), tmp_path / model))]
    before = set(pairs())
    for n in ("2", "3"):
        assert main(["run", *two, "--n", n], tiny_compute) == 0
        told = capsys.readouterr().err
        assert ("taken as shifted" in told) == (n == "2")  # afterwards it is known
        (name,) = set(pairs()) - before
        assert pair_named(name).shifted
    assert main(["run", *two, "--n", "2", "--not-shifted"], tiny_compute) == 0
    assert {pair_named(run.spec.pair).shifted for run in pipeline.list_runs()} == {True, False}
