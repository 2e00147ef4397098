"""A bundle of a fake pair, a machine that does not know the pair, and pairs of small tokenizers."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from cache.layout import SORTED_BY
from engine.exchange import bundle
from engine.models.pair import Pair
from engine.runs import cache_connection, lifecycle
from engine.runs.spec import RunSpec
from engine.tasks import own_prompts
from engine.tasks.own_prompts import PromptRow
from tests.fakes import register_fake_pair, tiny_compute

SPEC = RunSpec(pair="mine", n=4)
ARM = replace(SPEC, model="arm")
CONTROL = replace(SPEC, model="control")
ROWS = [PromptRow("a b c", "a x c", ("d",), ("e",)), PromptRow("a b f", "a x f", ("d",), ("e",))]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of a pair `mine`: IOI with the control, the MDM on own prompts, made where the weights are."""
    there = tmp_path_factory.mktemp("there")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CIRCUITS_CACHE", str(there))
        patch.setenv("CIRCUITS_PAIRS", str(register_fake_pair(there / "models", "mine")))
        prompts = own_prompts.save(ROWS, "Of my own", "mine")
        for spec in (ARM, SPEC, CONTROL, replace(SPEC, task=prompts.name, n=2)):
            lifecycle.run(spec, compute=tiny_compute)
        bundle.write(there / "all.duckdb", "mine")
        cache_connection.close()
    return there / "all.duckdb"


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache on a machine that does not know the pair."""
    monkeypatch.setenv("CIRCUITS_CACHE", str(tmp_path / "here"))
    monkeypatch.delenv("CIRCUITS_PAIRS", raising=False)
    return tmp_path / "here"


@pytest.fixture
def changed(made: Path, tmp_path: Path) -> Callable[..., Path]:
    """A copy of the bundle in which one statement was run."""

    def change(statement: str, *values: object) -> Path:
        file = tmp_path / "changed.duckdb"
        file.write_bytes(made.read_bytes())
        with duckdb.connect(str(file)) as db:
            db.execute(statement, list(values))
        return file

    return change


def stored() -> dict[str, int]:
    """Rows of every table of the cache."""
    db = cache_connection.store()._cursor
    return {name: len(db.table(name).fetchall()) for name in ("runs", "overlap_curves", *SORTED_BY)}


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
