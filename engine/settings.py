"""Every environment variable and default path, in one place.

CIRCUITS_DB     the cache file; default cache/circuits.duckdb in this project; own prompts are kept in the folder
                prompts beside it, pairs of two folders in the folder pairs, digests of weights in digests.json,
                and temporary files, as long as they are needed, in the folder temporary
CIRCUITS_PAIRS  a TOML file with more pairs, as in assets/pairs.toml; default none
"""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path

from engine.errors import UserError

ROOT = Path(__file__).resolve().parent.parent
MODELS = ROOT / "assets" / "models"
PAIRS = ROOT / "assets" / "pairs.toml"
LONGEST_SHOWN = 200  # characters of a path that an error quotes


def database_path() -> Path:
    return _path("CIRCUITS_DB") or ROOT / "cache" / "circuits.duckdb"


def prompts_dir() -> Path:
    return database_path().parent / "prompts"


def kept_pairs_dir() -> Path:
    return database_path().parent / "pairs"


def digests_path() -> Path:
    return database_path().parent / "digests.json"


def scratch_dir() -> Path:
    """Where temporary files lie while they are needed: bundles that are uploaded, what reading them spills to disk."""
    return database_path().parent / "temporary"


def user_pairs_path() -> Path | None:
    return _path("CIRCUITS_PAIRS")


def _path(variable: str) -> Path | None:
    """The path that a variable names; UserError where no file can be at it."""
    value = os.environ.get(variable, "").strip()
    if not value:
        return None
    if "://" in value or value == ":memory:":
        shown = value[:LONGEST_SHOWN]
        raise UserError(f"{variable} names {shown!r}, which is no file of this machine. Choose a path.")
    try:
        path = Path(value).expanduser().resolve()
        with suppress(FileNotFoundError):
            path.stat()
        path.with_name("beside")  # ValueError where nothing can be beside it, as of the root
    except (OSError, RuntimeError, ValueError) as error:
        shown = value if len(value) <= LONGEST_SHOWN else f"{value[:LONGEST_SHOWN]}..."
        raise UserError(
            f"{variable} names {shown!r}, where no file can be: {_reason(error)}. Choose another path."
        ) from error
    return path


def _reason(error: Exception) -> str:
    """What is wrong with a path: what the system says, else what Python does."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error).rstrip(".")
