"""What is uploaded on the Runs page and is no sound bundle: one sentence, nothing of it stays."""

from __future__ import annotations

import re
from pathlib import Path
from zipfile import ZipFile

import pytest

from engine import settings
from engine.exchange import bundle
from engine.runs import cache_connection, lifecycle, stored
from engine.runs.spec import RunSpec
from tests.bundles import change_table, kinds_in, zipped
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
        bundle.write(there / "all.circuits.zip", "mine")
        cache_connection.close()
    return there / "all.circuits.zip"


UPLOADS = {
    "a NaN": ("UPDATE heads SET copying = 'nan'::FLOAT WHERE node = 1", "the column copying of heads"),
    "a probability of 2": ("UPDATE residual_lens SET answer_probability = 2", "the column answer_probability"),
    "a count of zero": ("UPDATE accuracy_steps SET total = 0", "the column total of accuracy_steps"),
    "an empty list": ("UPDATE examples SET prompt = [] WHERE example = 1", "the column prompt of examples"),
    "an emptied table": ("DELETE FROM trajectories", "the table trajectories has no rows"),
    "a view": ("CREATE VIEW more AS SELECT 1", "a view 'more'"),
    "nested JSON": (None, "the header"),
    "no zip": (None, "neither a zip file nor a database"),
    "no database": (None, "it is not a database"),
    "nothing": (None, "neither a zip file nor a database"),
}  # fmt: skip
CONTENTS = {"no zip": b"coffee" * 999, "no database": b"coffee..DUCK" * 999, "nothing": b""}


def changed(made: Path, folder: Path, what: str) -> bytes:
    """The bundle with something wrong in it."""
    with ZipFile(made) as archive:
        archive.extractall(folder / "copy")
    if what == "nested JSON":
        (folder / "copy" / "header.json").write_text("[" * 100_000)
    if statement := UPLOADS[what][0]:
        table = next(iter(re.findall(r"(?:UPDATE|FROM) (\w+)", statement)), "")
        change_table(kinds_in(folder / "copy"), table, statement)
    return zipped(folder / "copy", folder / "b.circuits.zip").read_bytes()


@pytest.mark.usefixtures("queue_of")
@pytest.mark.parametrize("what", UPLOADS)
def test_what_is_no_sound_bundle_is_told(made: Path, tmp_path: Path, what: str) -> None:
    why = UPLOADS[what][1]
    content = CONTENTS[what] if what in CONTENTS else changed(made, tmp_path, what)
    page = app("runs")
    page.file_uploader[0].set_value(("b.circuits.zip", content, "application/octet-stream")).run()
    assert not page.exception and not page.success
    (error,) = page.error
    message = error.value.replace("\\", "")
    assert message.startswith("This file cannot be imported: ") and why in message and len(message) < 500
    assert not stored.list_runs() and not settings.scratch_dir().exists()


@pytest.mark.usefixtures("queue_of")
def test_a_sound_bundle_leaves_no_temporary_file(made: Path) -> None:
    page = app("runs")
    page.file_uploader[0].set_value(("b.circuits.zip", made.read_bytes(), "application/octet-stream")).run()
    (success,) = page.success
    assert success.value.replace("\\", "").startswith("1 run of the pair mine added (5 artifacts, ")
    assert not settings.scratch_dir().exists()
