"""Leases: a file beside an artifact's place says that a process is computing it, so that others do something else.

A lease only spares work. Where two processes compute the same key in spite of it, both write the same content.

1. `take` makes the file `KEY.lease`, which names process and machine, and says what is computed and by which worker of
   the process; it fails where there is one.
2. Whoever holds it touches it every few seconds (`renewed`). Where it says how far the computation is, the file is
   written anew beside its place and renamed into it, so that readers see the one or the other.
3. A lease is stale when its process is gone (on this machine), or when it was not touched for a while. It is removed
   by one process at a time, which makes `KEY.lease.removing` first and then looks again whether the lease is the stale
   one: in its place there may already be that of a process which was faster.
4. `held` lists the leases of a folder. On a shared disk anybody can have written them: files that are too large or no
   regular files are read as garbage, which nobody holds, and texts are cut and freed of what cannot be printed.
"""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from cache.errors import StoreError
from cache.keys import KEY
from cache.layout import NoRecord
from cache.owners import host, is_running, machine
from cache.soundness import reason_of, refuse_irregular

RENEWED = 5.0  # seconds between touches
STALE = 120.0  # seconds without a touch
REMOVING = "removing"  # ending of the file that the process makes which removes a stale lease
RENEWING = "renewing"  # ending of the file that is renamed into the place of a lease
MOST = 2**16  # bytes of a lease
LONGEST = 300  # characters of a text in it
LARGEST_PID = 2**32
YEAR_9999 = 253e9  # seconds since 1970; no date that Python knows is much later


@dataclass(frozen=True)
class Holder:
    """Who computes an artifact. All texts may be anybody's; they are of one line and not long."""

    pid: int  # 0: not known yet, as the lease was made a moment ago
    host: str
    since: float  # when the lease was taken, seconds since 1970; 0: not known
    machine: str  # on which the pid means something (cache/owners.py)
    what: str = ""  # is computed
    worker: str = ""  # of the process, as in "worker 2"; "" where it has but one
    began: float = 0.0  # when the process began with all that it computes, seconds since 1970
    state: str = field(default="", compare=False)  # how far it is, as in "edge scores 12 of 64"

    @property
    def is_here(self) -> bool:
        return self.machine == machine()

    @property
    def is_this_process(self) -> bool:
        return self.is_here and self.pid == os.getpid()


@dataclass(frozen=True)
class Lease:
    """An artifact that is being computed."""

    key: str
    holder: Holder


def holder(path: Path) -> Holder | None:
    """Who holds the lease at `path`; None where nobody does, or whoever did is gone."""
    holds = _read(path)
    if holds is None or (holds.is_here and not is_running(holds.pid)):
        return None
    try:
        return None if time.time() - path.stat().st_mtime > STALE else holds
    except OSError:
        return None


def held(folder: Path) -> list[Lease]:
    """The leases in a folder that are held now, in no order. Only the folder is listed and its leases are read.

    Raises:
        StoreError: it cannot be read.
    """
    try:
        with os.scandir(folder) as entries:
            names = [entry.name for entry in entries if entry.name.endswith(".lease")]
    except OSError as error:
        raise StoreError(f"The folder {folder} cannot be read: {reason_of(error)}.") from error
    keys = [key for name in names if KEY.fullmatch(key := name.removesuffix(".lease"))]
    holders = ((key, holder(folder / f"{key}.lease")) for key in keys)
    return [Lease(key, holds) for key, holds in holders if holds]


def take(path: Path, what: str = "", worker: str = "", began: float | None = None) -> bool:
    """Make the lease at `path`, in place of a stale one; False where another process holds it, or none can be made.

    `what`: is computed, in words for a reader. `worker`: which of the process's workers does it. `began`: when the
    process began with all that it computes, seconds since 1970; None: now.
    """
    now = time.time()
    holds = Holder(
        os.getpid(), host(), now, machine(), _printable(what), _printable(worker), now if began is None else began
    )
    return _make(path, holds) or (remove_stale(path) and _make(path, holds))


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
def renewed(path: Path, state: Callable[[], str] | None = None) -> Iterator[None]:
    """Touch a lease that was taken, from a thread of its own, until the block ends; then give it back.

    `state` says how far the computation is; it is asked in that thread, so it must be quick and never raise.
    """
    ended = threading.Event()

    def touch() -> None:
        while not ended.wait(RENEWED):
            with suppress(OSError):
                holds = _read(path)
                if holds is None or not holds.is_this_process:
                    continue  # it went stale while this process was asleep, and another took it over
                os.utime(path)
                now = _printable(state()) if state else holds.state
                if now != holds.state:
                    _write_anew(path, replace(holds, state=now))

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
        refuse_irregular(path)
        with path.open("rb") as file:
            text = file.read(MOST + 1)
        fields = json.loads(text or "{}")  # empty: just made
        holds = Holder(
            pid=int(fields.get("pid", 0)),
            host=_printable(fields.get("host")),
            since=_moment(fields.get("since", 0)),
            machine=_printable(fields.get("machine")),
            what=_printable(fields.get("what")),
            worker=_printable(fields.get("worker")),
            began=_moment(fields.get("began", fields.get("since", 0))),
            state=_printable(fields.get("state")),
        )
    except (OSError, NoRecord, ValueError, TypeError, AttributeError, OverflowError, RecursionError):
        return None
    return holds if len(text) <= MOST and 0 <= holds.pid < LARGEST_PID else None


def _printable(text: object) -> str:
    """A text in one line, cut, of characters that have a shape and turn nothing around; "" for what is none."""
    if not isinstance(text, str):
        return ""
    shown = "".join(character if character.isprintable() else " " for character in text[: 2 * LONGEST])
    return " ".join(shown.split())[:LONGEST]


def _moment(value: object) -> float:
    """Seconds since 1970 as a lease states them; 0 where they are no moment at all.

    Raises:
        TypeError, ValueError, OverflowError: it is no number.
    """
    seconds = float(value)  # type: ignore[arg-type]
    return seconds if 0 < seconds < YEAR_9999 else 0.0


def _is_own(path: Path) -> bool:
    holds = _read(path)
    return holds is not None and holds.is_this_process


def _make(path: Path, holds: Holder) -> bool:
    try:
        file = os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o644)
    except OSError:
        return False
    try:
        with os.fdopen(file, "w", encoding="utf-8") as stream:
            stream.write(json.dumps(asdict(holds)))
    except OSError:  # the disk is full
        with suppress(OSError):
            path.unlink()
        return False
    return True


def _write_anew(path: Path, holds: Holder) -> None:
    """Put a lease of this process into the place of its own.

    Where another has taken it over between the last look and the renaming, that one's is replaced: both processes
    compute the same then, and each goes on.
    """
    beside = path.with_name(f"{path.name}.{RENEWING}")
    try:
        beside.write_text(json.dumps(asdict(holds)), encoding="utf-8")
        if _is_own(path):
            beside.replace(path)
    finally:
        with suppress(OSError):
            beside.unlink(missing_ok=True)


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
