"""The file of a bundle as the cache reads and writes it; what is in it: engine/exchange/bundle.py."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from cache.bundle import BundleError, BundleFile, opened
from cache.layout import Bundle
from cache.opening import StoreError
from engine.errors import UserError
from engine.files.temporary import scratch_folder
from engine.runs.cache_connection import store


def write_bundle(path: Path, header: str, keys: Sequence[str]) -> None:
    """Write runs to a new file that `opened_bundle` reads, with a header of the caller's.

    Raises:
        UserError: there is something at `path` already, or it cannot be written.
    """
    try:
        store().write_bundle(path, header, keys)
    except StoreError as error:
        raise UserError(str(error)) from error


@contextmanager
def opened_bundle(path: Path) -> Iterator[BundleFile]:
    """A bundle as it is in its file, not yet checked; what it raises, as a UserError that names the file."""
    try:
        with scratch_folder() as scratch, opened(path, scratch) as file:
            yield file
    except (BundleError, UserError) as error:
        raise UserError(f"{path.name} cannot be imported: {str(error).rstrip('.')}.") from error


def add_bundle(bundle: Bundle) -> list[str]:
    """Store what of a bundle is not there yet, runs and comparisons, whole or not at all; the keys of the new runs.

    Raises:
        Whatever reading the bundle raises.
    """
    return store().add_bundle(bundle)
