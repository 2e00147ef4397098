"""Write large files of circuits in processes of their own, so that the asking one stays responsive.

Both ends of the connection are here.

1. `BackgroundExports` starts `python -m engine.exchange.background_export SPEC FILE` for each file, few at a time.
2. The process answers in lines of JSON: any number of {"done": edges, "total": edges}, and {"size": bytes} or
   {"refused": sentence} as the last.
3. The process ends with its input, so it never outlives the one that started it.
4. Files lie in the folder for temporary files until they are removed, a while has passed, others have come after them,
   or the process that started them ends. What a killed process left there, the next one removes.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import threading
import time
import weakref
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, TextIO

from cache.owners import owned_name, remove_left_behind
from engine import settings
from engine.circuits.filters import Filters
from engine.errors import UserError
from engine.exchange.circuit import NO_FILTERS, Other
from engine.exchange.export import circuit_for, export_to
from engine.schema.vocabulary import TOTAL

AT_ONCE = 2  # processes
KEPT_SECONDS = 3600.0
KEPT_MOST = 8  # files
NICENESS = 5  # pages come first on a machine with few cores
REPORT_SECONDS = 0.2

State = Literal["waiting", "running", "done", "failed"]


@dataclass(frozen=True)
class ExportSpec:
    """A file that is asked for: as the arguments of `export.export`."""

    key: str
    k: int
    format: str
    part: str = TOTAL
    filters: Filters = NO_FILTERS
    other: Other | None = None

    def as_text(self) -> str:
        return json.dumps(asdict(self))


@dataclass(frozen=True)
class ExportView:
    """How far a file is at one moment."""

    state: State = "waiting"
    done: int = 0  # edges written
    total: int = 0  # edges; 0: not known yet
    size: int = 0  # bytes, of a file that is done
    error: str = ""  # a sentence, when failed

    @property
    def is_open(self) -> bool:
        """Whether anything is still to happen to it."""
        return self.state in ("waiting", "running")

    @property
    def share(self) -> float:
        """0 .. 1 of the edges."""
        return self.done / self.total if self.total else 0.0


class _Export:
    """A file on its way, in a folder of its own."""

    def __init__(self, spec: ExportSpec, scratch: Path) -> None:
        self.spec, self.folder = spec, scratch / owned_name()
        self.view = ExportView()
        self.finished = 0.0  # time.monotonic()
        self.process: subprocess.Popen[str] | None = None
        self.removed = False

    @property
    def file(self) -> Path:
        return self.folder / f"circuit.{self.spec.format}"

    def remove(self) -> None:
        """End its process, and remove its folder."""
        self.removed = True
        if self.process is not None:
            self.process.kill()
            self.process.wait()
        shutil.rmtree(self.folder, ignore_errors=True)
        with suppress(OSError):  # others are in use
            self.folder.parent.rmdir()


class BackgroundExports:
    """The files that this process has had written, by what was asked for. Safe to use from any thread."""

    def __init__(self, kept_seconds: float = KEPT_SECONDS, kept_most: int = KEPT_MOST) -> None:
        """`kept_seconds`, `kept_most`: how long finished files are kept, and how many of them."""
        self._kept_seconds, self._kept_most = kept_seconds, kept_most
        self._exports: dict[ExportSpec, _Export] = {}
        self._lock = threading.RLock()
        self._turn = threading.Semaphore(AT_ONCE)
        self.close = weakref.finalize(self, _remove_all, self._exports)  # at the latest when this process ends
        remove_left_behind(settings.scratch_dir())

    def start(self, spec: ExportSpec) -> None:
        """Have a file written, unless it is there or on its way; one that failed is tried again."""
        with self._lock:
            view = self.view(spec)
            if view is not None and view.state != "failed":
                return
            self.remove(spec)
            export = self._exports[spec] = _Export(spec, settings.scratch_dir())
        threading.Thread(target=self._work, args=(export,), name="export", daemon=True).start()

    def view(self, spec: ExportSpec) -> ExportView | None:
        """How far a file is; None where nobody asked for it, or it was removed."""
        with self._lock:
            self._remove_old()
            return self._exports[spec].view if spec in self._exports else None

    def content(self, spec: ExportSpec) -> bytes:
        """A finished file.

        Raises:
            UserError: it is not there (any more).
        """
        with self._lock:
            export = self._exports.get(spec)
        if export is not None and export.view.state == "done":
            with suppress(OSError):
                return export.file.read_bytes()
        raise UserError("The file was removed meanwhile. Prepare it again.")

    def remove(self, spec: ExportSpec) -> None:
        """Remove a file, or stop writing it; nothing where there is none."""
        with self._lock:
            export = self._exports.pop(spec, None)
            if export:
                export.remove()

    def _remove_old(self) -> None:
        finished = [export for export in self._exports.values() if not export.view.is_open]
        finished.sort(key=lambda export: export.finished, reverse=True)
        now = time.monotonic()
        for place, export in enumerate(finished):
            if place >= self._kept_most or now - export.finished > self._kept_seconds:
                self.remove(export.spec)

    def _work(self, export: _Export) -> None:
        with self._turn:
            try:
                view = ExportView("done", size=self._written(export))
            except UserError as error:
                view = ExportView("failed", error=str(error))
            with self._lock:
                export.view, export.finished = view, time.monotonic()

    def _written(self, export: _Export) -> int:
        """Have the file written by a process; its size in bytes.

        Raises:
            UserError: it was refused, or the process ended on the way.
        """
        process = self._started(export)
        answer: dict[str, int | str] = {}
        with process:
            for line in process.stdout or ():
                answer = json.loads(line)
                if "done" in answer:
                    view = ExportView("running", int(answer["done"]), int(answer["total"]))
                    with self._lock:
                        export.view = view
        if "size" not in answer:
            ended = f"Writing the file ended unexpectedly (exit code {process.returncode}). Try again."
            raise UserError(str(answer.get("refused", ended)))
        return int(answer["size"])

    def _started(self, export: _Export) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "engine.exchange.background_export", export.spec.as_text(), str(export.file)]
        with self._lock:
            if export.removed:
                raise UserError("The file was not asked for any more.")
            try:
                export.folder.mkdir(parents=True)
                export.process = subprocess.Popen(
                    command,
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    text=True,
                    encoding="utf-8",
                    env=settings.environment_of_children(),
                )
            except OSError as error:
                raise UserError(
                    f"No temporary file can be written in {export.folder.parent}: {error.strerror}."
                ) from error
            export.view = ExportView("running")
            return export.process


def _remove_all(exports: dict[ExportSpec, _Export]) -> None:
    for export in exports.values():
        export.remove()
    exports.clear()


def spec_of(text: str) -> ExportSpec:
    """The spec of which ExportSpec.as_text made this text."""
    fields = json.loads(text)
    filters, other = fields.pop("filters"), fields.pop("other")
    kinds = tuple(filters.pop("kinds"))
    return ExportSpec(**fields, filters=Filters(kinds, **filters), other=None if other is None else Other(**other))


def write(spec: ExportSpec, file: Path, outbox: TextIO) -> None:
    """Write a file and say so in `outbox`: the writing process's part."""
    reported = 0.0

    def report(done: int, total: int) -> None:
        nonlocal reported
        if time.monotonic() - reported >= REPORT_SECONDS:
            reported = time.monotonic()
            print(json.dumps({"done": done, "total": total}), file=outbox, flush=True)

    try:
        exported = circuit_for(spec.format, spec.key, spec.k, spec.part, spec.filters, spec.other)
        answer: dict[str, int | str] = {"size": export_to(file, exported, spec.format, report)}
    except UserError as error:
        answer = {"refused": str(error).replace(str(file), "The file")}  # where it lies tells a reader nothing
    print(json.dumps(answer), file=outbox, flush=True)


def _end_with_input() -> None:
    while os.read(0, 1):
        pass
    os._exit(1)  # nobody is left to write for, and the main thread may be deep in a long call


def main(spec: str, file: str) -> None:
    """Write a file; whatever a library prints goes to standard error instead of among the answers."""
    with os.fdopen(os.dup(1), "w", encoding="utf-8") as outbox:
        os.dup2(2, 1)
        os.nice(NICENESS)
        threading.Thread(target=_end_with_input, daemon=True).start()
        write(spec_of(spec), Path(file), outbox)


if __name__ == "__main__":
    main(*sys.argv[1:])
