"""Digests of weights: of the content, remembered as long as the file is as it was; files that differ are told apart."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest

from engine import settings
from engine.errors import UserError
from engine.models import weights_identity
from engine.models.weights_identity import SAMPLE, digest_of, same_content


def test_large_files_are_read_once_and_again_when_they_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights_identity, "WORTH_NOTING", 8)
    file = tmp_path / "weights"
    file.write_bytes(b"0123456789")
    right = hashlib.sha256(b"0123456789").hexdigest()
    assert weights_identity.digest_of(file) == right
    assert str(file) in settings.digests_path().read_text()
    weights_identity._digest.cache_clear()  # as in another process
    with monkeypatch.context() as without:
        without.setattr(hashlib, "file_digest", None)  # which therefore reads nothing
        assert weights_identity.digest_of(file) == right
    file.write_bytes(b"9876543210")
    os.utime(file, ns=(0, 7))
    assert weights_identity.digest_of(file) == hashlib.sha256(b"9876543210").hexdigest()


@pytest.mark.parametrize("damage", ["{", "[1]", '{"x": 3}'])
def test_damaged_notes_are_only_read_past(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, damage: str) -> None:
    monkeypatch.setattr(weights_identity, "WORTH_NOTING", 1)
    file = tmp_path / "weights"
    file.write_bytes(damage.encode())
    settings.digests_path().write_text(damage.replace("x", str(file)))
    assert weights_identity.digest_of(file) == hashlib.sha256(damage.encode()).hexdigest()


def test_files_of_the_same_bytes_are_the_same(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    content = bytes(5 * SAMPLE)
    first.write_bytes(content)
    second.write_bytes(content)
    assert same_content(first, second) and same_content(first, first)


@pytest.mark.parametrize("place", [0, SAMPLE + 1, 5 * SAMPLE - 1])
def test_one_byte_makes_another_file(tmp_path: Path, place: int) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    content = bytearray(5 * SAMPLE)
    first.write_bytes(content)
    content[place] = 1
    second.write_bytes(content)
    assert not same_content(first, second)
    second.write_bytes(content[1:])
    assert not same_content(first, second)


def test_a_file_that_is_not_there_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="cannot be read: No such file"):
        digest_of(tmp_path / "none")
    with pytest.raises(UserError, match="cannot be compared: No such file"):
        same_content(tmp_path / "none", tmp_path / "none")
