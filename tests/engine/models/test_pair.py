"""A pair's table: where its models are, every wrong field is named, and what is written is read back as it was."""

from __future__ import annotations

import tomllib
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from engine import settings
from engine.errors import UserError
from engine.models.pair import Pair, pair_of, toml_of
from engine.models.pairs import keep, pair_named, pairs
from engine.models.shift_evidence import ShiftEvidence

PAIR = '[mine]\ntitle = "Mine"\narm = "arm"\nmdm = "mdm"\n'


@pytest.fixture
def own_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "own.toml"
    monkeypatch.setenv("CIRCUITS_PAIRS", str(file))
    return file


def test_folders_of_a_pair(own_file: Path) -> None:
    own_file.write_text(PAIR.replace('"mdm"', '"GSAI-ML/LLaDA-8B"') + 'steps = [300, 0]\nsteps_dir = "steps"\n')
    pair = pair_named("mine")
    assert pair.steps == (0, 300)
    assert pair.folder("arm") == str(own_file.parent / "arm")
    assert pair.folder("mdm") == "GSAI-ML/LLaDA-8B"
    assert pair.folder("step:300") == str(own_file.parent / "steps" / "000300")
    with pytest.raises(UserError, match=r"'step:7'.*step:0, step:300"):
        pair.folder("step:7")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (PAIR + "colour = 1\n", "unknown field 'colour'"),
        (PAIR + 'shifted = "yes"\n', "shifted of the pair mine.*'yes'. It must be true or false"),
        (PAIR + 'prompts = "verse"\n', "prompts of the pair mine.*'verse'.*words, natural"),
        (PAIR + "steps = [1.5]\nsteps_dir = 'x'\n", r"steps of the pair mine.*1\.5"),
        (PAIR + "steps = [true]\nsteps_dir = 'x'\n", "steps of the pair mine"),
        (PAIR + "steps = [1]\n", "steps_dir"),
        (PAIR + "mask_id = true\n", "mask_id of the pair mine.*True.*from 0 up"),
        (PAIR.replace("arm = ", 'arm = "" #', 1), "arm of the pair mine.*folder or a hub id"),
        (PAIR + "mask_id = -1\n", r"mask_id of the pair mine.*-1.*from 0 up"),
        (PAIR + "mask_id = 7\nmask_token = '<mask>'\n", "mask_id of the pair mine.*beside a mask_token"),
        (PAIR + "architecture = 'os.system'\n", "architecture of the pair mine.*'os.system'.*class of transformers"),
        (PAIR + "mdm_keys = { a = 1 }\n", "mdm_keys of the pair mine.*table of texts"),
        (PAIR + "dtype = 'float16'\n", "dtype of the pair mine.*'float16'.*float32, bfloat16"),
        (PAIR + "licence = 'javascript:x'\n", "licence of the pair mine.*https address"),
        (PAIR + "mdm_revision = 'a b'\n", "mdm_revision of the pair mine.*'a b'"),
        (PAIR + "shape = { layers = 2, breadth = 3 }\n", "The shape of the pair mine.*unknown field 'breadth'"),
        (PAIR + "shape = { layers = '2' }\n", "layers in the shape of the pair mine.*'2'.*number from 1 up"),
        (PAIR + "shape = { layers = 0 }\n", "layers in the shape of the pair mine.* 0. It must be a number from 1"),
        (PAIR + "shape = { layers = 2 }\n", "The shape of the pair mine.*lacks the field 'heads'"),
        (PAIR + "shift_evidence = 'told'\n", "shift_evidence of the pair mine.*'told'. It must be a table"),
        (PAIR + "shift_evidence = { source = 'told' }\n", "shift_evidence of the pair mine.*lacks the field 'weights'"),
        (
            PAIR + "shift_evidence = { source = 'x', weights = 'w' }\n",
            "source in the shift_evidence.*told, config, answers",
        ),
        (PAIR + "shift_evidence = { source = 'answers', weights = 'w' }\n", "lacks what was measured"),
        (
            PAIR + "shift_evidence = { source = 'told', weights = 'w', before = nan, there = -1.0, guess = -2.0 }\n",
            "finite",
        ),
        (
            PAIR + "shift_evidence = { source = 'told', weights = 'w', before = -1.0 }\n",
            "before, there and guess together",
        ),
        (PAIR + "shift_evidence = { source = 'told', weights = 'w', colour = 1 }\n", "unknown field 'colour'"),
        (PAIR.replace("mine", '"a/b"'), "'a/b'.*odd characters"),
        (PAIR.replace('arm = "arm"\n', ""), "lacks the field 'arm'"),
        ("mine = 3\n", "mine.*not a table"),
        ("[mine", "not valid TOML"),
        (PAIR + "steps = " + "[" * 100_000 + "]" * 100_000, "lists or tables more than 100 deep"),
        (PAIR + "mdm_keys = " + "{a = " * 30_000 + "1" + "}" * 30_000, "lists or tables more than 100 deep"),
        (PAIR + "mask_id = " + "9" * 5_000, "a number of more than 100 digits"),
        (".".join("a" * 20_000) + " = 1", "more than 1000 dots in line 1"),
        (PAIR + f"note = '{'x' * 250_000}'", "250000 are the most"),
        (PAIR + f"prompts = '{'x' * 100_000}'", r"prompts of the pair mine.*x'\.\.\.'x.* words, natural"),
        ("\0", "not valid TOML"),
    ],
    ids=count(),
)
def test_a_wrong_file_is_refused_by_name(own_file: Path, text: str, message: str) -> None:
    own_file.write_text(text)
    with pytest.raises(UserError, match=message) as caught:
        pairs()
    assert str(own_file) in str(caught.value)


@pytest.mark.parametrize("name", ["embedded", "dream", "diffugpt-s"])
def test_a_kept_pair_is_read_back_as_it_was(name: str) -> None:
    odd = replace(
        pair_named(name), name="my.own+pair", title='Quoted "title" \\ é\n\x7f', base=settings.kept_pairs_dir()
    )
    keep(odd)
    assert pair_named("my.own+pair") == odd


def test_only_what_departs_from_the_default_is_written() -> None:
    assert tomllib.loads(toml_of(Pair("mine", "Mine", "a", "b"))) == {"mine": {"title": "Mine", "arm": "a", "mdm": "b"}}


def test_shift_evidence_is_read_back_as_it_was(tmp_path: Path) -> None:
    evidence = ShiftEvidence("answers", "sha", before=-1.5, there=-2.0, guess=-3.0)
    pair = Pair("mine", "Mine", "a", "b", shifted=True, shift_evidence=evidence, base=tmp_path)
    assert pair_of("mine", tomllib.loads(toml_of(pair))["mine"], tmp_path, tmp_path / "x.toml") == pair


def test_what_changes_numbers_is_part_of_a_key_only_where_it_departs_from_the_first_pairs() -> None:
    pair = Pair("mine", "Mine", "a", "b", mask_id=3, shifted=True, prompts="words")
    assert pair.reading("mdm") == {"reading": [3, True]} and pair.reading("arm") == {"reading": None}
    odd = replace(pair, architecture="Qwen2ForCausalLM", prompts=None, mdm_keys={"a": "b"})
    assert odd.reading("mdm") == {
        "reading": [3, True], "architecture": "Qwen2ForCausalLM", "prompts": None, "keys": {"a": "b"},
    }  # fmt: skip
    assert "keys" not in odd.reading("control")
