"""Progress of a sweep on standard error: a table that is kept up to date on a terminal, a line a step in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING

from engine.runs.durations import duration
from engine.runs.steps import Step
from engine.sweeps.watch import Ended, Watch

if TYPE_CHECKING:
    from rich.table import Table

REFRESHED = 2  # times a second
MOST_WORKERS = 24  # that a table shows


@contextmanager
def displayed(steps: Sequence[Step]) -> Iterator[Watch]:
    """A watch whose news are shown until the block ends."""
    if not sys.stderr.isatty():
        yield Watch(steps, lines(sys.stderr.write, len(steps)))
        return
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console(stderr=True)
    in_lines = lines(lambda line: console.print(Text(line.rstrip("\n"))), len(steps))  # Text: nothing in it is markup
    watch = Watch(steps, in_lines)
    with Live(console=console, get_renderable=lambda: table(watch), refresh_per_second=REFRESHED, transient=True):
        yield watch


def lines(write: Callable[[str], object], total: int) -> Callable[[Ended], None]:
    """Writes a line for each step that ended, as in "12 of 120: circuit of the MDM, ... (34 s, worker 2)"."""
    stored = iter(range(1, total + 1))

    def on_end(ended: Ended) -> None:
        if ended.failed:
            write(f"NOT COMPUTED: {ended.what} ({ended.worker}): {ended.failed}\n")
            return
        took = f"{ended.seconds:.1f} s" if ended.seconds else "another process computed it"
        write(f"{next(stored, total)} of {total}: {ended.what} ({took}, {ended.worker})\n")

    return on_end


def table(watch: Watch) -> Table:
    """What each worker is doing, with how much is done and how long the rest will take."""
    from rich.table import Table
    from rich.text import Text

    left = watch.seconds_left
    rest = "" if left is None else f", about {duration(left)} left"
    title = f"{watch.stored_steps} of {watch.steps} artifacts, {duration(watch.seconds)}{rest}"
    shown = Table(title=Text(title), title_justify="left", expand=True)
    shown.add_column("Worker", no_wrap=True)
    shown.add_column("Computes", ratio=3, no_wrap=True, overflow="ellipsis")
    shown.add_column("Progress", ratio=2, no_wrap=True, overflow="ellipsis")
    shown.add_column("Since", no_wrap=True)
    doing = watch.doing
    for each in doing[:MOST_WORKERS]:
        count = f" {each.progress.done} of {each.progress.total}" if each.progress.total else ""
        since = duration(time.monotonic() - each.since)
        shown.add_row(*(Text(text) for text in (each.worker, each.what, f"{each.progress.stage}{count}", since)))
    if len(doing) > MOST_WORKERS:
        shown.add_row("", f"and {len(doing) - MOST_WORKERS} more workers", "", "")
    return shown
