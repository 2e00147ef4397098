"""A key depends on everything that changes a number, and stays what it was."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from cache.keys import hash_of
from engine.errors import UserError
from engine.runs import provenance
from engine.runs.spec import RunSpec
from engine.schema.vocabulary import BLOCKS

SPEC = RunSpec(n=4)


@pytest.mark.parametrize(
    "change",
    [
        {"model": "arm"},
        {"model": "step:100"},
        {"model": "control"},
        {"task": "sudoku"},
        {"n": 5},
        {"seed": 1},
        {"method": "eap"},
        {"points": 6},
        {"metric": "kl"},
        {"order": "random"},
        {"dtype": "bfloat16"},
        {"denoising_steps": 1},
        {"template": 1},
    ],
)
@pytest.mark.usefixtures("workspace")
def test_every_field_of_a_spec_changes_the_key(change: dict[str, object]) -> None:
    assert provenance.resolve(replace(SPEC, **change)).key != provenance.resolve(SPEC).key


def test_weights_method_and_libraries_change_the_key(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    arm, keys = replace(SPEC, model="arm"), [provenance.resolve(SPEC).key]
    untouched = provenance.resolve(arm).key
    (workspace / "pair" / "mdm" / "model.safetensors").write_bytes(b"trained for longer")
    keys.append(provenance.resolve(SPEC).key)
    pairs = workspace / "pair" / "pairs.toml"
    pairs.write_text(pairs.read_text().replace("shifted = true", "shifted = false"))
    keys.append(provenance.resolve(SPEC).key)
    assert provenance.resolve(arm).key == untouched
    pairs.write_text(pairs.read_text() + 'prompts = "natural"\n')
    keys.append(provenance.resolve(SPEC).key)
    assert provenance.resolve(arm).key != untouched
    monkeypatch.setattr(provenance, "METHOD_VERSION", provenance.METHOD_VERSION + 1)
    keys.append(provenance.resolve(SPEC).key)
    monkeypatch.setattr(provenance, "library_version", lambda name: "0.0")
    keys.append(provenance.resolve(SPEC).key)
    assert len(set(keys)) == 6


@pytest.mark.parametrize("changed", ["arm", "mdm"])
def test_the_control_is_of_the_arms_weights_and_the_mdms_mask(workspace: Path, changed: str) -> None:
    control = replace(SPEC, model="control")
    before, made = provenance.resolve(control).key, provenance.resolve(control).provenance
    assert (
        made["weights"] == made["compared_with"] == provenance.resolve(replace(SPEC, model="arm")).provenance["weights"]
    )
    assert made["read_as"] == provenance.resolve(SPEC).weights["mdm"] and made["reading"] == ["<mask>", True]
    (workspace / "pair" / changed / "model.safetensors").write_bytes(b"trained for longer")
    assert provenance.resolve(control).key != before


@pytest.mark.usefixtures("workspace")
@pytest.mark.parametrize(
    ("model", "key"),
    [
        ("arm", "338141a9b26e18680ca7"),
        ("mdm", "d17817e16ac7a1ad30a6"),
        ("control", "05b36ec6163ce57744c1"),
        ("step:100", "53b6e03b6505ae7394a0"),
    ],
)
def test_keys_stay_what_they_were(model: str, key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Runs that are stored are found by their keys: changed keys would hide them all."""
    monkeypatch.setattr(provenance, "METHOD_VERSION", 3)
    monkeypatch.setattr(provenance, "_weights", lambda source: f"weights of {Path(source).name}")
    monkeypatch.setattr(provenance, "library_version", lambda name: f"{name} 1.0")
    assert provenance.resolve(replace(SPEC, model=model)).key == key


@pytest.mark.usefixtures("workspace")
def test_more_examples_than_are_computed_at_once_are_a_part_of_the_key(monkeypatch: pytest.MonkeyPatch) -> None:
    assert "examples_at_once" not in provenance.resolve(replace(SPEC, n=256)).provenance
    many = replace(SPEC, n=600)
    split = provenance.resolve(many)
    assert split.provenance["examples_at_once"] == provenance.EXAMPLES_AT_ONCE == 256
    assert [(part.start, part.stop) for part in split.parts] == [(0, 256), (256, 512), (512, 600)]
    assert not provenance.EXAMPLES_AT_ONCE % BLOCKS  # so that a block has as many examples in every whole part
    monkeypatch.setattr(provenance, "EXAMPLES_AT_ONCE", 10_000)
    at_once = provenance.resolve(many)
    differ = {kind for kind, key in split.keys.items() if at_once.keys[kind] != key}
    assert at_once.parts == () and differ == {"circuit", "lens", "activity"}  # the others see no examples
    brought = replace(many, method="imported", source="0" * 20)
    monkeypatch.setattr(provenance, "EXAMPLES_AT_ONCE", 256)
    assert provenance.resolve(brought).parts == ()  # nothing of it is computed here


@pytest.mark.usefixtures("workspace")
def test_a_spec_is_resolved_to_what_it_names() -> None:
    resolved = provenance.resolve(replace(SPEC, model="control"))
    assert (resolved.pair.name, resolved.task.name) == ("embedded", "ioi")
    assert set(resolved.weights) == {"arm", "mdm", "control"}
    assert resolved.weights["control"] == resolved.weights["arm"] != resolved.weights["mdm"]
    assert hash_of(resolved.provenance) == resolved.key
    assert set(provenance.resolve(replace(SPEC, model="arm")).weights) == {"arm"}


def test_weights_are_identified_once_until_a_file_changes(workspace: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def watched(source: str) -> str:
        asked.append(Path(source).name)
        return f"{len(asked)} of {source}"

    monkeypatch.setattr(provenance, "weights_id", watched)
    keys = {provenance.resolve(replace(SPEC, seed=seed)).key for seed in range(3)}
    assert len(keys) == 3 and sorted(asked) == ["arm", "mdm"]
    (workspace / "pair" / "mdm" / "model.safetensors").write_bytes(b"trained for longer")
    provenance.resolve(SPEC)
    assert sorted(asked) == ["arm", "mdm", "mdm"]


def test_weights_that_are_not_here_are_told_from_names_that_are_wrong(workspace: Path) -> None:
    (workspace / "pair" / "mdm" / "model.safetensors").unlink()
    with pytest.raises(provenance.WeightsNotHere, match="There is no model in"):
        provenance.resolve(SPEC)
    with pytest.raises(UserError) as error:
        provenance.resolve(replace(SPEC, task="x"))
    assert not isinstance(error.value, provenance.WeightsNotHere)


@pytest.mark.usefixtures("workspace")
def test_a_spec_is_resolved_with_the_task_in_its_template() -> None:
    assert provenance.resolve(replace(SPEC, template=2)).task.sample(Random(0), "heldout").content.startswith("ioi/1/")
    for task, number, why in (("ioi", 7, "has templates 1 to 6"), ("countdown", 1, "has no templates")):
        with pytest.raises(UserError, match=f"^template is {number}, but .* {why}"):
            provenance.resolve(replace(SPEC, task=task, template=number))
