"""Names of temporary files that say which process of which machine writes them, and whether it still runs."""

from __future__ import annotations

import os
import re
import socket
import time
import uuid
from functools import cache
from pathlib import Path

OWNED = re.compile(r"([A-Za-z0-9_]{1,64})-(\d{1,10})-[0-9a-f]{12}(\..*)?")
ABANDONED = 24 * 3600.0  # seconds without a change, after which another machine's file is taken for left behind


@cache
def host() -> str:
    """This machine's name, of letters, digits and underscores."""
    return re.sub(r"[^A-Za-z0-9]", "_", socket.gethostname())[:64] or "machine"


def owned_name(suffix: str = "") -> str:
    """A new name that carries this machine and process."""
    return f"{host()}-{os.getpid()}-{uuid.uuid4().hex[:12]}{suffix}"


def is_running(pid: int) -> bool:
    """Whether a process of this machine runs."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass  # another user's, which runs
    return True


def is_left_behind(path: Path) -> bool:
    """Whether nobody writes a temporary file any more; False for what has no such name."""
    match = OWNED.fullmatch(path.name)
    if not match:
        return False
    if match[1] == host():
        return not is_running(int(match[2]))
    try:
        return time.time() - path.lstat().st_mtime > ABANDONED
    except OSError:
        return False
