"""Temporary folders are beside the cache while they are needed, and gone afterwards, whatever happens."""

from __future__ import annotations

import pytest

from engine import settings
from engine.errors import UserError
from engine.files.temporary import scratch_folder


def test_a_folder_is_there_while_it_is_needed() -> None:
    with scratch_folder("folder") as folder:
        (folder / "file").write_text("content")
        assert folder.parent == settings.scratch_dir()
    assert not folder.exists() and not settings.scratch_dir().exists()


def test_two_folders_are_two_and_the_first_to_end_leaves_the_other() -> None:
    with scratch_folder("outer") as outer:
        with scratch_folder("inner") as inner:
            assert inner != outer
        assert outer.is_dir() and not inner.exists()
    assert not settings.scratch_dir().exists()


def test_an_error_leaves_nothing() -> None:
    def failing() -> None:
        with scratch_folder("folder") as folder:
            (folder / "file").write_text("content")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        failing()
    assert not settings.scratch_dir().exists()


def test_a_place_that_cannot_be_is_a_sentence() -> None:
    settings.scratch_dir().parent.mkdir(parents=True, exist_ok=True)
    settings.scratch_dir().write_text("a file")
    with (
        pytest.raises(UserError, match=r"No folder for temporary files can be made in .*temporary"),
        scratch_folder("folder"),
    ):
        pass
