"""The file of a bundle: never written over another, and refused by its name."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.errors import UserError
from engine.exchange.bundle_file import opened_bundle, write_bundle
from engine.runs import lifecycle
from engine.runs.spec import RunSpec
from tests.fakes import tiny_compute


def test_what_is_written_can_be_opened(workspace: Path) -> None:
    run = lifecycle.run(RunSpec(n=4), compute=tiny_compute)
    write_bundle(workspace / "b.duckdb", "a header", [run.key])
    with opened_bundle(workspace / "b.duckdb") as file:
        assert file.header() == "a header"
        assert [row.key for row in file.runs().values()] == [run.key]
    with pytest.raises(UserError, match=r"There is a file .*b.duckdb already"):
        write_bundle(workspace / "b.duckdb", "another", [run.key])


def test_what_goes_wrong_while_it_is_read_names_the_file(workspace: Path) -> None:
    (workspace / "text").write_text("no database")
    with (
        pytest.raises(UserError, match=r"^text cannot be imported: it is not a database .*[^.]\.$"),
        opened_bundle(workspace / "text"),
    ):
        pass
    run = lifecycle.run(RunSpec(n=4), compute=tiny_compute)
    write_bundle(workspace / "b.duckdb", "a header", [run.key])
    with (
        pytest.raises(UserError, match=r"^b.duckdb cannot be imported: a run is wrong\.$"),
        opened_bundle(workspace / "b.duckdb"),
    ):
        raise UserError("a run is wrong.")
