"""A bundle of a fake pair, a machine that does not know the pair, and pairs of small tokenizers."""

from __future__ import annotations

import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import pytest

from engine.exchange import bundle
from engine.models.pair import Pair
from engine.runs import cache_connection, lifecycle
from engine.runs.spec import RunSpec
from engine.tasks import own_prompts
from engine.tasks.own_prompts import PromptRow
from tests.bundles import change_record, change_table, kinds_in, zipped
from tests.fakes import register_fake_pair, tiny_compute

SPEC = RunSpec(pair="mine", n=4)
ARM = replace(SPEC, model="arm")
CONTROL = replace(SPEC, model="control")
ROWS = [PromptRow("a b c", "a x c", ("d",), ("e",)), PromptRow("a b f", "a x f", ("d",), ("e",))]
TABLE = re.compile(r"(?:UPDATE|INTO|FROM|TABLE) (\w+)")

Changed = Callable[..., Path]


@pytest.fixture(scope="module")
def there(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A cache with runs of a pair `mine`: IOI with the control, the MDM on own prompts, made where the weights are."""
    there = tmp_path_factory.mktemp("there")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CIRCUITS_CACHE", str(there))
        patch.setenv("CIRCUITS_PAIRS", str(register_fake_pair(there / "models", "mine")))
        prompts = own_prompts.save(ROWS, "Of my own", "mine")
        for spec in (ARM, SPEC, CONTROL, replace(SPEC, task=prompts.name, n=2)):
            lifecycle.run(spec, compute=tiny_compute)
        bundle.write(there / "all.circuits.zip", "mine")
        bundle.write(there / "own.circuits.zip", "mine", prompts.name)
        cache_connection.close()
    return there


@pytest.fixture(scope="module")
def made(there: Path) -> Path:
    """A bundle of all of these runs."""
    return there / "all.circuits.zip"


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache on a machine that does not know the pair."""
    monkeypatch.setenv("CIRCUITS_CACHE", str(tmp_path / "here"))
    monkeypatch.delenv("CIRCUITS_PAIRS", raising=False)
    return tmp_path / "here"


@pytest.fixture(scope="module")
def own_unpacked(there: Path) -> Path:
    """The bundle of the run on own prompts as a folder."""
    with ZipFile(there / "own.circuits.zip") as archive:
        archive.extractall(there / "own")
    return there / "own"


@pytest.fixture(scope="module")
def all_unpacked(made: Path) -> Path:
    """The bundle of all runs as a folder."""
    with ZipFile(made) as archive:
        archive.extractall(made.parent / "all")
    return made.parent / "all"


@pytest.fixture
def changed(own_unpacked: Path, tmp_path: Path) -> Changed:
    """A copy of the bundle of one run in which a statement was run on a table, or a header or a record was changed.

    A record is that of the artifact of `kind`.
    """
    return lambda *args, **kwargs: _changed(own_unpacked, tmp_path, *args, **kwargs)


@pytest.fixture
def changed_of_all(all_unpacked: Path, tmp_path: Path) -> Changed:
    """As `changed`, of the bundle of all runs."""
    return lambda *args, **kwargs: _changed(all_unpacked, tmp_path, *args, **kwargs)


def _changed(
    unpacked: Path,
    folder: Path,
    statement: str = "",
    *values: object,
    header: Callable[[str], str] | None = None,
    record: Callable[[dict[str, Any]], object] | str | None = None,
    kind: str = "circuit",
) -> Path:
    copy = folder / "changed"
    shutil.copytree(unpacked, copy)
    if header:
        before = (copy / "header.json").read_text()
        (copy / "header.json").write_text(header(before))
        assert header(before) != before
    files = {name: [copy / "artifacts" / file.name for file in of] for name, of in kinds_in(unpacked).items()}
    if record is not None:
        for file in files[kind]:
            change_record(file, record)
    if statement:
        change_table(files, next(iter(TABLE.findall(statement)), ""), statement, values)
    return zipped(copy, folder / "changed.circuits.zip")


def stored() -> list[str]:
    """The keys of what is in the cache."""
    return [record.key for record in cache_connection.store().records()]


@pytest.fixture(scope="module")
def pair_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Pair]:
    """A pair by the kind of its tokenizer."""
    from tests import tiny_tokenizers as tiny

    base = tmp_path_factory.mktemp("tokenizers")
    makers = {
        "gpt2": lambda: tiny.tokenizer_like("gpt2"),
        "qwen": lambda: tiny.tokenizer_like("qwen"),
        "capitals": tiny.capitals,
    }

    def made(kind: str) -> Pair:
        if not (base / kind).is_dir():
            makers[kind]().save_pretrained(base / kind)
            (base / kind / "config.json").write_text("{}")
        return Pair(kind, kind, kind, kind, base=base)

    return made
