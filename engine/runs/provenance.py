"""The key of a run: the hash of everything that changes its numbers.

A spec's fields, the weights and settings of its pair, the version of the method and of the libraries.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import Any

from cache.keys import hash_of
from engine.models.pairs import pair_named, weights_id
from engine.runs.spec import RunSpec
from engine.tasks import task_named

METHOD_VERSION = 3  # raised by every change of code that changes a number
LIBRARIES = ("torch", "transformers", "transformer-lens")


def key_of(spec: RunSpec) -> str:
    """The key of a spec's run: its fields, its pair's weights and settings, the method and the libraries.

    Raises:
        UserError: no such pair, task or checkpoint, or its weights are not there.
    """
    return hash_of(provenance_of(spec))


def provenance_of(spec: RunSpec) -> dict[str, Any]:
    """Everything that changes the numbers of a spec's run; the key is its hash. Raises like `key_of`."""
    task_named(spec.task)
    pair = pair_named(spec.pair)
    # The control is read with the MDM's tokenizer, and with the MDM's row of the mask where the ARM has none.
    reader = {"read_as": weights_id(pair.folder("mdm"))} if spec.is_control else {}
    return {
        "spec": spec.as_dict(),
        "method_version": METHOD_VERSION,
        "weights": weights_id(pair.folder(spec.model)),
        "compared_with": None if spec.is_arm else weights_id(pair.folder("arm")),
        "libraries": {name: library_version(name) for name in LIBRARIES},
        **reader,
        **pair.reading(spec.model),
    }


def is_key_of(key: str, description: Mapping[str, Any]) -> bool:
    """Whether a run that was made with this has this key."""
    return hash_of(description) == key


@cache
def library_version(name: str) -> str:
    """A library's version without importing it; "none" when it is not installed."""
    try:
        return version(name)
    except PackageNotFoundError:
        return "none"
