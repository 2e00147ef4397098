"""Pairs with broken folders, each in another way: pages show the others, and say what is wrong with these."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.fakes import LLAMA, fake_model, register_fake_pair
from tests.pages.test_pages import app, texts

SINGLE, CONFIG = "model.safetensors", "config.json"


def linked(name: str, target: str) -> Callable[[Path], None]:
    def breakage(folder: Path) -> None:
        (folder / name).unlink()
        (folder / name).symlink_to(target)

    return breakage


def piped(folder: Path) -> None:
    (folder / SINGLE).unlink()
    os.mkfifo(folder / SINGLE)


def a_folder(folder: Path) -> None:
    (folder / SINGLE).unlink()
    (folder / SINGLE).mkdir()


def written(name: str, content: str) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_text(content) and None


def config(**fields: object) -> Callable[[Path], None]:
    return written(CONFIG, json.dumps(LLAMA | fields))


BROKEN: dict[str, tuple[Callable[[Path], None], str]] = {
    "dangling": (linked(SINGLE, "nowhere"), "is a link to a file that is not there"),
    "looping": (linked(SINGLE, SINGLE), "is a link to a file that is not there"),
    "config-looping": (linked(CONFIG, CONFIG), "is a link to a file that is not there"),
    "pipe": (piped, "is a pipe or a device where a file should be"),
    "folder": (a_folder, "is a folder where a file should be"),
    "text": (config(num_hidden_layers="6"), "says num_hidden_layers = '6'"),
    "million": (config(num_hidden_layers=10**6), "says num_hidden_layers = 1000000"),
    "gemma": (
        config(architectures=["GemmaForCausalLM"], model_type="gemma"),
        "says model_type 'gemma', which transformers knows",
    ),
    "list": (written(CONFIG, "[]"), "is not a table of fields in JSON"),
    "deep": (written(CONFIG, "[" * 100_000), "more than 100 deep"),
    "digits": (written(CONFIG, '{"vocab_size": ' + "9" * 5000 + "}"), "has a number of more than 100 digits"),
    "not-weights": (written(SINGLE, "coffee"), "cannot be read as safetensors"),
    "tokenizer": (written("tokenizer.json", "{"), "tokenizer.json is not valid JSON"),
}


@pytest.fixture
def broken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One sound pair, and one for every kind of breakage, in its ARM or in its MDM."""
    file = register_fake_pair(tmp_path / "models")
    for number, (name, (breakage, _)) in enumerate(BROKEN.items()):
        for model in ("arm", "mdm"):
            fake_model(tmp_path / "models" / name / model, model)
        breakage(tmp_path / "models" / name / ("arm", "mdm")[number % 2])
        table = f'[{name}]\ntitle = "Broken {name}"\narm = "{name}/arm"\nmdm = "{name}/mdm"\nmask_id = 3\n'
        file.write_text(file.read_text() + table)
    monkeypatch.setenv("CIRCUITS_PAIRS", str(file))


@pytest.mark.usefixtures("broken", "queue_of")
def test_the_overview_shows_broken_pairs_as_such_and_the_others_as_ever() -> None:
    page = app()
    assert page.button(key="compute missing").label == "Compute what is missing (12 runs)"
    shown = {
        element.label.replace("\\", ""): "\n".join(str(text.value) for text in element.markdown)
        for element in page.expander
    }
    for name, (_, problem) in BROKEN.items():
        assert problem in shown[f"Broken {name}"].replace("\\", ""), name


@pytest.mark.usefixtures("broken", "queue_of")
def test_only_sound_pairs_can_be_started() -> None:
    page = app("runs")
    assert page.selectbox(key="start pair").options == ["Fake pair"]
    assert f"{9 + len(BROKEN)} more pairs cannot be computed here" in texts(page)


@pytest.mark.usefixtures("broken", "queue_of")
@pytest.mark.parametrize("name", ["pipe", "text", "gemma", "tokenizer"])
def test_the_page_of_a_broken_pair_says_what_is_wrong(name: str) -> None:
    page = app("circuits", pair=name)
    assert page.button(key="compute 0").disabled
    assert BROKEN[name][1] in texts(page)


@pytest.mark.usefixtures("broken", "queue_of")
def test_own_prompts_survive_a_broken_pair() -> None:
    assert "Own prompts" in texts(app("prompts", pair="looping"))
