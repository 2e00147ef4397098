"""Leases: a file beside an artifact's place says that a process is computing it, so that others do something else.

A lease only spares work. Where two processes compute the same key in spite of it, both write the same content.

1. `take` makes the file `KEY.lease`, which names process and machine; it fails where there is one.
2. Whoever holds it touches it every few seconds (`renewed`).
3. A lease is stale when its process is gone (on this machine), or when it was not touched for a while. It is removed
   by one process at a time, which makes `KEY.lease.removing` first and then looks again whether the lease is the stale
   one: in its place there may already be that of a process which was faster.
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

from cache.owners import host, is_running, machine

RENEWED = 5.0  # seconds between touches
STALE = 120.0  # seconds without a touch
REMOVING = "removing"  # ending of the file that the process makes which removes a stale lease


@dataclass(frozen=True)
class Holder:
    """Who computes an artifact."""

    pid: int
    host: str
    since: float  # seconds since 1970
    machine: str  # on which the pid means something (cache/owners.py)

    @property
    def is_here(self) -> bool:
        return self.machine == machine()


def holder(path: Path) -> Holder | None:
    """Who holds the lease at `path`; None where nobody does, or whoever did is gone."""
    holds = _read(path)
    if holds is None or (holds.is_here and not is_running(holds.pid)):
        return None
    try:
        return None if time.time() - path.stat().st_mtime > STALE else holds
    except OSError:
        return None


def take(path: Path) -> bool:
    """Make the lease at `path`, in place of a stale one; False where another process holds it, or none can be made."""
    return _make(path) or (remove_stale(path) and _make(path))


def remove_stale(path: Path) -> bool:
    """Remove the lease at `path` if it is stale; whether it was."""
    stamp = _stamp(path)
    if stamp is None or holder(path) is not None:
        return False
    claim = path.with_name(f"{path.name}.{REMOVING}")
    if not _claimed(claim):
        return False  # another process was faster
    try:
        if _stamp(path) != stamp:  # somebody has taken it over, or its holder has touched it
            return False
        path.unlink()
        return True
    except OSError:
        return False
    finally:
        with suppress(OSError):
            claim.unlink()


def give_back(path: Path) -> None:
    """Remove a lease if it is this process's."""
    with suppress(OSError):
        if _is_own(path):
            path.unlink()


@contextmanager
def renewed(path: Path) -> Iterator[None]:
    """Touch a lease that was taken, from a thread of its own, until the block ends; then give it back."""
    ended = threading.Event()

    def touch() -> None:
        while not ended.wait(RENEWED):
            with suppress(OSError):
                if _is_own(path):  # else it went stale while this process was asleep, and another took it over
                    os.utime(path)

    thread = threading.Thread(target=touch, daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()
        give_back(path)


def _read(path: Path) -> Holder | None:
    """Whom a lease names, stale or not."""
    try:
        fields = json.loads(path.read_text(encoding="utf-8") or "{}")  # empty: just made
        return Holder(
            pid=int(fields.get("pid", 0)),
            host=str(fields.get("host", "")),
            since=float(fields.get("since", 0)),
            machine=str(fields.get("machine", "")),
        )
    except (OSError, ValueError, TypeError, AttributeError, RecursionError):
        return None


def _is_own(path: Path) -> bool:
    holds = _read(path)
    return holds is not None and holds.is_here and holds.pid == os.getpid()


def _make(path: Path) -> bool:
    try:
        file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    except OSError:
        return False
    fields = {"pid": os.getpid(), "host": host(), "machine": machine(), "since": time.time()}
    try:
        with os.fdopen(file, "w", encoding="utf-8") as stream:
            stream.write(json.dumps(fields))
    except OSError:  # the disk is full
        with suppress(OSError):
            path.unlink()
        return False
    return True


def _claimed(claim: Path) -> bool:
    """Make the file that only one process can make; one that a killed process left goes first, for the next call."""
    try:
        claim.touch(exist_ok=False)
    except FileExistsError:
        with suppress(OSError):
            if time.time() - claim.stat().st_mtime > STALE:
                claim.unlink()
        return False
    except OSError:
        return False
    return True


def _stamp(path: Path) -> tuple[int, int] | None:
    try:
        stat = path.lstat()
    except OSError:
        return None
    return stat.st_ino, stat.st_mtime_ns
