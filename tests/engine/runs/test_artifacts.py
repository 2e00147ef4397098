"""Keys of artifacts: a field changes the keys of what depends on it, and no other."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields, replace
from pathlib import Path

import pytest

from cache.keys import hash_of
from engine.runs import provenance
from engine.runs.artifacts import FIELDS, keys_of, made_with, split, whole
from engine.runs.lifecycle import ignore
from engine.runs.provenance import resolve
from engine.runs.spec import LEFT_OUT_AT_ZERO, RunSpec
from engine.schema.artifacts import KINDS, columns_in, tables_in
from tests.fakes import fake_model, tiny_run

ALL = set(KINDS)
OF_EXAMPLES = {"circuit", "lens", "activity"}
MODELS = ("arm", "mdm", "control", "step:100")

# A field of a spec -> another value, and what depends on it.
CHANGES: dict[str, tuple[object, set[str]]] = {
    "pair": ("other", ALL),
    "model": ("step:0", ALL),
    "task": ("greater_than", ALL - {"weights"}),
    "n": (5, OF_EXAMPLES),
    "seed": (1, OF_EXAMPLES),
    "method": ("eap", {"circuit"}),
    "points": (7, {"circuit"}),
    "metric": ("log_prob", {"circuit"}),
    "order": ("random", OF_EXAMPLES),
    "dtype": ("bfloat16", ALL),
    "denoising_steps": (2, OF_EXAMPLES),
    "template": (3, ALL - {"weights"}),
}


def changed(before: RunSpec, after: RunSpec, change: Callable[[], object] = lambda: None) -> set[str]:
    """The kinds of artifact whose keys differ."""
    old = resolve(before).keys
    change()
    new = resolve(after).keys
    return {kind for kind in KINDS if old[kind] != new[kind]}


@pytest.fixture
def pair(workspace: Path) -> Path:
    """The folder of a pair; a pair `other` of the same weights is there as well."""
    folder = workspace / "pair"
    file = folder / "pairs.toml"
    text = file.read_text()
    file.write_text(text + text.replace("[embedded]", "[other]"))
    return folder


def test_every_field_of_a_spec_is_in_the_table() -> None:
    of_a_file = {"source"}  # goes with another method alone: tests/engine/exchange/test_import_circuit.py
    assert set(CHANGES) | of_a_file == {field.name for field in fields(RunSpec)}
    assert {name for own in FIELDS.values() for name in own} <= set(CHANGES)
    assert set(FIELDS) == ALL - {"circuit"}


@pytest.mark.usefixtures("pair")
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("field", CHANGES)
def test_a_field_changes_the_keys_of_what_depends_on_it(field: str, model: str) -> None:
    value, expected = CHANGES[field]
    if field == "order" and model == "arm":
        expected = {"circuit"}  # whose key is that of every run stored so far; an ARM reveals nothing
    if field == "denoising_steps" and model == "arm":
        expected = set()
    spec = RunSpec(n=4, model=model)
    assert changed(spec, replace(spec, **{field: value})) == expected


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("trained", ["arm", "mdm", "steps/000100", "steps/000000"])
def test_weights_change_the_keys_of_what_depends_on_them(pair: Path, model: str, trained: str) -> None:
    own = {"arm": "arm", "control": "arm", "mdm": "mdm", "step:100": "steps/000100"}[model]
    if own == trained or (model == "control" and trained == "mdm"):  # with whose tokenizer and mask it is read
        expected = ALL
    elif trained == "arm":
        expected = {"circuit", "weights"}  # with which its neurons are compared
    else:
        expected = set()
    spec = RunSpec(n=4, model=model)
    assert changed(spec, spec, lambda: fake_model(pair / trained, "trained for longer")) == expected


@pytest.mark.usefixtures("pair")
@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("library", provenance.LIBRARIES)
def test_a_library_changes_every_key(model: str, library: str, monkeypatch: pytest.MonkeyPatch) -> None:
    known = provenance.library_version

    def update() -> None:
        monkeypatch.setattr(provenance, "library_version", lambda name: "9.9" if name == library else known(name))

    spec = RunSpec(n=4, model=model)
    assert changed(spec, spec, update) == ALL


@pytest.mark.usefixtures("pair")
def test_the_method_changes_every_key(monkeypatch: pytest.MonkeyPatch) -> None:
    assert provenance.METHOD_VERSION == 3
    spec = RunSpec(n=4)
    assert changed(spec, spec, lambda: monkeypatch.setattr(provenance, "METHOD_VERSION", 4)) == ALL


def test_how_a_model_is_read_changes_every_key_of_it(pair: Path) -> None:
    file = pair / "pairs.toml"

    def read_otherwise() -> None:
        file.write_text(file.read_text().replace("shifted = true", "shifted = false"))

    for spec, expected in ((RunSpec(n=4), ALL), (RunSpec(n=4, model="arm"), set())):
        assert changed(spec, spec, read_otherwise) == expected
        file.write_text(file.read_text().replace("shifted = false", "shifted = true"))


@pytest.mark.usefixtures("pair")
def test_the_key_of_a_circuit_is_that_of_its_run() -> None:
    for model in MODELS:
        resolved = resolve(RunSpec(n=4, model=model))
        assert resolved.key == resolved.keys["circuit"] == hash_of(resolved.provenance)
        assert len(set(resolved.keys.values())) == len(KINDS)


KNOWN = {
    "spec": RunSpec().as_dict(),
    "method_version": 3,
    "weights": "mdm's",
    "compared_with": "arm's",
    "libraries": {"torch": "2.13.0"},
    "reading": ["<mask>", True],
}


def test_known_keys_stay_what_they_are() -> None:
    """Fails when what goes into a key changes, which would lose every stored artifact."""
    assert keys_of(KNOWN) == {
        "circuit": "11629c995491ba4256bc",
        "ability": "319f93ff3a9ad4479f35",
        "lens": "cc651dd868f4a0fda57f",
        "activity": "366a0bb29ffc86826f34",
        "weights": "5c7fffb3e3ed7cf95d51",
    }
    for kind in KINDS:
        assert hash_of(made_with(kind, KNOWN)) == keys_of(KNOWN)[kind]
        assert set(made_with(kind, KNOWN)["spec"]) == set(FIELDS.get(kind, CHANGES)) - set(LEFT_OUT_AT_ZERO)
        chosen = {**KNOWN, "spec": RunSpec(denoising_steps=2, template=3).as_dict()}
        assert set(made_with(kind, chosen)["spec"]) == set(FIELDS.get(kind, CHANGES))
    assert KNOWN["spec"] == RunSpec().as_dict()


def test_a_run_is_split_and_put_together_again() -> None:
    run = tiny_run(RunSpec(n=4), ignore)
    made = {kind: split(run, kind) for kind in KINDS}
    for kind, artifact in made.items():
        assert tuple(artifact.tables) == tables_in(kind)
        for name, table in artifact.tables.items():
            assert table.column_names == [column.name for column in columns_in(kind, name)]
    again = whole(made)
    assert (again.meta, again.accuracy) == (run.meta, run.accuracy)
    assert all(again.tables[name].equals(table) for name, table in run.tables.items())
