"""List columns of Arrow tables from flat arrays, without a Python object per row."""

from __future__ import annotations

from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray


def lists(values: NDArray[Any]) -> pa.ListArray:
    """Row i of `values` [row, n] as list i."""
    return pa.ListArray.from_arrays(_offsets(np.full(len(values), values.shape[1])), pa.array(values.ravel()))


def ragged(values: NDArray[Any], lengths: NDArray[np.integer[Any]]) -> pa.ListArray:
    """The first lengths[0] of `values` [value] as list 0, the next lengths[1] as list 1, and so on; lengths [row]."""
    return pa.ListArray.from_arrays(_offsets(lengths), pa.array(values))


def word_lists(places: NDArray[np.integer[Any]], words: pa.Array) -> pa.ListArray:
    """List i holds the `words` [word] at `places[i]`, `places` being [row, n]."""
    offsets = _offsets(np.full(len(places), places.shape[1]))
    return pa.ListArray.from_arrays(offsets, words.take(pa.array(places.ravel())))


def _offsets(lengths: NDArray[np.integer[Any]]) -> pa.Array:
    return pa.array(np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32))
