"""Compute runs in another process, so that the asking one stays responsive and imports no torch.

Both ends of the connection are here. Messages are JSON, tables are Arrow streams; nothing is pickled.

1. `Worker` starts `python -m engine.runs.worker MODULE:FUNCTION` and keeps it warm between runs.
2. It sends {"spec": ...}; the process answers with any number of {"progress": ...} and one of
   {"meta": ...} followed by the tables, {"refused": sentence}, {"failed": sentence}, {"cancelled": true}.
3. {"cancel": true} takes effect at the next progress report; a process that does not answer it in time is killed.
4. The process ends with its input, so it never outlives the one that started it.

A process of `multiprocessing` would do the same, but it begins by importing the parent's main module, which under
Streamlit is the app.
"""

from __future__ import annotations

import importlib
import json
import logging
import os
import queue
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import asdict
from multiprocessing.connection import Connection
from typing import TYPE_CHECKING, Any

from engine.errors import Cancelled, UserError
from engine.runs.records import Progress, RunMeta, RunTables
from engine.runs.spec import RunSpec
from engine.schema.tables import TABLES
from engine.settings import ROOT

if TYPE_CHECKING:
    import pyarrow as pa

POLL_SECONDS = 0.1
NICENESS = 5  # pages come first on a machine with few cores

log = logging.getLogger(__name__)


class Worker:
    """The asking end. Used by one thread at a time."""

    def __init__(self, compute: str, grace: float = 10.0) -> None:
        """`compute` is "module:function"; `grace` is how many seconds a cancelled run has to end by itself."""
        self._compute = compute
        self._grace = grace
        self._process: subprocess.Popen[bytes] | None = None

    def compute(self, spec: RunSpec, on_progress: Callable[[Progress], None], cancel: threading.Event) -> RunTables:
        """Compute a spec in the process; it is started when there is none.

        Raises:
            UserError: the spec was refused, the compute failed, or the process died.
            Cancelled: `cancel` was set.
        """
        process = self._started()
        inbox, outbox = _ends(process)
        try:
            _send(outbox, {"spec": spec.as_dict()})
            return self._answer(inbox, outbox, on_progress, cancel)
        except (UserError, Cancelled):
            raise  # an answer like any other: the process is ready for the next spec
        except (EOFError, OSError) as error:
            code = self.close()
            if cancel.is_set():
                raise Cancelled from error
            what = f"The computation of {spec.pair} / {spec.model} / {spec.task} ended unexpectedly (exit code {code})."
            advice = "If memory ran out, ask for fewer examples."
            raise UserError(f"{what} {advice}") from error
        except BaseException:
            self.close()  # in the middle of an answer: the rest of it must not be taken for the next one
            raise

    def close(self) -> int | None:
        """End the process, if there is one; its exit code."""
        process, self._process = self._process, None
        if process is None:
            return None
        process.kill()
        code = process.wait()
        for stream in (process.stdin, process.stdout):
            if stream:
                stream.close()
        return code

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None or self._process.poll() is not None:
            self.close()
            path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH")]))
            self._process = subprocess.Popen(
                [sys.executable, "-m", "engine.runs.worker", self._compute],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                bufsize=0,
                env={**os.environ, "PYTHONPATH": path},
            )
        return self._process

    def _answer(
        self,
        inbox: Connection,
        outbox: Connection,
        on_progress: Callable[[Progress], None],
        cancel: threading.Event,
    ) -> RunTables:
        asked: float | None = None
        while True:
            if cancel.is_set() and asked is None:
                _send(outbox, {"cancel": True})
                asked = time.monotonic()
            if asked is not None and time.monotonic() - asked > self._grace:
                raise TimeoutError("the process does not answer that it was cancelled")
            if not inbox.poll(POLL_SECONDS):
                continue
            message = json.loads(inbox.recv_bytes())
            if "progress" in message:
                on_progress(Progress(**message["progress"]))
                continue
            tables = {name: _table(inbox.recv_bytes()) for name in TABLES} if "meta" in message else {}
            if "cancelled" in message or cancel.is_set():
                raise Cancelled
            if "meta" in message:
                return RunTables(RunMeta.of(message["meta"]), tables)
            raise UserError(message.get("refused") or message["failed"])


def _ends(process: subprocess.Popen[bytes]) -> tuple[Connection, Connection]:
    """Framed connections over a process's pipes: (from it, to it). The pipes stay the process object's to close."""
    if process.stdin is None or process.stdout is None:
        raise EOFError
    inbox = Connection(os.dup(process.stdout.fileno()), writable=False)
    return inbox, Connection(os.dup(process.stdin.fileno()), readable=False)


def _send(connection: Connection, message: dict[str, Any]) -> None:
    connection.send_bytes(json.dumps(message).encode())


def _table(stream: bytes) -> pa.Table:
    import pyarrow as pa

    return pa.ipc.open_stream(stream).read_all()


def _stream(table: pa.Table) -> bytes:
    import pyarrow as pa

    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    return bytes(sink.getvalue())


class _Process:
    """The computing end: one thread receives messages, the main thread computes."""

    def __init__(self, compute: str, inbox: Connection, outbox: Connection) -> None:
        self._compute, self._inbox, self._outbox = compute, inbox, outbox
        self._specs: queue.SimpleQueue[RunSpec] = queue.SimpleQueue()
        self._cancel = threading.Event()
        self._reported = 0.0

    def serve(self) -> None:
        threading.Thread(target=self._receive, daemon=True).start()
        while True:
            self._serve_one(self._specs.get())

    def _receive(self) -> None:
        """Messages come in order, so a cancel that arrives late is forgotten when the next spec arrives."""
        try:
            while True:
                message = json.loads(self._inbox.recv_bytes())
                if "cancel" in message:
                    self._cancel.set()
                else:
                    self._cancel.clear()
                    self._specs.put(RunSpec(**message["spec"]))
        except (EOFError, OSError):
            os._exit(0)  # nobody is left to compute for, and the main thread may be deep in a long call

    def _serve_one(self, spec: RunSpec) -> None:
        try:
            result = function_named(self._compute)(spec, self._report)
        except Cancelled:
            _send(self._outbox, {"cancelled": True})
        except UserError as error:
            _send(self._outbox, {"refused": str(error)})
        except Exception as error:
            log.exception("computing %s failed", spec)
            sentence = f"{type(error).__name__} while computing {spec.pair} / {spec.model} / {spec.task}: {error}"
            _send(self._outbox, {"failed": sentence})
        else:
            _send(self._outbox, {"meta": asdict(result.meta)})
            for name in TABLES:
                self._outbox.send_bytes(_stream(result.tables[name]))

    def _report(self, progress: Progress) -> None:
        if self._cancel.is_set():
            raise Cancelled
        now = time.monotonic()
        if now - self._reported >= POLL_SECONDS or progress.done in (0, progress.total):
            self._reported = now
            _send(self._outbox, {"progress": asdict(progress)})


def function_named(name: str) -> Callable[[RunSpec, Callable[[Progress], None]], RunTables]:
    """The compute function that "module:function" names."""
    module, _, function = name.partition(":")
    return getattr(importlib.import_module(module), function)


def main(compute: str) -> None:
    """Serve specs from standard input; whatever a library prints goes to standard error instead."""
    outbox = Connection(os.dup(1), readable=False)
    os.dup2(2, 1)
    os.nice(NICENESS)
    _Process(compute, Connection(os.dup(0), writable=False), outbox).serve()


if __name__ == "__main__":
    main(sys.argv[1])
