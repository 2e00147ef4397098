"""Tokens as a person can read them.

A vocabulary spells a space as "Ġ" or "▁" and some characters byte by byte. Tokens are untrusted text: what is shown
here is plain text, which HTML and Markdown still have to escape.
"""

from __future__ import annotations

import re
from functools import cache, lru_cache

_LONGEST = 18  # characters that are shown of a token
_VISIBLE = {" ": "␣", "\n": "⏎", "\t": "⇥", "\r": "␍"}
_BYTE = re.compile(r"<0x([0-7][0-9A-F])>")  # how SentencePiece spells a character that is not in its vocabulary


@lru_cache(maxsize=100_000)
def visible(token: str) -> str:
    """A token as a person can see it, at most 18 characters: white space and nothing get a sign, control characters
    their escape.

    "Ġthe" and "▁the", as vocabularies spell them, are both a space and "the".
    """
    if not token:
        return "∅"
    text = spelled_out(token)
    shown = "".join(_VISIBLE.get(c) or (c if c.isprintable() else c.encode("unicode_escape").decode()) for c in text)
    return shown if len(shown) <= _LONGEST else shown[: _LONGEST - 1] + "…"


def spelled_out(token: str) -> str:
    """The text of a token as a vocabulary spells it; a part of a character stays as it is."""
    byte = _BYTE.fullmatch(token)
    if byte:
        return chr(int(byte[1], 16))
    bytes_of = _byte_characters()
    if token.isascii() or not all(c in bytes_of for c in token):
        return token.replace("▁", " ")
    try:
        return bytes(bytes_of[c] for c in token).decode()
    except UnicodeDecodeError:
        return token


@cache
def _byte_characters() -> dict[str, int]:
    """The printable characters with which byte-level vocabularies (GPT-2's, Qwen's) spell bytes."""
    plain = [*range(ord("!"), ord("~") + 1), *range(ord("¡"), ord("¬") + 1), *range(ord("®"), ord("ÿ") + 1)]
    others = [byte for byte in range(256) if byte not in plain]
    return {chr(byte): byte for byte in plain} | {chr(256 + place): byte for place, byte in enumerate(others)}
