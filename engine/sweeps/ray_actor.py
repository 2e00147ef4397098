"""The end of a Ray worker that computes: it keeps a loaded model from one step to the next. Ray itself is not imported.

1. A step comes with the key of its artifact as the driver knows it. It is computed only where this machine would give
   it the same key: the same weights, libraries and settings of the pair.
2. What was made is stored here where the driver's folder of artifacts is this machine's, too, which a file that the
   driver put there shows; else it goes back to the driver.
3. Calls of `progress` come on a thread of their own while `compute` runs.
"""

from __future__ import annotations

import logging
import os
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cache.owners import owned_name
from engine import settings
from engine.errors import UserError
from engine.runs.cache_connection import store
from engine.runs.execution import Compute, called, keep, unexpected
from engine.runs.provenance import resolve
from engine.runs.records import ArtifactTables, Progress
from engine.runs.steps import Step
from engine.runs.worker import compute_named

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ActorProcess:
    """The process of an actor.

    `gpus`: what CUDA_VISIBLE_DEVICES says there; `shares`: whether it has the driver's folder of artifacts.
    """

    host: str
    pid: int
    gpus: str
    shares: bool


@dataclass(frozen=True)
class Answer:
    """`made`: what was computed, None where it was stored; `refused`: why it was not, in a sentence."""

    made: ArtifactTables | None = None
    refused: str = ""


class Actor:
    """Computes one step after the other, with what "module:name" names."""

    def __init__(self, compute: str) -> None:
        self._name = compute
        self._compute: Compute | None = None
        self._progress: Progress | None = None
        self._shares = False

    def process(self, mark: Path | None) -> ActorProcess:
        """Where this runs; `mark`: a file that the driver has just put into its folder of artifacts."""
        self._shares = mark is not None and mark.is_file()
        return ActorProcess(socket.gethostname(), os.getpid(), os.environ.get("CUDA_VISIBLE_DEVICES", ""), self._shares)

    def progress(self) -> Progress | None:
        """The last report of what is being computed."""
        return self._progress

    def compute(self, step: Step, key: str, inputs: Any) -> Answer:
        """Compute the artifact with this key from `step.inputs()`, and store it where the folder is shared."""
        self._progress = None
        began = time.monotonic()
        try:
            refuse_other(step, key)
            if self._compute is None:
                self._compute = compute_named(self._name)
            made = called(self._compute, step.spec, step.kind, self._report, inputs)
            refuse_other(step, key)
            if not self._shares:
                return Answer(made)
            keep(step, made, time.monotonic() - began)
            return Answer()
        except UserError as error:
            return Answer(refused=str(error))
        except Exception as error:
            log.exception("computing %s failed", step.spec)
            return Answer(refused=unexpected(step.spec, error))

    def _report(self, progress: Progress) -> None:
        self._progress = progress


@contextmanager
def mark_of_folder() -> Iterator[Path]:
    """A file with a new name in this machine's folder of artifacts, for as long as others look for it.

    Raises:
        UserError: the folder cannot be made.
    """
    mark = store().partial / owned_name(".shared")
    try:
        mark.touch()
    except OSError as error:
        raise UserError(f"The cache {settings.cache_dir()} cannot be written: {error.strerror}.") from error
    try:
        yield mark
    finally:
        mark.unlink(missing_ok=True)


def refuse_other(step: Step, key: str) -> None:
    """Refuse a step that would become another artifact on this machine than the one it was planned as.

    Raises:
        UserError: it would, or this machine lacks what its spec names.
    """
    host = socket.gethostname()
    try:
        here = resolve(step.spec)
    except UserError as error:
        raise UserError(
            f"On {host}: {error} A worker needs the weights, and the pairs and own prompts of the cache "
            f"{settings.cache_dir()}, at the same paths as the machine that the sweep was started on."
        ) from error
    if step.is_current() and step.key == key:
        return
    differs = differences(step.run.provenance, here.provenance) or ["the version of this project"]
    raise UserError(
        f"{host} would compute something else than was asked for the {step.title}. There differs "
        f"{', '.join(differs)}. Give all machines the same, and compute it again."
    )


def differences(asked: Mapping[str, Any], here: Mapping[str, Any]) -> list[str]:
    """What two provenances of a run do not have in common, in words."""
    words = []
    for field in sorted({*asked, *here}):
        wanted, own = asked.get(field), here.get(field)
        if wanted == own:
            continue
        if field == "libraries" and wanted and own:
            words += [f"{name}: {own.get(name)} instead of {wanted[name]}" for name in wanted
                      if own.get(name) != wanted[name]]  # fmt: skip
        else:
            words.append(_TITLES.get(field, f"the pair's setting {field}"))
    return words


_TITLES = {
    "weights": "the weights of the model",
    "compared_with": "the weights of the ARM",
    "read_as": "the weights of the MDM",
    "method_version": "the version of the method",
    "reading": "the pair's mask token or shift",
}
