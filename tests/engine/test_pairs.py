"""The registry: what is shipped, what a user adds, what is refused by name; ids of weights."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine.errors import UserError
from engine.pairs import pair_named, pairs, weights_id

PAIR = '[mine]\ntitle = "Mine"\narm = "arm"\nmdm = "mdm"\n'


@pytest.fixture
def own_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "own.toml"
    monkeypatch.setenv("CIRCUITS_PAIRS", str(file))
    return file


def test_the_embedded_pair_is_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CIRCUITS_PAIRS", raising=False)
    embedded = pair_named("embedded")
    assert (embedded.shifted, embedded.mask_token, embedded.prompts) == (True, "<mask>", "words")
    assert embedded.folder("arm").endswith("assets/models/embedded/arm") or embedded.folder("arm") == "embedded/arm"


def test_a_user_file_adds_and_replaces(own_file: Path) -> None:
    own_file.write_text(PAIR + PAIR.replace("mine", "embedded"))
    assert set(pairs()) >= {"mine", "embedded"}
    assert pair_named("embedded").title == "Mine"


def test_folders_of_a_pair(own_file: Path) -> None:
    own_file.write_text(PAIR.replace('"mdm"', '"GSAI-ML/LLaDA-8B"') + 'steps = [300, 0]\nsteps_dir = "steps"\n')
    pair = pair_named("mine")
    assert pair.steps == (0, 300)
    assert pair.folder("arm") == str(own_file.parent / "arm")
    assert pair.folder("mdm") == "GSAI-ML/LLaDA-8B"
    assert pair.folder("step:300") == str(own_file.parent / "steps" / "000300")
    with pytest.raises(UserError, match=r"'step:7'.*step:0, step:300"):
        pair.folder("step:7")


def test_unknown_pair_is_refused_with_the_names(own_file: Path) -> None:
    own_file.write_text(PAIR)
    with pytest.raises(UserError, match=r"'dream'.*embedded, mine"):
        pair_named("dream")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (PAIR + "colour = 1\n", "unknown field 'colour'"),
        (PAIR + 'shifted = "yes"\n', "shifted of the pair mine.*'yes'.*bool"),
        (PAIR + 'prompts = "verse"\n', "prompts of the pair mine.*'verse'.*words, natural"),
        (PAIR + "steps = [1.5]\nsteps_dir = 'x'\n", r"steps of the pair mine.*1\.5"),
        (PAIR + "steps = [true]\nsteps_dir = 'x'\n", "steps of the pair mine"),
        (PAIR + "steps = [1]\n", "steps_dir"),
        (PAIR.replace('arm = "arm"\n', ""), "lacks the field 'arm'"),
        ("mine = 3\n", "mine.*not a table"),
        ("[mine", "not valid TOML"),
    ],
)
def test_a_wrong_file_is_refused_by_name(own_file: Path, text: str, said: str) -> None:
    own_file.write_text(text)
    with pytest.raises(UserError, match=said) as caught:
        pairs()
    assert str(own_file) in str(caught.value)


def test_a_missing_file_is_named(own_file: Path) -> None:
    with pytest.raises(UserError, match=r"own\.toml cannot be read"):
        pairs()


def model_in(folder: Path) -> Path:
    folder.mkdir()
    (folder / "config.json").write_text("{}")
    (folder / "model.safetensors").write_bytes(b"weights")
    return folder


def test_weights_id_follows_content_not_place(tmp_path: Path) -> None:
    one, two = model_in(tmp_path / "one"), model_in(tmp_path / "two")
    assert weights_id(str(one)) == weights_id(str(two))
    (two / "README.md").write_text("about")
    assert weights_id(str(one)) == weights_id(str(two))


@pytest.mark.parametrize("file", ["config.json", "model.safetensors", "tokenizer.json"])
def test_weights_id_changes_with_every_file_that_matters(tmp_path: Path, file: str) -> None:
    folder = model_in(tmp_path / "one")
    before = weights_id(str(folder))
    old = (folder / "config.json").stat()
    (folder / file).write_bytes(b"[]")
    os.utime(folder / file, ns=(old.st_atime_ns, old.st_mtime_ns + 10))
    assert weights_id(str(folder)) != before


def test_a_place_without_a_model_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = model_in(tmp_path / "one")
    (folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"no model in .*one"):
        weights_id(str(folder))
    with pytest.raises(UserError, match="no model at nobody/nothing-at-all"):
        weights_id("nobody/nothing-at-all")
