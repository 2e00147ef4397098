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
