"""Pack a JSON header and typed arrays into one piece of bytes, which payload.js unpacks without copying an array.

Four bytes say how long the header is (little-endian); then the header in UTF-8; then the arrays, each beginning at a
multiple of four bytes. The header's `arrays` lists [name, type, offset, entries] of each.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

TYPES = ("f4", "i4", "u2", "u1")
_ALIGNED = 4  # bytes


def pack(header: Mapping[str, object], arrays: Mapping[str, NDArray[Any]]) -> bytes:
    """The bytes of a header and of flat arrays whose types are among TYPES."""
    blocks = {name: np.ascontiguousarray(array).ravel() for name, array in arrays.items()}
    table, offset = [], 0
    for name, block in blocks.items():
        table.append([name, _type_of(name, block), offset, block.size])
        offset += _padded(block.nbytes)
    start = len(_head(header, table, 0))
    while len(_head(header, table, start)) != start:  # offsets are written out, so the header grows with them
        start = len(_head(header, table, start))
    body = [block.tobytes().ljust(_padded(block.nbytes), b"\0") for block in blocks.values()]
    return b"".join([_head(header, table, start), *body])


def _head(header: Mapping[str, object], table: list[list[Any]], start: int) -> bytes:
    entries = [[name, kind, start + offset, size] for name, kind, offset, size in table]
    text = json.dumps({**header, "arrays": entries}, ensure_ascii=False, separators=(",", ":")).encode()
    text = text.ljust(_padded(len(text)))
    return len(text).to_bytes(4, "little") + text


def _type_of(name: str, block: NDArray[Any]) -> str:
    kind = block.dtype.str[1:]
    if kind not in TYPES:
        raise ValueError(f"the array {name} is of type {block.dtype}; a payload has {', '.join(TYPES)}")
    return kind


def _padded(size: int) -> int:
    return -(-size // _ALIGNED) * _ALIGNED
