"""COUNTDOWN problems from and to files in the published format: a line {"input": ..., "output": ...} each."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Iterable, Iterator

from engine.errors import UserError
from engine.files.reading import read_json
from engine.tasks.countdown.problems import COUNTS, OPERANDS, TARGETS, PublishedProblem, draw_row, is_solved

NUMBERS = re.compile(r"[0-9]{1,3}(,[0-9]{1,3})+")
LEADING_ZERO = re.compile(r"(?<![0-9])0[0-9]")
LINE_END = re.compile(r"\r\n|\r|\n")  # a text in JSON may hold the other signs that Python takes for one
MOST_ROWS = 10_000
MOST_BYTES = 4_000_000
LISTED = 5  # wrong lines that an error names


def drawn(operands: int, n: int, seed: int) -> Iterator[PublishedProblem]:
    """`n` different held-out problems with so many operands."""
    rng = random.Random(f"countdown/file/{operands}/{seed}")
    contents: set[str] = set()
    while len(contents) < n:
        row = draw_row(rng, operands, "heldout")
        if row.content not in contents:
            contents.add(row.content)
            yield row


def written(rows: Iterable[PublishedProblem]) -> str:
    """Rows in the published format."""
    return "".join(json.dumps({"input": row.input, "output": row.output}) + "\n" for row in rows)


def read(data: bytes, name: str) -> list[PublishedProblem]:
    """The problems of a file in the published format.

    Raises:
        UserError: it is no such file; it says which lines are wrong and why.
    """
    if len(data) > MOST_BYTES:
        raise UserError(f"{name} has more than {MOST_BYTES // 10**6} MB, which is too much.")
    try:
        lines = LINE_END.split(data.decode("utf-8-sig"))
    except UnicodeDecodeError as error:
        raise UserError(f"{name} is not UTF-8 text.") from error
    numbered = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
    if not 1 <= len(numbered) <= MOST_ROWS:
        raise UserError(f"{name} has {len(numbered)} problems. It must have 1 to {MOST_ROWS}, one a line.")
    rows: list[PublishedProblem] = []
    wrong = []
    for number, line in numbered:
        try:
            rows.append(_row(line, rows[0] if rows else None))
        except UserError as error:
            wrong.append(f"line {number}: {error}")
    if wrong:
        more = f" And {len(wrong) - LISTED} more." if len(wrong) > LISTED else ""
        raise UserError(f"{name} cannot be used. {' '.join(wrong[:LISTED])}{more}")
    return rows


def _row(line: str, first: PublishedProblem | None) -> PublishedProblem:
    """A line's problem, of as many operands as the first one's; UserError with what is wrong with it."""
    try:
        content = read_json(line, "it")
    except UserError as error:  # where in the line helps nobody; that it is too deep or a number too long does
        raise UserError("it is not JSON.") if isinstance(error.__cause__, json.JSONDecodeError) else error from None
    if not isinstance(content, dict) or not all(isinstance(content.get(name), str) for name in ("input", "output")):
        raise UserError('it is not {"input": "...", "output": "..."}.')
    asked, output = (re.sub(r"\s", "", content[name]) for name in ("input", "output"))
    if not NUMBERS.fullmatch(asked):
        raise UserError(f"the input {asked[:40]!r} is not a list of numbers, the target last.")
    *operands, target = (int(number) for number in asked.split(","))
    counts = [len(first.operands)] if first else COUNTS
    if len(operands) not in counts:
        allowed = " or ".join(map(str, counts))
        raise UserError(f"it has {len(operands)} operands and a target, not {allowed} operands.")
    if target not in TARGETS or any(operand not in OPERANDS for operand in operands):
        raise UserError(f"in {asked!r} not every operand is from 1 to 99 or the target not from 10 to 99.")
    if not is_solved(operands, target, output):
        raise UserError(f"the output {output[:60]!r} does not reach {target} with every number used once.")
    if LEADING_ZERO.search(output):
        raise UserError(f"the output {output[:60]!r} has a number that begins with 0, which would be asked of a model.")
    return PublishedProblem(tuple(operands), target, output)
