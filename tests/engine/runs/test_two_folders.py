"""Two folders that no registry has heard of, from the command line to stored circuits, by the real models."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest
import torch

from engine.__main__ import main
from engine.errors import UserError
from engine.models.pair import Pair
from engine.models.pairs import keep, pair_named, pairs
from engine.runs import compute, read, stored
from engine.runs.records import RunTables
from engine.runs.spec import RunSpec
from engine.training.word_tokenizer import vocabulary
from tests import checkpoints
from tests.fakes import tiny_compute

WORDS = len(vocabulary())


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """An ARM of type qwen2 and an MDM as Dream writes them, in shards, with the tokenizer of whole words."""
    plain = checkpoints.qwen2(WORDS, tied=False)
    arm = replace(checkpoints.QWEN_7B, plain=plain, config=checkpoints.qwen2_config(WORDS, tied=False))
    config = {**checkpoints.dream_config(), "vocab_size": WORDS, "mask_token_id": 3, "pad_token_id": 0}
    checkpoints.write(tmp_path / "my arm", replace(arm, dtype=torch.float32))
    checkpoints.write(
        tmp_path / "my-mdm", replace(checkpoints.DREAM, plain=plain, config=config, dtype=torch.float32), 1
    )
    return tmp_path / "my arm", tmp_path / "my-mdm"


def test_two_folders_are_run_and_found_again(
    folders: tuple[Path, Path], capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(compute, "ACCURACY_EXAMPLES", 8)
    monkeypatch.setattr(compute, "STEPS_EXAMPLES", 4)
    two = ["--arm", str(folders[0]), "--mdm", str(folders[1]), "--mask-token", "<mask>"]
    assert main(["run", *two, "--task", "ioi", "--n", "4"]) == 0
    output = capfd.readouterr()
    assert "my-arm+my-mdm-" in output.out and "custom code" not in output.out + output.err
    arm, mdm = (next(run for run in stored.list_runs() if run.spec.model == model) for model in ("arm", "mdm"))
    (name,) = set(pairs()) - {"embedded", "smollm2"} - set(checkpoints.FORMATS)
    assert arm.spec.pair == mdm.spec.pair == name
    kept = pair_named(name)
    assert (kept.mask, kept.shifted) == ("<mask>", True)  # Dream's config says so
    assert arm.meta.architecture == mdm.meta.architecture == "Qwen2ForCausalLM"
    assert (arm.meta.n_layers, arm.meta.n_heads, arm.spec.dtype) == (2, 4, "float32")
    assert read.edge_table(arm.key, limit=5).edge.tolist() != read.edge_table(mdm.key, limit=5).edge.tolist()
    for again in (two, ["--pair", name]):
        assert main(["compare", *again, "--n", "4", "--k", "10", "--no-control"], refuse) == 0
    for other in (["--mask-id", "3"], ["--mask-token", "<mask>", "--not-shifted"]):  # the same token each time
        assert main(["run", *two[:4], *other, "--n", "2"], tiny_compute) == 0
    assert set(pairs()) - {"embedded", "smollm2"} - set(checkpoints.FORMATS) == {name}
    assert sorted(str(run.shifted) for run in stored.list_runs() if run.spec.model == "mdm") == [
        "False",
        "True",
        "True",
    ]


def refuse(spec: object, on_progress: object) -> RunTables:
    raise AssertionError(f"{spec} was computed again")


def test_a_mask_that_no_tokenizer_knows_is_shown_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As DiffuGPT-M: one row more than its config says, which is the mask, and the tokenizer of its ARM."""
    monkeypatch.setattr(compute, "ACCURACY_EXAMPLES", 2)
    monkeypatch.setattr(compute, "STEPS_EXAMPLES", 2)
    checkpoints.write(tmp_path / "arm", arm_of(WORDS))
    wrapped = checkpoints.diffugpt(WORDS + 1)
    checkpoints.write(tmp_path / "mdm", replace(wrapped, config={**wrapped.config, "vocab_size": WORDS}), 1)
    folders, keys = (str(tmp_path / "arm"), str(tmp_path / "mdm")), pair_named("diffugpt-m").mdm_keys
    keep(Pair("gpt", "GPT", *folders, mask_id=WORDS, shifted=True, mdm_keys=keys, prompts="words"))
    computed = compute.compute(RunSpec(pair="gpt", task="greater_than", n=2, points=1), lambda progress: None)
    for name in ("inputs", "readouts", "node_lens", "residual_lens", "trajectories", "position_lens"):
        for column in computed.tables[name].columns:
            flat = pc.list_flatten(column) if pa.types.is_list(column.type) else column
            assert flat.null_count == 0, name
    masked = computed.tables["inputs"]["tokens"][0].as_py()
    assert masked[-1] == "<mask>"
    keep(Pair("odd", "Odd", *folders, mask_id=vocabulary()["17"], shifted=True, mdm_keys=keys, prompts="words"))
    with pytest.raises(UserError, match=r"contains token \d+, which this model reads as masked"):
        compute.compute(RunSpec(pair="odd", task="countdown", n=40, points=1), lambda progress: None)


def arm_of(words: int) -> checkpoints.Format:
    return replace(checkpoints.GPT2, plain=checkpoints.gpt2(words), config=checkpoints.gpt2_config(vocab_size=words))


def test_doctor_tells_of_two_folders(folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["doctor", "--arm", str(folders[0]), "--mdm", str(folders[1]), "--mask-id", "3"]) == 0
    output = capsys.readouterr().out
    assert "mask        token 3 ('<mask>'), shifted" in output
    assert (
        "2 layers of 4 heads" in output
        and "float32     weights 0.0 GiB" in output
        and "here        float32 on " in output
    )
    (folders[1] / "model-00002-of-00004.safetensors").unlink()
    assert main(["doctor", "--arm", str(folders[0]), "--mdm", str(folders[1]), "--mask-id", "3"]) == 0
    assert "mdm         missing: " in (output := capsys.readouterr().out) and "the weights are not complete" in output


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["--arm", "{arm}"], "--arm and --mdm go together and without --pair"),
        (["--arm", "{arm}", "--mdm", "{mdm}", "--pair", "embedded"], "--arm and --mdm go together and without --pair"),
        (["--mask-id", "3"], "--mask-id only goes with --arm and --mdm"),
        (["--not-shifted"], "--shifted only goes with --arm and --mdm"),
        (["--arm", "{arm}", "--mdm", "{arm}/nothing"], "There is no model at {arm}/nothing"),
        (["--arm", "nobody/never", "--mdm", "{mdm}"], "hf download nobody/never"),
    ],
)
def test_what_is_no_pair_is_refused(
    folders: tuple[Path, Path], argv: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    names = {"arm": str(folders[0]), "mdm": str(folders[1])}
    assert main(["run", *(word.format(**names) for word in argv)], tiny_compute) == 2
    assert message.format(**names) in capsys.readouterr().err
    assert stored.list_runs() == []


def test_a_pair_without_a_mask_says_which_flag_names_it(
    folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    config = json.loads((folders[1] / "config.json").read_text())
    (folders[1] / "config.json").write_text(json.dumps({k: v for k, v in config.items() if k != "mask_token_id"}))
    (folders[1] / "tokenizer_config.json").unlink()
    assert main(["run", "--arm", str(folders[0]), "--mdm", str(folders[1]), "--model", "mdm", "--n", "2"]) == 2
    assert "--mask-token or --mask-id on the command line" in capsys.readouterr().err
