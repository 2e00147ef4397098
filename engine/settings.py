"""Every environment variable and default path, in one place.

CIRCUITS_DB     the cache file; default cache/circuits.duckdb in this project; own prompts are kept in the folder
                prompts beside it, pairs of two folders in the folder pairs, digests of weights in digests.json
CIRCUITS_PAIRS  a TOML file with more pairs, as in assets/pairs.toml; default none
"""

from __future__ import annotations

import os
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MODELS = ROOT / "assets" / "models"
PAIRS = ROOT / "assets" / "pairs.toml"


def database_path() -> Path:
    return _path("CIRCUITS_DB") or ROOT / "cache" / "circuits.duckdb"


def prompts_dir() -> Path:
    return database_path().parent / "prompts"


def kept_pairs_dir() -> Path:
    return database_path().parent / "pairs"


def digests_path() -> Path:
    return database_path().parent / "digests.json"


def user_pairs_path() -> Path | None:
    return _path("CIRCUITS_PAIRS")


def _path(variable: str) -> Path | None:
    value = os.environ.get(variable, "").strip()
    return Path(value).expanduser().resolve() if value else None
