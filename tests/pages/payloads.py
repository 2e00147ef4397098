"""Read what pages/components/circuit/payload.py packs, as payload.js does in the browser."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray
from streamlit.testing.v1 import AppTest


def unpack(packed: bytes) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """The header, and the flat arrays by name."""
    length = int.from_bytes(packed[:4], "little")
    header = json.loads(packed[4 : 4 + length])
    arrays = {
        name: np.frombuffer(packed, dtype=f"<{kind}", count=entries, offset=offset)
        for name, kind, offset, entries in header["arrays"]
    }
    return header, arrays


def payload_of(page: AppTest) -> tuple[dict[str, Any], dict[str, NDArray[Any]]]:
    """What a page has sent to its circuit component."""
    (element,) = page.get("bidi_component")
    return unpack(element.proto.bytes)


def overlap(page: AppTest) -> float:
    """The overlap that is told at the K that is chosen."""
    value = line(page, "pair")
    assert value is not None
    return value


def line(page: AppTest, style: str) -> float | None:
    """The value, at the K that is chosen, of an overlap line (pages/panels/references.py); None: there is none."""
    header, arrays = payload_of(page)
    styles = [drawn["style"] for drawn in header["lines"]]
    if style not in styles:
        return None
    k, here = header["chosen"]["k"], len(arrays["arm_score"])
    at = k - 1 if k <= here else here + arrays["stops"].tolist().index(k)
    return float(arrays[f"line_{styles.index(style)}"][at])
