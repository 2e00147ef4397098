"""The container of a bundle: a zip file whose entries are stored, not packed, or a folder with the same content.

    header.json             engine/exchange/bundle_header.py
    artifacts/KEY.duckdb    a file of the cache

It is read as data of unknown origin: names of these two forms alone, each once, plain files, sizes that add up.
"""

from __future__ import annotations

import os
import re
import shutil
import stat
import struct
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Literal
from zipfile import ZIP_STORED, BadZipFile, ZipFile, ZipInfo

from cache.sandbox import Refused, size_of
from engine.errors import UserError, shortened
from engine.files.reading import MOST_JSON, read_text
from engine.files.writing import new_file, refuse_existing

ENDING = ".circuits.zip"  # as a bundle is usually called
HEADER, ARTIFACTS = "header.json", "artifacts"
FORM = re.compile(r"([0-9a-f]{20})\.duckdb")
MOST_ARTIFACTS = 50_000
MOST_OF_DIRECTORY = 160  # bytes that the zip's directory takes for an entry, at most
CHUNK = 2**20  # bytes
ENCRYPTED = 0x1 | 0x40 | 0x2000  # flags of an entry
ZIP_BEGINS, DATABASE_BEGINS = (b"PK\x03\x04", b"PK\x05\x06"), b"DUCK"  # a database's stands at byte 8
END, LOCATOR, END_64 = struct.Struct("<4s4H2LH"), struct.Struct("<4sLQL"), struct.Struct("<4sQ2H2L4Q")

Form = Literal["zip", "folder", "database"]


@dataclass(frozen=True)
class Unpacked:
    """What a bundle holds: the text of its header, and the file of every artifact by its key."""

    header: str
    files: Mapping[str, Path]


def write_bundle(path: Path, header: str, files: Mapping[str, Path]) -> None:
    """Write artifacts, by their keys, to a new zip file, whole or not at all; they are copied as they are.

    Raises:
        UserError: there is something at `path` already, it cannot be written, or an artifact is gone.
    """
    refuse_existing(path)
    with new_file(path) as file, ZipFile(file, "w", ZIP_STORED) as archive:
        archive.writestr(ZipInfo(HEADER), header)
        for key in sorted(files):
            _add(archive, key, files[key])


def form_of(path: Path) -> Form:
    """What a path names: a zip file or a folder, as bundles are, or a database, as those of earlier versions were.

    Raises:
        UserError: it is none of these, or cannot be read.
    """
    try:
        if path.is_dir():
            return "folder"
        size_of(path)
        with path.open("rb") as file:
            begins = file.read(12)
    except OSError as error:
        raise UserError(f"it cannot be read: {error.strerror}") from error
    if begins.startswith(ZIP_BEGINS):
        return "zip"
    if begins[8:] == DATABASE_BEGINS:
        return "database"
    raise UserError("it is not a bundle: neither a zip file nor a database of DuckDB")


def unpacked(path: Path, form: Form, scratch: Path) -> Unpacked:
    """The files of a bundle; those of a zip are copied to the folder `scratch`.

    Raises:
        UserError: it holds something else than a bundle does.
    """
    header, files = _in_folder(path) if form == "folder" else _in_zip(path, scratch)
    if header is None:
        raise UserError(f"it is not a bundle: it has no {HEADER}")
    return Unpacked(read_text(header, "its header", MOST_JSON), files)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """What is wrong with a file that is read, as a UserError that names the file."""
    try:
        yield
    except (Refused, UserError) as error:
        name = path.name or str(path)
        raise UserError(f"{name} cannot be imported: {str(error).rstrip('.')}.") from error


def _add(archive: ZipFile, key: str, file: Path) -> None:
    try:
        source = file.open("rb")
    except FileNotFoundError as error:
        raise UserError(f"The artifact {key} was deleted meanwhile. Write the bundle again.") from error
    with source, archive.open(ZipInfo(f"{ARTIFACTS}/{key}.duckdb"), "w", force_zip64=True) as target:
        shutil.copyfileobj(source, target, CHUNK)


def _in_folder(path: Path) -> tuple[Path | None, dict[str, Path]]:
    files: dict[str, Path] = {}
    header = None
    for entry in _entries(path):
        if entry.name == HEADER:
            header = path / HEADER
        elif entry.name != ARTIFACTS:
            raise _other_name(entry.name)
        _refuse_other_kind(entry, is_folder=entry.name == ARTIFACTS)
    for entry in _entries(path / ARTIFACTS) if (path / ARTIFACTS).is_dir() else []:
        files[_key(f"{ARTIFACTS}/{entry.name}")] = path / ARTIFACTS / entry.name
        _refuse_other_kind(entry, is_folder=False)
        _refuse_too_many(len(files))
    return header, files


def _entries(path: Path) -> Iterator[os.DirEntry[str]]:
    try:
        with os.scandir(path) as entries:
            yield from entries
    except OSError as error:
        raise UserError(f"it cannot be read: {error.strerror}") from error


def _refuse_other_kind(entry: os.DirEntry[str], is_folder: bool) -> None:
    plain = entry.is_dir if is_folder else entry.is_file
    if not plain(follow_symlinks=False):
        raise UserError(f"{shortened(entry.name)} in it is a link, or no plain file")


def _in_zip(path: Path, scratch: Path) -> tuple[Path | None, dict[str, Path]]:
    """The entries of a zip, each copied to a file in `scratch`."""
    header, files = None, {}
    try:
        with path.open("rb") as file:
            _refuse_large_directory(file)
            with ZipFile(file) as archive:
                entries = archive.infolist()
                _refuse_entries(entries, path.stat().st_size)
                for entry in entries:
                    target = scratch / entry.orig_filename.rpartition("/")[2]
                    _copy(archive, entry, target)
                    if entry.orig_filename == HEADER:
                        header = target
                    else:
                        files[target.stem] = target
    except (BadZipFile, NotImplementedError, RuntimeError, EOFError, ValueError, struct.error) as error:
        raise UserError(f"it is not a zip file that can be read ({str(error)[:200].rstrip('.')})") from error
    except OSError as error:
        raise UserError(f"it cannot be unpacked into {scratch.parent}: {error.strerror or error}") from error
    return header, files


def _refuse_large_directory(file: IO[bytes]) -> None:
    """Refuse a directory larger than any bundle's, by the record at the file's end, before Python reads all of it."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - END.size - LOCATOR.size - END_64.size))
    last = file.read()
    if last[-END.size :][:4] != b"PK\x05\x06" or last[-2:] != b"\0\0":
        raise UserError("it is not a whole zip file: it is cut off, or something was added at its end")
    length = END.unpack(last[-END.size :])[5]
    locator = last[-END.size - LOCATOR.size : -END.size]
    if locator[:4] == b"PK\x06\x07":
        place = size - END.size - LOCATOR.size - END_64.size
        if LOCATOR.unpack(locator)[2] != place or last[:4] != b"PK\x06\x06":
            raise UserError("it is not a plain zip file: its directory is not where it should be")
        length = END_64.unpack(last[: END_64.size])[8]
    if length > MOST_ARTIFACTS * MOST_OF_DIRECTORY:
        raise UserError(f"its directory has {length:,} bytes, more than that of {MOST_ARTIFACTS:,} artifacts")


def _refuse_entries(entries: list[ZipInfo], size: int) -> None:
    _refuse_too_many(len(entries))
    seen: set[str] = set()
    for entry in entries:
        name = entry.orig_filename
        shown = shortened(name)
        if name != HEADER:
            _key(name)
        if name in seen:
            raise UserError(f"it has {shown} twice")
        seen.add(name)
        if entry.flag_bits & ENCRYPTED:
            raise UserError(f"{shown} in it is encrypted")
        if stat.S_IFMT(entry.external_attr >> 16) not in (0, stat.S_IFREG):
            raise UserError(f"{shown} in it is a link, or no plain file")
        if entry.compress_type != ZIP_STORED:
            raise UserError(f"{shown} in it is packed. Write the zip with its files stored as they are")
        if entry.compress_size != entry.file_size:
            raise UserError(f"{shown} in it has another size than it says")
    if sum(entry.file_size for entry in entries) > size:
        raise UserError("its files are larger than the whole")


def _copy(archive: ZipFile, entry: ZipInfo, target: Path) -> None:
    with archive.open(entry) as source, target.open("xb") as file:
        shutil.copyfileobj(source, file, CHUNK)
        if file.tell() != entry.file_size:
            raise UserError(f"{shortened(entry.orig_filename)} in it has another size than it says")


def _key(name: str) -> str:
    """The key in the name of an artifact."""
    folder, _, file = name.rpartition("/")
    match = FORM.fullmatch(file)
    if folder != ARTIFACTS or not match:
        raise _other_name(name)
    return match[1]


def _other_name(name: str) -> UserError:
    return UserError(f"it has {shortened(name)}. A bundle has {HEADER} and {ARTIFACTS}/KEY.duckdb, and nothing else")


def _refuse_too_many(entries: int) -> None:
    if entries > MOST_ARTIFACTS + 1:
        raise UserError(f"it has more than {MOST_ARTIFACTS:,} artifacts, the most that there can be")
