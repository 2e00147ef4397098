"""Every environment variable and default path, in one place.

CIRCUITS_CACHE  the folder of the cache; default cache/ in this project. Artifacts lie in its folder artifacts, own
                prompts in prompts, pairs of two folders in pairs, sweeps in sweeps, digests of weights in
                digests.json, models that were made from others in models, and temporary files, as long as they are
                needed, in temporary
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


def cache_dir() -> Path:
    """The folder of the cache.

    Raises:
        UserError: no folder can be at the path, or the variable of earlier versions is set.
    """
    earlier = os.environ.get("CIRCUITS_DB", "").strip()
    if earlier:
        raise UserError(
            f"CIRCUITS_DB is set to {earlier[:LONGEST_SHOWN]!r}, which is not read any more: the cache is a folder "
            "now. Unset it, name a folder with CIRCUITS_CACHE if the default will not do, and take the earlier file "
            "over with `python -m engine import FILE`."
        )
    return _path("CIRCUITS_CACHE") or ROOT / "cache"


def earlier_database() -> Path:
    """Where the cache of earlier versions lies, which was one file, if there is one."""
    return cache_dir() / "circuits.duckdb"


def prompts_dir() -> Path:
    return cache_dir() / "prompts"


def kept_pairs_dir() -> Path:
    return cache_dir() / "pairs"


def sweeps_dir() -> Path:
    """Where sweeps are kept that were computed or collected here, so that the app can show them."""
    return cache_dir() / "sweeps"


def digests_path() -> Path:
    return cache_dir() / "digests.json"


def derived_models_dir() -> Path:
    """Where models lie that were made from others, such as a GGUF file's: they can be deleted at any time."""
    return cache_dir() / "models"


def scratch_dir() -> Path:
    """Where temporary files lie while they are needed: bundles that are uploaded, what reading them spills to disk."""
    return cache_dir() / "temporary"


def user_pairs_path() -> Path | None:
    return _path("CIRCUITS_PAIRS")


def environment_of_children() -> dict[str, str]:
    """The environment of a process of ours (`python -m engine...`), which finds this project wherever it is started."""
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
    return {**os.environ, "PYTHONPATH": path}


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
