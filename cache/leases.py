"""Leases: a file beside an artifact's place says that a process is computing it, so that others do something else.

A lease only spares work. Where two processes compute the same key in spite of it, both write the same content.

1. `take` makes the file `KEY.lease`, which names process and machine; it fails where there is one.
2. Whoever holds it touches it every few seconds (`Lease.renew`).
3. A lease is stale when its process is gone (on this machine), or when it was not touched for a while.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from cache.owners import host, is_running

RENEWED = 5.0  # seconds between touches
STALE = 120.0  # seconds without a touch


@dataclass(frozen=True)
class Holder:
    """Who computes an artifact."""

    pid: int
    host: str
    since: float  # seconds since 1970

    @property
    def is_here(self) -> bool:
        return self.host == host()


def holder(path: Path) -> Holder | None:
    """Who holds the lease at `path`; None where nobody does, or whoever did is gone."""
    try:
        modified = path.stat().st_mtime
        fields = json.loads(path.read_text(encoding="utf-8") or "{}")
        holds = Holder(int(fields.get("pid", 0)), str(fields.get("host", "")), float(fields.get("since", modified)))
    except (OSError, ValueError, TypeError, AttributeError):
        return None
    if holds.is_here and not is_running(holds.pid):
        return None
    return None if time.time() - modified > STALE else holds


def take(path: Path) -> bool:
    """Make the lease at `path`, in place of a stale one; False where another process holds it, or none can be made."""
    if not _make(path):
        if holder(path) is not None:
            return False
        with suppress(OSError):
            path.unlink()
        return _make(path)
    return True


def give_back(path: Path) -> None:
    with suppress(OSError):
        path.unlink()


@contextmanager
def renewed(path: Path) -> Iterator[None]:
    """Touch a lease that was taken, from a thread of its own, until the block ends; then give it back."""
    ended = threading.Event()

    def touch() -> None:
        while not ended.wait(RENEWED):
            with suppress(OSError):
                os.utime(path)

    thread = threading.Thread(target=touch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        give_back(path)


def _make(path: Path) -> bool:
    try:
        file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    except OSError:
        return False
    with os.fdopen(file, "w", encoding="utf-8") as stream:
        stream.write(json.dumps({"pid": os.getpid(), "host": host(), "since": time.time()}))
    return True
