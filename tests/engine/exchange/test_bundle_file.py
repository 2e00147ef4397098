"""The container of a bundle: whole files in, the same files out; whatever else a zip can hold is a sentence."""

from __future__ import annotations

import os
import stat
import struct
from collections.abc import Callable
from pathlib import Path
from zipfile import ZIP_DEFLATED, ZIP_STORED, ZipFile, ZipInfo

import pytest

from cache.sandbox import Refused
from engine.errors import UserError
from engine.exchange import bundle_file
from engine.exchange.bundle_file import form_of, reading, unpacked, write_bundle

A, B = "a" * 20, "b" * 20
HEADER = '{"made": "a header"}'


@pytest.fixture
def files(tmp_path: Path) -> dict[str, Path]:
    """Two artifacts: one of a few bytes, one longer than what is copied at once."""
    (tmp_path / "files").mkdir()
    contents = {A: b"first", B: os.urandom(3 * bundle_file.CHUNK + 7)}
    for key, content in contents.items():
        (tmp_path / "files" / key).write_bytes(content)
    return {key: tmp_path / "files" / key for key in contents}


@pytest.fixture
def scratch(tmp_path: Path) -> Path:
    (tmp_path / "scratch").mkdir()
    return tmp_path / "scratch"


def taken_apart(path: Path, scratch: Path) -> tuple[str, dict[str, bytes]]:
    content = unpacked(path, form_of(path), scratch)
    return content.header, {key: file.read_bytes() for key, file in content.files.items()}


def test_what_is_written_is_read_back(files: dict[str, Path], tmp_path: Path, scratch: Path) -> None:
    path = tmp_path / "b.circuits.zip"
    write_bundle(path, HEADER, files)
    expected = HEADER, {key: file.read_bytes() for key, file in files.items()}
    assert taken_apart(path, scratch) == expected
    with ZipFile(path) as archive:
        assert [entry.filename for entry in archive.infolist()] == [
            "header.json", f"artifacts/{A}.duckdb", f"artifacts/{B}.duckdb",
        ]  # fmt: skip
        assert {entry.compress_type for entry in archive.infolist()} == {ZIP_STORED}
        archive.extractall(tmp_path / "folder")
    assert form_of(tmp_path / "folder") == "folder"
    assert taken_apart(tmp_path / "folder", scratch) == expected
    assert not [entry for entry in tmp_path.iterdir() if entry.name.startswith(".writing")]


def test_the_same_artifacts_are_the_same_bytes(files: dict[str, Path], tmp_path: Path) -> None:
    for name in ("a.zip", "b.zip"):
        write_bundle(tmp_path / name, HEADER, files)
    assert (tmp_path / "a.zip").read_bytes() == (tmp_path / "b.zip").read_bytes()


def test_nothing_is_written_over(files: dict[str, Path], tmp_path: Path) -> None:
    for name in ("file", "link"):
        (tmp_path / "file").write_text("mine")
        (tmp_path / "link").unlink(missing_ok=True)
        (tmp_path / "link").symlink_to(tmp_path / "nowhere")
        with pytest.raises(UserError, match=f"{name} is there already"):
            write_bundle(tmp_path / name, HEADER, files)
    assert (tmp_path / "file").read_text() == "mine" and not (tmp_path / "nowhere").exists()


@pytest.mark.parametrize("name", ["x" * 300, "none/b.zip"])
def test_a_bundle_that_cannot_be_written_leaves_nothing(files: dict[str, Path], tmp_path: Path, name: str) -> None:
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match="cannot be written"):
        write_bundle(tmp_path / name, HEADER, files)
    assert sorted(tmp_path.rglob("*")) == before


def test_an_artifact_that_was_deleted_meanwhile_is_named(files: dict[str, Path], tmp_path: Path) -> None:
    files[B].unlink()
    before = sorted(tmp_path.rglob("*"))
    with pytest.raises(UserError, match=f"The artifact {B} was deleted meanwhile"):
        write_bundle(tmp_path / "b.zip", HEADER, files)
    assert sorted(tmp_path.rglob("*")) == before


def entries(*written: tuple[str | ZipInfo, bytes], pack: int = ZIP_STORED) -> Callable[[Path], object]:
    def make(path: Path) -> None:
        with ZipFile(path, "w", pack) as archive:
            for name, content in [("header.json", HEADER.encode()), *written]:
                archive.writestr(name, content)

    return make


def info(name: str, mode: int) -> ZipInfo:
    entry = ZipInfo(name)
    entry.external_attr = mode << 16
    return entry


def patched(*changes: tuple[bytes, int, bytes]) -> Callable[[Path], object]:
    """A sound zip in whose directory some bytes were changed: (what the record begins with, offset, new bytes)."""

    def make(path: Path) -> None:
        entries((f"artifacts/{A}.duckdb", b"content"))(path)
        content = bytearray(path.read_bytes())
        for begins, offset, new in changes:
            at = content.rfind(begins) + offset
            content[at : at + len(new)] = new
        path.write_bytes(content)

    return make


LOCAL, CENTRAL, END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"
NAME_A = f"artifacts/{A}.duckdb"
TRAPS: dict[str, tuple[Callable[[Path], object], str]] = {
    "packed": (entries((NAME_A, b"0" * 10_000), pack=ZIP_DEFLATED), "is packed. Write the zip with its files stored"),
    "another name": (entries(("readme.txt", b"")), r"'readme.txt'. A bundle has header.json and artifacts/KEY.duckdb"),
    "a folder's entry": (entries(("artifacts/", b"")), "'artifacts/'"),
    "another folder": (entries((f"other/{A}.duckdb", b"")), "A bundle has"),
    "absolute": (entries((f"/artifacts/{A}.duckdb", b"")), "A bundle has"),
    "above": (entries((f"artifacts/../{A}.duckdb", b"")), "A bundle has"),
    "above from within": (entries((f"../artifacts/{A}.duckdb", b"")), "A bundle has"),
    "backslash": (entries((f"artifacts\\{A}.duckdb", b"")), "A bundle has"),
    "no key": (entries(("artifacts/AAAAAAAAAAAAAAAAAAAA.duckdb", b"")), "A bundle has"),
    "a log": (entries((f"artifacts/{A}.duckdb.wal", b"")), "A bundle has"),
    "a long name": (entries(("x" * 60_000, b"")), "A bundle has"),
    "a symlink": (entries((info(NAME_A, stat.S_IFLNK | 0o777), b"/etc/passwd")), "is a link, or no plain file"),
    "a device": (entries((info(NAME_A, stat.S_IFCHR | 0o666), b"")), "is a link, or no plain file"),
    "twice": (entries((NAME_A, b"a"), (NAME_A, b"b")), "twice"),
    "two headers": (entries(("header.json", b"{}")), "it has 'header.json' twice"),
    "encrypted": (patched((CENTRAL, 8, b"\x01\x00")), "is encrypted"),
    "size too small": (patched((CENTRAL, 24, struct.pack("<L", 3))), "has another size than it says"),
    "size too large": (patched((CENTRAL, 20, struct.pack("<LL", 2**30, 2**30))), "are larger than the whole"),
    "sizes too small": (patched((CENTRAL, 20, struct.pack("<LL", 3, 3))), "not a zip file that can be read"),
    "other content": (patched((b"content", 0, b"CONTENT")), "not a zip file that can be read .*CRC"),
    "another name inside": (patched((LOCAL, 32, b"xx")), "not a zip file that can be read"),
    "an unknown version": (patched((CENTRAL, 6, b"\xff\x00")), "not a zip file that can be read"),
    "a directory elsewhere": (patched((END, 16, struct.pack("<L", 5))), "not a zip file that can be read"),
    "a huge directory": (patched((END, 12, struct.pack("<L", 2**31))), "its directory has 2,147,483,648 bytes"),
    "more at its end": (lambda path: (patched()(path), path.open("ab").write(b"more")), "cut off, or something was"),
    "cut off": (lambda path: (patched()(path), os.truncate(path, 60)), "it is cut off"),
    "the beginning alone": (lambda path: path.write_bytes(b"PK\x03\x04"), "it is cut off"),
    "no header": (lambda path: ZipFile(path, "w").close(), "it has no header.json"),
}  # fmt: skip


@pytest.mark.filterwarnings("ignore:Duplicate name")
@pytest.mark.parametrize("what", TRAPS)
def test_whatever_else_a_zip_can_hold_is_a_sentence(tmp_path: Path, scratch: Path, what: str) -> None:
    make, why = TRAPS[what]
    path = tmp_path / "b.zip"
    make(path)
    before = {file for file in tmp_path.rglob("*") if file.parent != scratch}
    with pytest.raises(UserError, match=why) as refusal, reading(path):
        taken_apart(path, scratch)
    message = str(refusal.value)
    assert message.startswith("b.zip cannot be imported: ") and message.count(". ") <= 1 and len(message) < 500
    assert {file for file in tmp_path.rglob("*") if file.parent != scratch} == before


def test_a_large_directory_in_64_bits_is_not_read(tmp_path: Path, scratch: Path) -> None:
    path = tmp_path / "b.zip"
    patched()(path)
    content = path.read_bytes()
    end, size = content[-22:], len(content) - 22
    directory = struct.pack("<4sQ2H2L4Q", b"PK\x06\x06", 44, 45, 45, 0, 0, 2, 2, 2**40, 0)
    for place, why in ((size, "its directory has 1,099,511,627,776 bytes"), (7, "is not where it should be")):
        path.write_bytes(content[:-22] + directory + struct.pack("<4sLQL", b"PK\x06\x07", 0, place, 1) + end)
        with pytest.raises(UserError, match=why):
            taken_apart(path, scratch)


def test_too_many_artifacts_are_not_unpacked(tmp_path: Path, scratch: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle_file, "MOST_ARTIFACTS", 2)
    entries(*((f"artifacts/{number:020x}.duckdb", b"") for number in range(4)))(tmp_path / "b.zip")
    with pytest.raises(UserError, match=r"its directory has \d+ bytes"):
        taken_apart(tmp_path / "b.zip", scratch)
    assert not list(scratch.iterdir())
    monkeypatch.setattr(bundle_file, "MOST_OF_DIRECTORY", 10_000)
    with pytest.raises(UserError, match="more than 2 artifacts"):
        taken_apart(tmp_path / "b.zip", scratch)


FOLDERS: dict[str, tuple[Callable[[Path], object], str]] = {
    "another folder": (lambda path: (path / "more").mkdir(), "'more'. A bundle has"),
    "another name": (lambda path: (path / "notes").write_text(""), "'notes'. A bundle has"),
    "no key": (lambda path: (path / "artifacts" / "x.duckdb").write_text(""), "'artifacts/x.duckdb'"),
    "a link": (lambda path: (path / NAME_A).symlink_to("/etc/passwd"), "is a link, or no plain file"),
    "a pipe": (lambda path: os.mkfifo(path / NAME_A), "is a link, or no plain file"),
    "a folder": (lambda path: (path / NAME_A).mkdir(), "is a link, or no plain file"),
    "no header": (lambda path: (path / "header.json").unlink(), "it has no header.json"),
    "a header that is a link": (
        lambda path: ((path / "header.json").unlink(), (path / "header.json").symlink_to("/etc/passwd")),
        "'header.json' in it is a link",
    ),
    "artifacts elsewhere": (
        lambda path: ((path / "artifacts").rmdir(), (path / "artifacts").symlink_to("/tmp")),  # noqa: S108
        "'artifacts' in it is a link",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", FOLDERS)
def test_whatever_else_a_folder_can_hold_is_a_sentence(tmp_path: Path, scratch: Path, what: str) -> None:
    change, why = FOLDERS[what]
    path = tmp_path / "folder"
    (path / "artifacts").mkdir(parents=True)
    (path / "header.json").write_text(HEADER)
    change(path)
    with pytest.raises(UserError, match=why) as refusal, reading(path):
        taken_apart(path, scratch)
    assert str(refusal.value).startswith("folder cannot be imported: ")


def test_what_is_neither_is_told(tmp_path: Path) -> None:
    for name, content in (("text", b"coffee"), ("empty", b"")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UserError, match="neither a zip file nor a database"):
            form_of(tmp_path / name)
    os.mkfifo(tmp_path / "pipe")
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for name, why in (("pipe", "not a file"), ("loop", "cannot be reached"), ("none", "no such file")):
        with pytest.raises(Refused, match=why):
            form_of(tmp_path / name)
    with pytest.raises(UserError, match="it cannot be read: File name too long"):
        form_of(tmp_path / ("x" * 300))


def test_what_goes_wrong_while_it_is_read_names_the_file() -> None:
    for error in (UserError("a run is wrong."), Refused("a run is wrong")):
        with (
            pytest.raises(UserError, match=r"^b\.zip cannot be imported: a run is wrong\.$"),
            reading(Path("b.zip")),
        ):
            raise error
