"""The files of a model's folder, which may be anything: read within bounds, or refused in a sentence. No torch."""

from __future__ import annotations

import json
import stat
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any, NoReturn

from engine.errors import UserError

CONFIG = "config.json"
EMBEDDINGS = ("embed_tokens.weight", "wte.weight")  # how the key of the embedding ends
MOST_JSON = 2**26  # bytes of a table; the longest index of published weights has a few MiB
MOST_HEADER = 2**27  # bytes of a safetensors header
# What transformers and we read of a folder.
READ = (
    "*.safetensors",
    "*.safetensors.index.json",
    "config.json",
    "generation_config.json",
    "tokenizer*.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "vocab.json",
    "merges.txt",
    "tokenizer.model",
)


@dataclass(frozen=True)
class Stored:
    """A tensor as a safetensors file describes it; `dtype` as the format spells it: "F32", "BF16", "I8"."""

    dtype: str
    shape: tuple[int, ...]


def read_table(file: Path) -> dict[str, Any]:
    """The table in a JSON file; empty where there is no file.

    Raises:
        UserError: no ordinary file, too large, not valid JSON, or not a table.
    """
    if not is_there(file):
        return {}
    refuse_irregular(file)
    try:
        if file.stat().st_size > MOST_JSON:
            raise UserError(f"{file} has more than {MOST_JSON // 2**20} MiB, which no such table has.")
        found = json.loads(file.read_text(encoding="utf-8"), parse_constant=_refuse_constant)
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}.") from error
    except RecursionError as error:
        raise UserError(f"{file} is not valid JSON: its tables are nested too deeply.") from error
    except ValueError as error:  # what JSON can't say, other encodings, and numbers of thousands of digits
        raise UserError(f"{file} is not valid JSON: {cut(error)}.") from error
    if not isinstance(found, dict):
        raise UserError(f"{file} is not a table in JSON, as it should be.")
    return found


def is_there(file: Path) -> bool:
    """Whether there is anything of that name, a link that leads nowhere among it.

    Raises:
        UserError: the system can't tell.
    """
    try:
        return file.is_symlink() or file.exists()
    except OSError as error:
        raise UserError(f"{cut(file)} cannot be read: {error.strerror}.") from error


def is_folder(place: Path) -> bool:
    """Whether there is a folder of that name; raises like `is_there`."""
    try:
        return place.is_dir()
    except OSError as error:
        raise UserError(f"{cut(place)} cannot be read: {error.strerror}.") from error


def refuse_irregular(file: Path) -> None:
    """Ordinary files only: links that lead nowhere or in a circle, folders, pipes and devices are told by name.

    Raises:
        UserError: it is none.
    """
    try:
        mode = file.stat().st_mode
    except OSError as error:
        if file.is_symlink():
            raise UserError(f"{file} is a link to a file that is not there: download or copy it again.") from error
        raise UserError(f"{file} cannot be read: {error.strerror}.") from error
    if not stat.S_ISREG(mode):
        kind = "a folder" if stat.S_ISDIR(mode) else "a pipe or a device"
        raise UserError(f"{file} is {kind} where a file should be.")


def refuse_irregular_in(folder: Path) -> None:
    """`refuse_irregular` for everything that is read of a model's folder."""
    for pattern in READ:
        for file in sorted(folder.glob(pattern)):
            refuse_irregular(file)


def header_of(files: Sequence[Path]) -> dict[str, Stored]:
    """Every tensor of some safetensors files by name, from their headers alone.

    Raises:
        UserError: a file that is none.
    """
    found: dict[str, Stored] = {}
    for file in files:
        refuse_irregular(file)
        info = file.stat()
        found |= _header(file, info.st_size, info.st_mtime_ns)
    return found


@lru_cache(maxsize=64)
def _header(file: Path, size: int, modified: int) -> dict[str, Stored]:
    """A file's tensors, read again only when its size or time of change is another."""
    try:
        return _tensors(file, size)
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}.") from error
    except (ValueError, KeyError, IndexError, TypeError, AttributeError, RecursionError) as error:
        raise UserError(f"{file} cannot be read as safetensors: {cut(error)}. Download it again.") from error


def _tensors(file: Path, size: int) -> dict[str, Stored]:
    with file.open("rb") as stream:
        length = int.from_bytes(stream.read(8), "little")
        if not 2 <= length <= min(MOST_HEADER, size - 8):
            raise ValueError("its header has an impossible length")
        told = json.loads(stream.read(length))
    tensors = {name: one for name, one in told.items() if name != "__metadata__"}
    if max((one["data_offsets"][1] for one in tensors.values()), default=0) > size - 8 - length:
        raise ValueError("it ends before its last tensor")
    return {name: Stored(str(one["dtype"]), tuple(map(int, one["shape"]))) for name, one in tensors.items()}


def cut(error: object, most: int = 300) -> str:
    """The first line's worth of a library's own text."""
    text = " ".join(str(error).split())
    return text if len(text) <= most else text[:most].rstrip() + " ..."


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")
