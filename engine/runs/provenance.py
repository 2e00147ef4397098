"""The key of a run: the hash of everything that changes its numbers.

A spec's fields, the weights and settings of its pair, the version of the method and of the libraries. A spec is
resolved once a run (`resolve`); whoever computes or keeps the run is given what it names.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from engine.errors import UserError
from engine.models.pairs import Pair, pair_named, weights_id
from engine.runs.artifacts import keys_of
from engine.runs.spec import RunSpec
from engine.schema.artifacts import Kind
from engine.tasks.base import Task
from engine.tasks.registry import task_named
from engine.tasks.templates import of_template

METHOD_VERSION = 3  # raised by every change of code that changes a number
LIBRARIES = ("torch", "transformers", "transformer-lens")
EXAMPLES_AT_ONCE = 256  # a circuit of more is computed in parts of so many (METHOD, "Many examples")


@dataclass(frozen=True)
class Resolved:
    """A spec with what it names, and the key of its run.

    `weights`: the identity of the weights of each model that the run depends on, by its name in the pair.
    `provenance`: everything that changes the numbers of the run's circuit; its hash is the key of the run.
    `keys`: those of all its artifacts, the circuit's included.
    """

    spec: RunSpec
    pair: Pair
    task: Task
    weights: Mapping[str, str]
    provenance: Mapping[str, Any]
    keys: Mapping[Kind, str]

    @property
    def key(self) -> str:
        return self.keys["circuit"]

    @property
    def parts(self) -> tuple[range, ...]:
        """The examples of each part in which the circuit is computed; none where it is computed at once."""
        return parts_of(self.spec) if "examples_at_once" in self.provenance else ()


class WeightsNotHere(UserError):
    """The models of a spec are known, but their weights are not on this machine."""


def parts_of(spec: RunSpec) -> tuple[range, ...]:
    """The examples of each part in which the circuit of a spec is computed; none where it is computed at once."""
    at_once, n = EXAMPLES_AT_ONCE, spec.n
    return tuple(range(first, min(first + at_once, n)) for first in range(0, n, at_once)) if n > at_once else ()


def resolve(spec: RunSpec) -> Resolved:
    """Look up what a spec names.

    Raises:
        WeightsNotHere: the weights of one of its models are not here.
        UserError: no such pair, task or template.
    """
    task, pair = of_template(task_named(spec.task), spec.template), pair_named(spec.pair)
    # The control is read with the MDM's tokenizer, and with the MDM's row of the mask where the ARM has none.
    models = {spec.model} if spec.is_arm else {spec.model, "arm", *(["mdm"] if spec.is_control else [])}
    try:
        weights = {model: _weights(pair.folder(model)) for model in sorted(models)}
    except UserError as error:
        raise WeightsNotHere(str(error)) from error
    provenance = {
        "spec": spec.as_dict(),
        "method_version": METHOD_VERSION,
        "weights": weights[spec.model],
        "compared_with": None if spec.is_arm else weights["arm"],
        "libraries": {name: library_version(name) for name in LIBRARIES},
        **({"read_as": weights["mdm"]} if spec.is_control else {}),
        **pair.reading(spec.model),
        # Of a circuit from elsewhere nothing is summed.
        **({"examples_at_once": EXAMPLES_AT_ONCE} if spec.n > EXAMPLES_AT_ONCE and not spec.is_imported else {}),
    }
    return Resolved(spec, pair, task, weights, provenance, keys_of(provenance))


@cache
def library_version(name: str) -> str:
    """A library's version without importing it; "none" when it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"


def _weights(source: str) -> str:
    """`weights_id`, asked again only when a file of the folder is another: pages ask at every click."""
    if not Path(source).is_absolute():
        return weights_id(source)
    try:
        with os.scandir(source) as entries:
            stats = [(entry.name, entry.stat()) for entry in entries]
    except OSError:
        return weights_id(source)
    return _weights_of_files(source, tuple(sorted((name, stat.st_size, stat.st_mtime_ns) for name, stat in stats)))


@lru_cache(maxsize=256)
def _weights_of_files(source: str, files: tuple[tuple[str, int, int], ...]) -> str:
    return weights_id(source)
