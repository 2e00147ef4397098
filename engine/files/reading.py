"""Text, JSON and TOML from elsewhere, within bounds: what cannot be read is a sentence, never another exception.

Bounds are far above what any file of ours or of a model needs: they keep out numbers of thousands of digits, which
Python refuses to read or to print, nesting that exhausts its stack, and keys that take the TOML parser minutes.
"""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from collections.abc import Callable
from functools import partial
from math import isfinite
from pathlib import Path
from typing import Any, NoReturn

from engine.errors import UserError, one_line, shortened

Json = dict[str, Any]

MOST_JSON = 2**26  # bytes of a JSON file; large vocabularies take 20 MB
MOST_TOML = 250_000  # bytes of a TOML file
DEEPEST = 100  # lists and tables within each other
MOST_DIGITS = 100  # of a whole number
MOST_DOTS = 1000  # in a line of TOML: the parser's time grows with the square of a key's parts


class _Refused(Exception):
    """What a text has and should not have, as the end of a sentence."""


def read_text(file: Path, what: str, most: int = MOST_JSON) -> str:
    """The text of a file. `what` names it in sentences, as in "The pairs file /a/b.toml".

    Raises:
        UserError: it is no file, cannot be read, is larger than `most` bytes, or is not UTF-8 text.
    """
    try:
        if not file.is_file():  # asked first: opening a pipe would wait for ever
            raise UserError(f"{what} cannot be read: {'it is no file' if file.exists() else 'there is no such file'}.")
        if file.stat().st_size > most:
            raise UserError(f"{what} has {file.stat().st_size} bytes. {most} are the most that is read.")
        return file.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise UserError(f"{what} cannot be read: {error.strerror}.") from error
    except UnicodeDecodeError as error:
        raise UserError(f"{what} is not UTF-8 text (byte {error.start + 1}).") from error


def read_json(text: str, what: str, exact: bool = False) -> Any:
    """What a JSON text says, with sound nesting and numbers.

    `exact`: refuse also what JSON readers take differently: a field twice, and a number that no float can hold.

    Raises:
        UserError: it is not JSON, or is beyond the bounds of this module.
    """
    pairs, real = (_fields, _real) if exact else (None, None)
    parse = partial(json.loads, parse_constant=_refuse_constant, parse_float=real, object_pairs_hook=pairs)
    content = _parsed(parse, text, what, "JSON")
    _refuse_half_characters(text, content, what)
    return content


def read_json_table(text: str, what: str, exact: bool = False) -> Json:
    """The table of fields that a JSON text says; raises like `read_json`, and where it says anything else."""
    content = read_json(text, what, exact)
    if not isinstance(content, dict):
        raise UserError(f"{what} is not a table of fields in JSON.")
    return content


def read_toml(text: str, what: str) -> dict[str, Any]:
    """What a TOML text says, with sound nesting and numbers.

    Raises:
        UserError: it is not TOML, or is beyond the bounds of this module.
    """
    if len(text) > MOST_TOML:
        raise UserError(f"{what} has {len(text)} characters. {MOST_TOML} are the most that is read.")
    for number, line in enumerate(text.splitlines(), 1):
        if line.count(".") > MOST_DOTS:
            raise UserError(f"{what} has more than {MOST_DOTS} dots in line {number}, which is no key or value.")
    content: dict[str, Any] = _parsed(tomllib.loads, text, what, "TOML")
    return content


def _parsed(parse: Callable[[str], Any], text: str, what: str, language: str) -> Any:
    """What a parser makes of a text, within the bounds of this module; whatever it raises, as a sentence."""
    try:
        content = parse(text)
    except _Refused as error:
        raise UserError(f"{what} has {error}.") from error
    except (json.JSONDecodeError, tomllib.TOMLDecodeError) as error:
        raise UserError(f"{what} is not valid {language}: {one_line(error, 200)}.") from error
    except RecursionError as error:
        raise UserError(_too_deep(what)) from error
    except ValueError as error:
        raise UserError(_too_long(what)) from error
    _refuse_unbounded(content, what)
    return content


def _refuse_unbounded(content: Any, what: str) -> None:
    """Level by level, as a function that calls itself would exhaust the stack that the bound protects."""
    level = [content]
    for _ in range(DEEPEST + 1):
        if any(type(value) is int and abs(value) >= 10**MOST_DIGITS for value in level):
            raise UserError(_too_long(what))
        within = [value for value in level if isinstance(value, dict | list)]
        if not within:
            return
        level = [child for value in within for child in (value.values() if isinstance(value, dict) else value)]
    raise UserError(_too_deep(what))


def _refuse_half_characters(text: str, content: Any, what: str) -> None:
    r"""An escape such as \ud800 makes a text that no file and no page can hold."""
    if "\\ud" not in text.lower():
        return
    try:
        json.dumps(content, ensure_ascii=False).encode()
    except UnicodeEncodeError as error:
        raise UserError(f"{what} has half a character (an escape from \\ud800 to \\udfff by itself).") from error


def _too_deep(what: str) -> str:
    return f"{what} has lists or tables more than {DEEPEST} deep within each other."


def _too_long(what: str) -> str:
    return f"{what} has a number of more than {MOST_DIGITS} digits."


def _refuse_constant(name: str) -> NoReturn:
    raise _Refused(f"{name}, which is no number")


def _real(digits: str) -> float:
    number = float(digits)
    if not isfinite(number):
        raise _Refused(f"the number {one_line(digits, 40)}, which is beyond all bounds")
    return number


def _fields(pairs: list[tuple[str, Any]]) -> Json:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        twice = next(name for name, times in Counter(name for name, _ in pairs).items() if times > 1)
        raise _Refused(f"the field {shortened(twice, 40)} twice")
    return fields
