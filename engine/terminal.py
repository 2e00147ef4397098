"""Progress of a command on standard error: a bar on a terminal, now and then a line in a log."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from tqdm import tqdm

from engine.runs.records import Progress

EVERY = 10.0  # seconds between lines of a log
SHARE = 0.1  # of a stage, after which there is a line before that, once work takes longer
ROUNDING = 1e-9


@contextmanager
def shown_progress(title: str) -> Iterator[Callable[[Progress], None]]:
    """Shows what it is told: as a bar, gone when the work is done, or where that is no terminal in lines."""
    if not sys.stderr.isatty():
        yield _Log(title)
        return
    with tqdm(leave=False, file=sys.stderr) as bar:
        stages = [""]

        def show(progress: Progress) -> None:
            if progress.stage != stages[-1]:
                stages.append(progress.stage)
                bar.reset()
                bar.set_description(f"{title}: {progress.stage}")
            bar.total = progress.total or None
            bar.update(progress.done - bar.n)

        yield show


class _Log:
    """Writes a line every EVERY seconds, or earlier when another SHARE of a stage is done."""

    def __init__(self, title: str) -> None:
        self._title, self._began = title, time.monotonic()
        self._written, self._stage, self._share = self._began, "", 0.0

    def __call__(self, progress: Progress) -> None:
        now = time.monotonic()
        if progress.stage != self._stage:
            self._stage, self._share = progress.stage, 0.0
        further = (
            now - self._began >= EVERY
            and progress.share >= self._share + SHARE - ROUNDING
            and now - self._written >= EVERY * SHARE
        )
        if not further and now - self._written < EVERY:
            return
        self._written, self._share = now, progress.share
        done = f" {progress.done} of {progress.total}" if progress.total else ""
        print(f"{self._title}: {progress.stage}{done} ({now - self._began:.0f} s)", file=sys.stderr, flush=True)  # noqa: T201
