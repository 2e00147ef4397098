"""Sweeps that were computed or collected here, by which the app knows them: CACHE/sweeps/NAME.toml.

Of two sweeps of one name the later one stays.
"""

from __future__ import annotations

import json
from contextlib import suppress
from dataclasses import fields
from pathlib import Path

from engine import settings
from engine.errors import UserError
from engine.files.writing import write_whole
from engine.sweeps.sweep_file import Sweep, read

MOST_SAVED = 1000  # that are read


def save(sweep: Sweep) -> None:
    """Keep a sweep, or make the one of its name this one.

    Raises:
        UserError: it cannot be written.
    """
    file, text = settings.sweeps_dir() / f"{sweep.name}.toml", text_of(sweep)
    try:
        if not (file.is_file() and file.read_bytes() == text.encode()):
            write_whole(file, text)
    except OSError as error:
        raise UserError(f"The sweep {sweep.name} cannot be kept as {file}: {error.strerror}.") from error


def saved() -> list[Sweep]:
    """The sweeps that were kept, the latest first; without files that cannot be read, or that say what no sweep can."""
    sweeps = []
    with suppress(OSError):
        for file in sorted(settings.sweeps_dir().glob("*.toml"), key=_time, reverse=True)[:MOST_SAVED]:
            with suppress(UserError):
                sweeps.append(read(file))
    return sweeps


def _time(file: Path) -> float:
    """When a file was written; of a link that leads nowhere the earliest time."""
    try:
        return file.stat().st_mtime
    except OSError:
        return 0.0


def text_of(sweep: Sweep) -> str:
    """A sweep as the TOML file that describes it; fields that are as usual are left out."""
    usual = Sweep(sweep.name)
    lines = []
    for field in fields(sweep):
        value = getattr(sweep, field.name)
        if field.name != "name" and value != getattr(usual, field.name):
            # A text or number of JSON is one of TOML, but for a character that TOML has escaped as well.
            lines.append(f"{field.name} = {json.dumps(value, ensure_ascii=False)}\n".replace("\x7f", "\\u007f"))
    return "".join(lines)
