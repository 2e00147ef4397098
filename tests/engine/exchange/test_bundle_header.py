"""What is written into the header of a bundle is read from it, and nothing else is."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from cache.layout import SCHEMA
from engine.errors import UserError
from engine.exchange.bundle_header import NOT_HERE, read_header, written_header
from engine.tasks import own_prompts
from engine.tasks.own_prompts import PromptRow

ROWS = [PromptRow("a b c", "a x c", ("d",), ("e",)), PromptRow("a b f", "a x f", ("d",), ("e",))]


@pytest.fixture
def header(workspace: Path) -> str:
    """Of the fake pair, with own prompts."""
    prompts = own_prompts.save(ROWS, "Of my own", "embedded")
    return written_header("embedded", ["ioi", prompts.name])


def test_what_is_written_is_read(header: str) -> None:
    read = read_header(header)
    assert (read.pair.name, read.pair.title, read.pair.shifted) == ("embedded", "Fake pair", True)
    assert (read.pair.arm, read.pair.mdm) == (f"{NOT_HERE}/embedded/arm", f"{NOT_HERE}/embedded/mdm")
    (prompts,) = read.prompts
    assert list(prompts.rows) == ROWS and prompts.title == "Of my own"
    assert read.problems == () and read.tasks == {prompts.name}
    assert set(read.program) == {"torch", "transformers", "transformer-lens", "duckdb"}


def test_earlier_versions_wrote_no_schema(header: str) -> None:
    fields = json.loads(header)
    with pytest.raises(UserError, match="'schema'"):
        read_header(header, earlier=True)
    del fields["schema"]
    assert read_header(json.dumps(fields), earlier=True).pair == read_header(header).pair


def test_no_path_of_this_machine_is_written(header: str, workspace: Path) -> None:
    assert str(workspace) not in header


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda fields: fields.pop("made"), "lacks the field 'made'"),
        (lambda fields: fields.pop("schema"), "does not say the version of its layout"),
        (lambda fields: fields.update(schema=SCHEMA + 1, new="field"), f"later version .*layout {SCHEMA + 1}"),
        (lambda fields: fields.update(schema=SCHEMA - 1), f"earlier version .*layout {SCHEMA - 1}"),
        (lambda fields: fields.update(more=1), "'more'"),
        (lambda fields: fields.update(program=[]), "which program made it"),
        (lambda fields: fields.update(pair="[a]\n[b]"), "has 2 pairs, not one"),
        (lambda fields: fields["prompts"][0].pop("title"), "own prompts are not as they should be"),
        (lambda fields: fields["prompts"][0].update(rows=[]), "own prompts have 0 rows"),
        (lambda fields: fields["prompts"][0]["rows"][0].update(answers=[]), "no answer or no foil"),
        (lambda fields: fields["prompts"][0]["rows"][0].pop("clean"), "other fields than it should"),
        (lambda fields: fields.update(problems=[{"title": "a"}]), "problems are not as they should be"),
    ],
)
def test_what_is_wrong_is_named(header: str, change: Callable[[dict[str, Any]], object], message: str) -> None:
    fields = json.loads(header)
    change(fields)
    with pytest.raises(UserError, match=message):
        read_header(json.dumps(fields))


def test_adapters_are_told_by_their_names_and_not_looked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    own = tmp_path / "own.toml"
    own.write_text(
        f'[mine]\ntitle = "Mine"\narm = "gguf:a/b.gguf"\nmdm = "{tmp_path}/c.gguf"\narm_adapter = "{tmp_path}/x"\n'
        'mdm_adapter = "y"\nsteps = [1]\nsteps_dir = "z"\n'
    )
    monkeypatch.setenv("CIRCUITS_PAIRS", str(own))
    header = written_header("mine", [])
    assert str(tmp_path) not in header
    pair, nowhere = read_header(header).pair, f"{NOT_HERE}/mine"
    assert (pair.arm, pair.mdm, pair.steps_dir) == (f"{nowhere}/arm", f"{nowhere}/mdm", f"{nowhere}/steps")
    assert (pair.arm_adapter, pair.mdm_adapter) == (f"{nowhere}/arm_adapter", f"{nowhere}/mdm_adapter")
