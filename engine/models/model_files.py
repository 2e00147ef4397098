"""The files of a model's folder, which may be anything: read within bounds, or refused in a sentence. No torch."""

from __future__ import annotations

import stat
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from engine.errors import UserError, one_line
from engine.files.reading import Json, read_json_table, read_text

CONFIG = "config.json"
EMBEDDINGS = ("embed_tokens.weight", "wte.weight")  # how the key of the embedding ends
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


def read_table(file: Path) -> Json:
    """The table in a JSON file; empty where there is no file.

    Raises:
        UserError: no ordinary file, too large, not valid JSON, or not a table.
    """
    if not is_there(file):
        return {}
    refuse_irregular(file)
    return read_json_table(read_text(file, str(file)), str(file))


def is_there(file: Path) -> bool:
    """Whether there is anything of that name, a link that leads nowhere among it.

    Raises:
        UserError: the system can't tell.
    """
    try:
        return file.is_symlink() or file.exists()
    except OSError as error:
        raise UserError(f"{one_line(file)} cannot be read: {error.strerror}.") from error


def is_folder(place: Path) -> bool:
    """Whether there is a folder of that name; raises like `is_there`."""
    try:
        return place.is_dir()
    except OSError as error:
        raise UserError(f"{one_line(place)} cannot be read: {error.strerror}.") from error


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
    tensors: dict[str, Stored] = {}
    for file in files:
        refuse_irregular(file)
        info = file.stat()
        tensors |= _header(file, info.st_size, info.st_mtime_ns)
    return tensors


@lru_cache(maxsize=64)
def _header(file: Path, size: int, modified: int) -> dict[str, Stored]:
    """A file's tensors, read again only when its size or time of change is another."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(file, framework="numpy") as weights:
            slices = {name: weights.get_slice(name) for name in weights.keys()}  # noqa: SIM118 - no mapping
            return {name: Stored(part.get_dtype(), tuple(part.get_shape())) for name, part in slices.items()}
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror or one_line(error)}.") from error
    except SafetensorError as error:
        raise UserError(f"{file} cannot be read as safetensors: {one_line(error)}. Download it again.") from error
