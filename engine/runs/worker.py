"""Compute artifacts in another process, so that the asking one stays responsive and imports no torch.

Both ends of the connection are here. Messages are JSON, tables are Arrow streams; nothing is pickled.

1. `Worker` starts `python -m engine.runs.worker MODULE:NAME` and keeps it warm between artifacts.
2. It sends {"spec": ..., "kind": ..., "frames": n}, followed by n frames with what else it is computed from
   (engine/runs/input_frames.py); the process answers with any number of {"progress": ...} and one of {"meta": ...}
   followed by the tables, {"refused": sentence}, {"failed": sentence}, {"cancelled": true}. {"release": true} says that
   nothing more is wanted for now, so that the model leaves the memory.
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
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import asdict
from multiprocessing.connection import Connection
from typing import Any

from engine.errors import Cancelled, UserError
from engine.runs.execution import Compute, called, unexpected
from engine.runs.input_frames import frames_of, inputs_in, stream_of, table_in
from engine.runs.records import ArtifactTables, Inputs, Progress
from engine.runs.spec import RunSpec
from engine.schema.artifacts import AnyKind, tables_in
from engine.settings import environment_of_children

Asked = tuple[RunSpec, AnyKind, Inputs | None]

POLL_SECONDS = 0.1
NICENESS = 5  # pages come first on a machine with few cores

log = logging.getLogger(__name__)


class WorkerDied(UserError):
    """The process ended in the middle of a computation."""


class Worker:
    """The asking end. Used by one thread at a time."""

    def __init__(self, compute: str, grace: float = 10.0, environment: Mapping[str, str] | None = None) -> None:
        """`compute` is "module:name" of a Compute, or of a class whose instances are.

        `grace` is how many seconds a cancelled computation has to end by itself. `environment`: variables that the
        process gets beside those of this one.
        """
        self._compute = compute
        self._grace = grace
        self._environment = dict(environment or {})
        self._process: subprocess.Popen[bytes] | None = None

    def compute(
        self,
        spec: RunSpec,
        kind: AnyKind,
        on_progress: Callable[[Progress], None],
        cancel: threading.Event,
        inputs: Inputs | None = None,
    ) -> ArtifactTables:
        """Compute an artifact in the process; it is started when there is none.

        Raises:
            UserError: it was refused or the compute failed; WorkerDied: the process died.
            Cancelled: `cancel` was set.
        """
        process = self._started()
        inbox, outbox = _ends(process)
        try:
            _send_asked(outbox, spec, kind, inputs)
            return self._answer(kind, inbox, outbox, on_progress, cancel)
        except (UserError, Cancelled):
            raise  # an answer like any other: the process is ready for the next artifact
        except (EOFError, OSError) as error:
            code = self.close()
            if cancel.is_set():
                raise Cancelled from error
            what = f"The computation of {spec.pair} / {spec.model} / {spec.task} ended unexpectedly (exit code {code})."
            advice = "If memory ran out, ask for fewer examples."
            raise WorkerDied(f"{what} {advice}") from error
        except BaseException:
            self.close()  # in the middle of an answer: the rest of it must not be taken for the next one
            raise

    def release(self) -> None:
        """Let the process give up the model that it holds in memory; it stays warm."""
        if self._process is not None and self._process.poll() is None:
            with suppress(EOFError, OSError):
                _send(_ends(self._process)[1], {"release": True})

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
            self._process = subprocess.Popen(
                [sys.executable, "-m", "engine.runs.worker", self._compute],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                bufsize=0,
                env={**environment_of_children(), **self._environment},
            )
        return self._process

    def _answer(
        self,
        kind: AnyKind,
        inbox: Connection,
        outbox: Connection,
        on_progress: Callable[[Progress], None],
        cancel: threading.Event,
    ) -> ArtifactTables:
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
            tables = {name: table_in(inbox.recv_bytes()) for name in tables_in(kind)} if "meta" in message else {}
            if "cancelled" in message or cancel.is_set():
                raise Cancelled
            if "meta" in message:
                return ArtifactTables(message["meta"], tables)
            raise UserError(message.get("refused") or message["failed"])


def _ends(process: subprocess.Popen[bytes]) -> tuple[Connection, Connection]:
    """Framed connections over a process's pipes: (from it, to it). The pipes stay the process object's to close."""
    if process.stdin is None or process.stdout is None:
        raise EOFError
    inbox = Connection(os.dup(process.stdout.fileno()), writable=False)
    return inbox, Connection(os.dup(process.stdin.fileno()), readable=False)


def _send(connection: Connection, message: dict[str, Any]) -> None:
    connection.send_bytes(json.dumps(message).encode())


def _send_asked(connection: Connection, spec: RunSpec, kind: AnyKind, inputs: Inputs | None) -> None:
    frames = [] if inputs is None else frames_of(inputs)
    _send(connection, {"spec": spec.as_dict(), "kind": kind, "frames": len(frames)})
    for frame in frames:
        connection.send_bytes(frame)


def _asked(connection: Connection, message: dict[str, Any]) -> Asked:
    frames = [connection.recv_bytes() for _ in range(message["frames"])]
    return RunSpec(**message["spec"]), message["kind"], inputs_in(frames) if frames else None


class _Process:
    """The computing end: one thread receives messages, the main thread computes."""

    def __init__(self, compute: str, inbox: Connection, outbox: Connection) -> None:
        self._name, self._inbox, self._outbox = compute, inbox, outbox
        self._asked: queue.SimpleQueue[Asked | None] = queue.SimpleQueue()  # None: release the model
        self._compute: Any = None
        self._cancel = threading.Event()
        self._reported = 0.0

    def serve(self) -> None:
        threading.Thread(target=self._receive, daemon=True).start()
        while True:
            asked = self._asked.get()
            if asked is not None:
                try:
                    self._serve_one(*asked)
                except OSError:  # of the connection: nobody is left to answer
                    os._exit(0)
            elif hasattr(self._compute, "close"):
                self._compute.close()

    def _receive(self) -> None:
        """Messages come in order, so a cancel that arrives late is forgotten when the next spec arrives."""
        try:
            while True:
                message = json.loads(self._inbox.recv_bytes())
                if "cancel" in message:
                    self._cancel.set()
                elif "release" in message:
                    self._asked.put(None)
                else:
                    self._cancel.clear()
                    self._asked.put(_asked(self._inbox, message))
        except (EOFError, OSError):
            os._exit(0)  # nobody is left to compute for, and the main thread may be deep in a long call

    def _serve_one(self, spec: RunSpec, kind: AnyKind, inputs: Inputs | None) -> None:
        try:
            if self._compute is None:
                self._compute = compute_named(self._name)
            made = called(self._compute, spec, kind, self._report, inputs)
        except Cancelled:
            _send(self._outbox, {"cancelled": True})
        except UserError as error:
            _send(self._outbox, {"refused": str(error)})
        except Exception as error:
            log.exception("computing %s failed", spec)
            _send(self._outbox, {"failed": unexpected(spec, error)})
        else:
            _send(self._outbox, {"meta": made.meta})
            for name in tables_in(kind):
                self._outbox.send_bytes(stream_of(made.tables[name]))

    def _report(self, progress: Progress) -> None:
        if self._cancel.is_set():
            raise Cancelled
        now = time.monotonic()
        if now - self._reported >= POLL_SECONDS or progress.done in (0, progress.total):
            self._reported = now
            _send(self._outbox, {"progress": asdict(progress)})


def compute_named(name: str) -> Compute:
    """The Compute that "module:name" names; of a class, an instance."""
    module, _, attribute = name.partition(":")
    named = getattr(importlib.import_module(module), attribute)
    compute: Compute = named() if isinstance(named, type) else named
    return compute


def main(compute: str) -> None:
    """Serve specs from standard input; whatever a library prints goes to standard error instead."""
    outbox = Connection(os.dup(1), readable=False)
    os.dup2(2, 1)
    os.nice(NICENESS)
    _Process(compute, Connection(os.dup(0), writable=False), outbox).serve()


if __name__ == "__main__":
    main(sys.argv[1])
