"""Where a model's files are: a folder, or what the hub's cache holds; nothing is downloaded."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from engine.errors import UserError
from engine.models.hub import INDEX, SINGLE, download_command, snapshot, weight_files, weights_id


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A hub cache with one model, at the revision that main is."""
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path / "hub"))
    home = tmp_path / "hub" / "models--someone--a-model"
    (home / "refs").mkdir(parents=True)
    (home / "refs" / "main").write_text("0123abc")
    folder = home / "snapshots" / "0123abc"
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    return folder


def test_a_hub_model_is_looked_up_in_the_cache(cache: Path) -> None:
    assert snapshot("someone/a-model") == snapshot("someone/a-model@0123abc") == cache
    with pytest.raises(UserError, match=r"hf download someone/a-model --revision 456"):
        snapshot("someone/a-model@456")
    with pytest.raises(UserError, match=r"There is no model at /nowhere\. Give a folder"):
        snapshot("/nowhere")


def test_the_id_of_weights_is_their_commit(cache: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="There are no weights in"):
        weights_id("someone/a-model")
    (cache / SINGLE).write_bytes(b"weights")
    assert weights_id("someone/a-model") == "someone/a-model@0123abc"
    assert weights_id(str(tmp_path)) is None


def test_a_folder_is_taken_as_it_is(tmp_path: Path) -> None:
    assert snapshot(str(tmp_path)) == tmp_path


def test_weights_are_one_file_or_all_of_an_index(tmp_path: Path) -> None:
    for name in ("b.safetensors", "a.safetensors"):
        (tmp_path / name).write_bytes(b"")
    (tmp_path / INDEX).write_text(
        json.dumps({"metadata": {}, "weight_map": {"x": "b.safetensors", "y": "a.safetensors"}})
    )
    assert [file.name for file in weight_files(tmp_path)] == ["a.safetensors", "b.safetensors"]
    (tmp_path / SINGLE).write_bytes(b"")
    assert weight_files(tmp_path) == [tmp_path / SINGLE]


@pytest.mark.parametrize(
    ("index", "message"),
    [
        ({}, "needs a weight_map"),
        ({"metadata": {}, "weight_map": {"x": "../a.safetensors"}}, "no safetensors file beside it"),
        ({"metadata": {}, "weight_map": {"x": 3}}, "names '3'"),
        ({"metadata": {}, "weight_map": {}}, "names no file"),
        ({"metadata": {}, "weight_map": {"x": "gone.safetensors"}}, "names gone.safetensors: the weights are not"),
    ],
)
def test_an_index_that_is_none_is_named(tmp_path: Path, index: object, message: str) -> None:
    (tmp_path / INDEX).write_text(json.dumps(index))
    with pytest.raises(UserError, match=message):
        weight_files(tmp_path)


def test_pickled_weights_are_refused(tmp_path: Path) -> None:
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(UserError, match=r"pickled \(pytorch_model\.bin\)"):
        weight_files(tmp_path)


def test_what_to_type() -> None:
    assert download_command("a/b") == "hf download a/b"
    assert download_command("a/b@c") == "hf download a/b --revision c"
