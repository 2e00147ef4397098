"""Find the circuits of language models, keep them and compare them.

The names for scripts (examples/overlap.py): `run` a `RunSpec` or `find` it in the cache, `read` a table of a run,
`compare` two runs. A name is imported when it is first used: importing this package imports nothing, torch least.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from engine.runs.compare import compare
    from engine.runs.lifecycle import find, run
    from engine.runs.read import table as read
    from engine.runs.spec import RunSpec

__all__ = ["RunSpec", "compare", "find", "read", "run"]

_HOMES = {
    "RunSpec": ("engine.runs.spec", "RunSpec"),
    "compare": ("engine.runs.compare", "compare"),
    "find": ("engine.runs.lifecycle", "find"),
    "read": ("engine.runs.read", "table"),
    "run": ("engine.runs.lifecycle", "run"),
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _HOMES[name]
    return getattr(import_module(module), attribute)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
