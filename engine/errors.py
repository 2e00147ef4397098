"""Errors written for the person who reads them: what was wrong, with which value, what to do.

A sentence that quotes a value of any size stays readable: its message loses its middle, as what is wrong is at
its beginning and what to do at its end.
"""

from __future__ import annotations

LONGEST = 800  # characters of a message
LONGEST_VALUE = 80  # of a value within one
LONGEST_LINE = 300  # of a library's own text within one


class UserError(Exception):
    """Shown as its message alone, on a page or on the command line; never as a traceback."""

    def __str__(self) -> str:
        return cut(super().__str__())


class Cancelled(Exception):
    """A job was cancelled by the user; nothing of it is stored."""


class Incomplete(Exception):
    """A command did what could be done; the message says what is not there. Its exit code is 1."""


def shortened(value: object, most: int = LONGEST_VALUE) -> str:
    """A value as a message quotes it: its repr, of a long one both ends."""
    if isinstance(value, str):
        return repr(value) if len(value) <= most else f"{value[: most - 20]!r}...{value[-10:]!r}"
    try:
        shown = repr(value)
    except (ValueError, RecursionError):  # a whole number of thousands of digits, or a list within lists without end
        return f"(too large to show: {type(value).__name__})"
    return shown if len(shown) <= most else f"{shown[: most - 20]}...{shown[-10:]}"


def one_line(text: object, most: int = LONGEST_LINE) -> str:
    """A library's own text as a message quotes it: in one line, and of a long one the beginning."""
    line = " ".join(str(text).split())
    return line if len(line) <= most else f"{line[:most].rstrip()} ..."


def cut(message: str, most: int = LONGEST) -> str:
    """A message of at most about `most` characters: a longer one loses its middle, and says how much."""
    if len(message) <= most:
        return message
    tail = most * 2 // 5
    left_out = f" [... {len(message) - most} characters left out ...] "
    return message[: most - tail].rstrip() + left_out + message[-tail:].lstrip()
