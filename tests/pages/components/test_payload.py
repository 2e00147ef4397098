"""A header and arrays packed for the browser are read back as they were."""

from __future__ import annotations

import numpy as np
import pytest

from pages.components.circuit.payload import TYPES, pack
from tests.pages.payloads import unpack


@pytest.mark.parametrize("entries", [0, 1, 2, 3, 5, 1000])
def test_arrays_of_every_type_and_length_are_read_back(entries: int) -> None:
    rng = np.random.default_rng(entries)
    arrays = {kind: rng.integers(0, 200, entries).astype(kind) for kind in TYPES}
    header, read = unpack(pack({"k": 3}, arrays))
    assert header["k"] == 3
    assert list(read) == list(TYPES)
    for kind, array in arrays.items():
        assert read[kind].dtype == array.dtype
        assert read[kind].tolist() == array.tolist()


def test_every_array_begins_at_a_multiple_of_four_bytes_and_none_overlap() -> None:
    """A typed array of four-byte numbers can begin nowhere else."""
    arrays = {f"array {at}": np.full(at, 7, dtype=TYPES[at % len(TYPES)]) for at in range(40)}
    packed = pack({}, arrays)
    header, read = unpack(packed)
    ends = 4 + int.from_bytes(packed[:4], "little")
    for name, kind, offset, entries in header["arrays"]:
        assert offset % 4 == 0
        assert offset >= ends
        ends = offset + entries * np.dtype(kind).itemsize
        assert read[name].tolist() == arrays[name].tolist()
    assert ends <= len(packed) < ends + 4


def test_a_header_of_any_length_says_where_the_arrays_begin() -> None:
    """Offsets are part of the header, which grows with their digits."""
    for length in range(900, 1010):
        array = np.arange(3, dtype="f4")
        header, read = unpack(pack({"text": "x" * length}, {"a": array, "b": array + 1}))
        assert header["text"] == "x" * length
        assert (read["a"].tolist(), read["b"].tolist()) == ([0, 1, 2], [1, 2, 3])


def test_texts_are_kept_whatever_their_letters() -> None:
    text = {"names": ["<b>x</b>", "é", "”", "\n", "\u2028", "😀"]}
    header, _ = unpack(pack(text, {}))
    assert header == {**text, "arrays": []}


def test_tables_are_sent_row_by_row_and_parts_of_arrays_as_they_are_seen() -> None:
    table = np.arange(12, dtype="i4").reshape(3, 4)
    _, read = unpack(pack({}, {"table": table, "column": table[:, 1], "turned": table.T}))
    assert read["table"].tolist() == list(range(12))
    assert read["column"].tolist() == [1, 5, 9]
    assert read["turned"].tolist() == table.T.ravel().tolist()


@pytest.mark.parametrize("kind", ["f8", "i8", "i2", "u4", "?", "U3"])
def test_other_types_are_refused_by_name(kind: str) -> None:
    with pytest.raises(ValueError, match=r"the array scores is of type .*; a payload has f4, i4, u2, u1"):
        pack({}, {"scores": np.zeros(2, dtype=kind)})
