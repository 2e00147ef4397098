"""The registry: what is shipped, what a user adds, what is kept; ids of weights."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from engine import settings
from engine.circuits.graph import Graph
from engine.errors import UserError
from engine.models.pairs import keep, pair_named, pairs, weights_id

OURS = ("embedded", "smollm2")  # trained for this project
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


def test_unknown_pair_is_refused_with_the_names(own_file: Path) -> None:
    own_file.write_text(PAIR)
    with pytest.raises(UserError, match=r"'nobody'.*embedded, smollm2, dream, .*mine"):
        pair_named("nobody")


def test_the_published_pairs_are_registered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Facts that their authors published: masks, shifts, and how many edges their graphs have."""
    monkeypatch.delenv("CIRCUITS_PAIRS", raising=False)
    published = {pair.name: pair for pair in pairs().values() if pair.name not in OURS}
    assert {name: (pair.mask, pair.shifted) for name, pair in published.items()} == {
        "dream": (151666, True),
        "diffullama": (811, True),
        "diffugpt-s": (10541, True),
        "diffugpt-m": (50257, True),
        "diffucoder": (151666, True),
        "dream-coder": (151666, True),
        "qwen3-mdlm": (151669, False),
        "qwen2.5-coder-mdlm": (151665, False),
    }
    shapes = {name: pair.shape for name, pair in published.items() if pair.shape}
    assert len(shapes) == 8
    edges = {name: Graph(shape.layers, shape.heads).n_edges for name, shape in shapes.items()}
    assert (edges["diffugpt-s"], edges["dream"], edges["diffullama"]) == (32_491, 935_747, 1_592_881)
    billions = {name: shape.parameters / 1e9 for name, shape in shapes.items()}
    for name, billion in (("dream", 7.616), ("diffullama", 6.738), ("diffugpt-s", 0.124), ("qwen3-mdlm", 0.596)):
        assert billions[name] == pytest.approx(billion, rel=0.01)
    for pair in published.values():
        assert pair.mask is not None and 0 <= pair.mask < shapes[pair.name].vocabulary


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
    first, second = model_in(tmp_path / "one"), model_in(tmp_path / "two")
    assert weights_id(str(first)) == weights_id(str(second))
    (second / "README.md").write_text("about")
    assert weights_id(str(first)) == weights_id(str(second))


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
