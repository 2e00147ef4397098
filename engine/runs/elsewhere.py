"""What other processes compute into the same cache: a command, a sweep, a worker on another machine.

1. Whoever computes an artifact holds a lease, a file that says what it is, which process of which machine computes it
   and since when (cache/leases.py). Those of this process are left out.
2. They are put together by process. Nothing is read but lease files and, for how much was stored since, records.

The texts of a lease are what a file says: on a shared disk, anybody may have written them.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from cache.leases import Lease
from engine.runs.cache_connection import errors_of_cache, records, store


@dataclass(frozen=True)
class OtherProcess:
    """A process and the artifacts that it is computing at the moment."""

    pid: int
    host: str
    is_here: bool  # whether it runs on this machine
    began: float  # when it began with all that it computes, seconds since 1970; 0: not known
    computing: tuple[Lease, ...]


def computed_elsewhere() -> list[Lease]:
    """The artifacts that other processes are computing into this cache now, the longest first.

    Raises:
        UserError: the cache cannot be opened or read.
    """
    with errors_of_cache():
        held = store().leases()
    known = [lease for lease in held if lease.holder.pid]  # else made a moment ago: by whom is still to be written
    others = [lease for lease in known if not lease.holder.is_this_process]
    return sorted(others, key=lambda lease: (lease.holder.since, lease.key))


def by_process(leases: Iterable[Lease]) -> list[OtherProcess]:
    """The processes that hold these leases, the one that began first at the front; of each, leases in their order."""
    groups: dict[tuple[str, int], list[Lease]] = {}
    for lease in leases:
        groups.setdefault((lease.holder.machine, lease.holder.pid), []).append(lease)
    processes = []
    for group in groups.values():
        first, began = group[0].holder, min(lease.holder.began for lease in group)
        processes.append(OtherProcess(first.pid, first.host, first.is_here, began, tuple(group)))
    return sorted(processes, key=lambda process: (process.began, process.host, process.pid))


def stored_since(moment: float) -> int:
    """How many artifacts were computed and stored in this cache since then, by whichever process.

    `moment`: seconds since 1970.

    Raises:
        UserError: the cache cannot be opened or read.
    """
    return sum(_seconds(record.created) >= moment for record in records() if record.imported is None)


def _seconds(created: str) -> float:
    """Of a record, since 1970; 0 where it says no moment."""
    try:
        return datetime.fromisoformat(created).timestamp()
    except (ValueError, OverflowError):
        return 0.0
