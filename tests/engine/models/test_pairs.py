"""The registry: what is shipped, what a user adds, what is refused by name; ids of weights."""

from __future__ import annotations

import hashlib
import os
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from engine import settings
from engine.circuits.graph import Graph
from engine.errors import UserError
from engine.models import weights_identity
from engine.models.pairs import keep, pair_named, pairs, weights_id

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
    with pytest.raises(UserError, match=r"'nobody'.*embedded, dream, .*mine"):
        pair_named("nobody")


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


def test_the_published_pairs_are_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Facts that their authors published: masks, shifts, and how many edges their graphs have."""
    monkeypatch.delenv("CIRCUITS_PAIRS", raising=False)
    found = {pair.name: pair for pair in pairs().values() if pair.name != "embedded"}
    assert {name: (pair.mask, pair.shifted) for name, pair in found.items()} == {
        "dream": (151666, True),
        "diffullama": (811, True),
        "diffugpt-s": (10541, True),
        "diffugpt-m": (50257, True),
        "diffucoder": (151666, True),
        "dream-coder": (151666, True),
        "qwen3-mdlm": (151669, False),
        "qwen2.5-coder-mdlm": (151665, False),
    }
    shapes = {name: pair.shape for name, pair in found.items() if pair.shape}
    assert len(shapes) == 8
    edges = {name: Graph(shape.layers, shape.heads).n_edges for name, shape in shapes.items()}
    assert (edges["diffugpt-s"], edges["dream"], edges["diffullama"]) == (32_491, 935_747, 1_592_881)
    billions = {name: shape.parameters / 1e9 for name, shape in shapes.items()}
    for name, told in (("dream", 7.616), ("diffullama", 6.738), ("diffugpt-s", 0.124), ("qwen3-mdlm", 0.596)):
        assert billions[name] == pytest.approx(told, rel=0.01)
    for pair in found.values():
        assert pair.mask is not None and 0 <= pair.mask < shapes[pair.name].vocabulary


@pytest.mark.parametrize("name", ["embedded", "dream", "diffugpt-s"])
def test_a_kept_pair_is_read_back_as_it_was(name: str) -> None:
    odd = replace(
        pair_named(name), name="my.own+pair", title='Quoted "title" \\ é\n\x7f', base=settings.kept_pairs_dir()
    )
    keep(odd)
    assert pair_named("my.own+pair") == odd


def test_a_kept_pair_takes_nobodys_name_and_a_damaged_one_hides_no_other() -> None:
    keep(replace(pair_named("embedded"), title="Not ours", base=settings.kept_pairs_dir()))
    keep(replace(pair_named("dream"), name="good", base=settings.kept_pairs_dir()))
    keep(replace(pair_named("dream"), name="bad", base=settings.kept_pairs_dir()))
    (settings.kept_pairs_dir() / "bad.toml").write_text("[bad]\ncolour = 1\n")
    assert pair_named("embedded").title == "Embedded pair"
    assert "good" in pairs() and "bad" not in pairs()
    with pytest.raises(UserError, match=r"bad\.toml has an unknown field 'colour'"):
        pair_named("bad")
    with pytest.raises(UserError, match="no pair called"):
        pair_named("../pairs")


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


def test_large_files_are_read_once_and_again_when_they_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights_identity, "WORTH_NOTING", 8)
    file = tmp_path / "weights"
    file.write_bytes(b"0123456789")
    right = hashlib.sha256(b"0123456789").hexdigest()
    assert weights_identity.digest_of(file) == right
    assert str(file) in settings.digests_path().read_text()
    weights_identity._digest.cache_clear()  # as in another process
    with monkeypatch.context() as without:
        without.setattr(hashlib, "file_digest", None)  # which therefore reads nothing
        assert weights_identity.digest_of(file) == right
    file.write_bytes(b"9876543210")
    os.utime(file, ns=(0, 7))
    assert weights_identity.digest_of(file) == hashlib.sha256(b"9876543210").hexdigest()


@pytest.mark.parametrize("damage", ["{", "[1]", '{"x": 3}'])
def test_damaged_notes_are_only_read_past(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str) -> None:
    monkeypatch.setattr(weights_identity, "WORTH_NOTING", 1)
    file = tmp_path / "weights"
    file.write_bytes(damage.encode())
    settings.digests_path().write_text(damage.replace("x", str(file)))
    assert weights_identity.digest_of(file) == hashlib.sha256(damage.encode()).hexdigest()


def test_a_place_without_a_model_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = model_in(tmp_path / "one")
    (folder / "model.safetensors").unlink()
    with pytest.raises(UserError, match=r"no model in .*one"):
        weights_id(str(folder))
    with pytest.raises(UserError, match="no model at nobody/nothing-at-all"):
        weights_id("nobody/nothing-at-all")
