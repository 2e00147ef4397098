"""Hash a description into a key. Equal descriptions have equal keys, on every machine and in every process."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Mapping
from typing import Any

KEY_LENGTH = 20  # hex digits, 80 bits: no accidental collision, still short enough for an address bar
KEY = re.compile(rf"[0-9a-f]{{{KEY_LENGTH}}}")


def hash_of(description: Mapping[str, Any]) -> str:
    """The key of everything that changes a number; the order in which it is listed does not matter.

    Raises:
        TypeError, ValueError: a value that JSON cannot hold exactly (an object, NaN).
    """
    text = json.dumps(description, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:KEY_LENGTH]
