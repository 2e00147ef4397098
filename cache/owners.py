"""Names of temporary files that say which process of which machine writes them, and whether it still runs."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import socket
import time
import uuid
from contextlib import suppress
from functools import cache
from pathlib import Path

OWNED = re.compile(r"([A-Za-z0-9_]{1,64})-(\d{1,10})-[0-9a-f]{12}(\..*)?")
ABANDONED = 24 * 3600.0  # seconds without a change, after which a file is taken for left behind whoever wrote it


@cache
def host() -> str:
    """This machine's name, of letters, digits and underscores."""
    return re.sub(r"[^A-Za-z0-9]", "_", socket.gethostname())[:48] or "machine"


@cache
def machine() -> str:
    """What tells apart where process numbers mean something: a machine since it started, a container on it."""
    facts = [socket.gethostname()]
    with suppress(OSError):  # where there is no /proc, the name has to do
        facts += [Path("/proc/sys/kernel/random/boot_id").read_text(), str(Path("/proc/self/ns/pid").readlink())]
    return f"{host()}_{hashlib.sha256(repr(facts).encode()).hexdigest()[:8]}"


def owned_name(suffix: str = "") -> str:
    """A new name that carries this machine and process."""
    return f"{machine()}-{os.getpid()}-{uuid.uuid4().hex[:12]}{suffix}"


def is_running(pid: int) -> bool:
    """Whether a process of this machine runs."""
    if pid <= 0:
        return False  # which would ask for groups of processes
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        pass  # another user's, which runs
    return True


def is_left_behind(path: Path) -> bool:
    """Whether nobody writes a temporary file or folder any more; False for what has no such name.

    One of a process of this machine is where that process is gone. Another machine's is after a while, and so is one
    whose process number a later process was given.
    """
    match = OWNED.fullmatch(path.name)
    if not match:
        return False
    if match[1] == machine() and not is_running(int(match[2])):
        return True
    try:
        inside = path.iterdir() if path.is_dir() else ()
        changed = max(entry.lstat().st_mtime for entry in (path, *inside))
    except OSError:
        return False
    return time.time() - changed > ABANDONED


def remove_left_behind(folder: Path) -> None:
    """Remove what nobody writes any more from a folder, and the folder itself where nothing else is in it."""
    with suppress(OSError):
        for path in list(folder.iterdir()):
            if is_left_behind(path):
                if path.is_dir():
                    shutil.rmtree(path, ignore_errors=True)
                else:
                    path.unlink(missing_ok=True)
        folder.rmdir()
