"""List columns, against lists built row by row."""

from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from engine.schema.list_columns import lists, ragged, word_lists


@pytest.mark.parametrize("shape", [(4, 3), (1, 5), (3, 0), (0, 3)])
@pytest.mark.parametrize("dtype", [np.float32, np.int32, np.uint8])
def test_a_row_is_a_list(shape: tuple[int, int], dtype: type) -> None:
    values = np.arange(np.prod(shape)).reshape(shape).astype(dtype)
    column = lists(values)
    assert column.to_pylist() == values.tolist()
    assert column.type == pa.list_(pa.from_numpy_dtype(dtype))


def test_rows_need_not_lie_one_behind_the_other_in_memory() -> None:
    values = np.arange(12).reshape(3, 4)
    assert lists(values.T).to_pylist() == values.T.tolist()
    assert lists(values[:, ::2]).to_pylist() == values[:, ::2].tolist()


def test_ragged_lists_are_as_long_as_told() -> None:
    values = np.array([1.5, 2.5, 3.5, 4.5], np.float32)
    assert ragged(values, np.array([2, 0, 1, 1])).to_pylist() == [[1.5, 2.5], [], [3.5], [4.5]]
    assert ragged(np.empty(0, np.float32), np.zeros(2, np.int64)).to_pylist() == [[], []]


def test_word_lists_pick_words_by_place() -> None:
    words = pa.array(["the", " <b>", "", None])
    column = word_lists(np.array([[0, 1], [2, 0], [3, 3]]), words)
    assert column.to_pylist() == [["the", " <b>"], ["", "the"], [None, None]]
    assert column.type == pa.list_(pa.string())
