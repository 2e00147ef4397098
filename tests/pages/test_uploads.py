"""What is uploaded on the Runs page and is no sound bundle: one sentence, nothing of it stays."""

from __future__ import annotations

from pathlib import Path

import duckdb
import pytest

from engine import settings
from engine.exchange import bundle
from engine.runs import cache_connection, lifecycle
from engine.runs.spec import RunSpec
from tests.fakes import register_fake_pair, tiny_compute
from tests.pages.test_pages import app

SPEC = RunSpec(pair="mine", n=4)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    there = tmp_path_factory.mktemp("there")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CIRCUITS_CACHE", str(there))
        patch.setenv("CIRCUITS_PAIRS", str(register_fake_pair(there / "models", "mine")))
        lifecycle.run(SPEC, compute=tiny_compute)
        bundle.write(there / "all.duckdb", "mine")
        cache_connection.close()
    return there / "all.duckdb"


UPLOADS = {
    "a NaN": ("UPDATE heads SET copying = 'nan'::FLOAT WHERE node = 1", "the column copying of heads"),
    "a probability of 2": ("UPDATE residual_lens SET answer_probability = 2", "the column answer_probability"),
    "a count of zero": ("UPDATE accuracy_steps SET total = 0", "the column total of accuracy_steps"),
    "an empty list": ("UPDATE examples SET prompt = [] WHERE example = 1", "the column prompt of examples"),
    "an emptied table": ("DELETE FROM trajectories", "the table trajectories has no rows"),
    "nested JSON": ("UPDATE bundle SET header = repeat('[', 100000)", "the header"),
    "a view": ("CREATE VIEW more AS SELECT 1", "a view 'more'"),
    "no database": (None, "it is not a database"),
    "nothing": (None, "it is not a database"),
}  # fmt: skip


@pytest.mark.usefixtures("queue_of")
@pytest.mark.parametrize("what", UPLOADS)
def test_what_is_no_sound_bundle_is_told(made: Path, tmp_path: Path, what: str) -> None:
    statement, why = UPLOADS[what]
    file = tmp_path / "b.duckdb"
    file.write_bytes(made.read_bytes())
    if statement:
        with duckdb.connect(str(file)) as db:
            db.execute(statement)
    content = {"no database": b"coffee" * 999, "nothing": b""}.get(what, file.read_bytes())
    page = app("runs")
    page.file_uploader[0].set_value(("b.duckdb", content, "application/octet-stream")).run()
    assert not page.exception and not page.success
    (error,) = page.error
    message = error.value.replace("\\", "")
    assert message.startswith("This file cannot be imported: ") and why in message and len(message) < 500
    assert not lifecycle.list_runs() and not settings.scratch_dir().exists()


@pytest.mark.usefixtures("queue_of")
def test_a_sound_bundle_leaves_no_temporary_file(made: Path) -> None:
    page = app("runs")
    page.file_uploader[0].set_value(("b.duckdb", made.read_bytes(), "application/octet-stream")).run()
    assert [success.value.replace("\\", "") for success in page.success] == ["1 run of the pair mine added."]
    assert not settings.scratch_dir().exists()
