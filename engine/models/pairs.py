"""The registry of ARM/MDM pairs: assets/pairs.toml, those that were kept here, and a user's own.

Kept are pairs of two folders that were named on the command line (engine/runs/folder_pair.py) and those of bundles.

A user's own pairs come from the file that CIRCUITS_PAIRS names; a pair there replaces one of the same name here.
"""

from __future__ import annotations

from contextlib import suppress
from functools import lru_cache
from pathlib import Path

from engine import settings
from engine.errors import UserError
from engine.files.reading import MOST_TOML, read_text, read_toml
from engine.files.writing import write_whole
from engine.models import hub
from engine.models.pair import NAME, Pair, pair_of, toml_of
from engine.models.sources import is_derived, snapshot, weights_id
from engine.models.weights_identity import same_content

__all__ = ["Pair", "file_of", "forget", "keep", "kept_pairs", "pair_named", "pairs", "same_weights", "weights_id"]


def pairs() -> dict[str, Pair]:
    """Every registered pair by name: those that come with the app, those that were kept, those of the user's file.

    Raises:
        UserError: a file is missing or says something a pair does not have.
    """
    shipped, own = _read(settings.PAIRS, settings.MODELS), settings.user_pairs_path()
    kept = {name: pair for name, pair in kept_pairs().items() if name not in shipped}
    return {**shipped, **kept, **(_read(own, own.parent) if own else {})}


def kept_pairs() -> dict[str, Pair]:
    """Pairs that were kept; a damaged file does not hide the others."""
    kept: dict[str, Pair] = {}
    for file in sorted(settings.kept_pairs_dir().glob("*.toml")):
        with suppress(UserError):
            kept |= _read(file, file.parent)
    return kept


def file_of(name: str) -> Path:
    return settings.kept_pairs_dir() / f"{name}.toml"


def pair_named(name: str) -> Pair:
    """The pair of that name.

    Raises:
        UserError: there is none, or it was kept in a file that cannot be read.
    """
    known = pairs()
    if name not in known:
        if NAME.fullmatch(name) and file_of(name).is_file():
            _read(file_of(name), settings.kept_pairs_dir())  # says what is wrong with it
        raise UserError(f"There is no pair called {name!r}. Choose one of: {', '.join(known)}.")
    return known[name]


def keep(pair: Pair) -> Pair:
    """Keep a pair, so that it is found again by its name.

    Raises:
        UserError: the folder cannot be written.
    """
    file = file_of(pair.name)
    try:
        write_whole(file, toml_of(pair))
    except OSError as error:
        raise UserError(f"The pair {pair.name} cannot be kept in {file.parent}: {error.strerror}.") from error
    return pair


def forget(name: str) -> None:
    """Undo `keep`; what was computed for the pair stays in the cache."""
    file_of(name).unlink(missing_ok=True)


def same_weights(pair: Pair) -> str | None:
    """A sentence where both models of a pair are here and hold the same weights, byte by byte; None otherwise."""
    sources = [pair.folder(model) for model in ("arm", "mdm")]
    if sources[0] != sources[1] and any(map(is_derived, sources)):
        return None
    try:
        arm, mdm = (hub.weight_files(snapshot(source)) for source in sources)
        if not (arm == mdm or (len(arm) == len(mdm) and all(map(same_content, arm, mdm)))):
            return None
    except UserError:
        return None
    return (
        "Both models of this pair hold the same weights: whatever differs between their circuits comes from how they "
        "are read (masks, both directions), not from post-training."
    )


def _read(file: Path, base: Path) -> dict[str, Pair]:
    try:
        stat = file.stat()
        return _parsed(file, base, stat.st_size, stat.st_mtime_ns)
    except OSError as error:
        raise UserError(f"The pairs file {file} cannot be read: {error.strerror}.") from error


@lru_cache(maxsize=256)
def _parsed(file: Path, base: Path, size: int, modified: int) -> dict[str, Pair]:
    """A file's pairs, read again only when its size or time of change is another: pages ask many times."""
    what = f"The pairs file {file}"
    tables = read_toml(read_text(file, what, MOST_TOML), what)
    return {name: pair_of(name, table, base, file) for name, table in tables.items()}
