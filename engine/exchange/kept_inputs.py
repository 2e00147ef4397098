"""Keep the pair, prompts or problems that a command is given, and put back what was there if no run uses them."""

from __future__ import annotations

from contextlib import ExitStack
from pathlib import Path

from engine.errors import UserError
from engine.exchange.prompts_csv import MOST_BYTES, checked_csv
from engine.files.writing import put_back
from engine.models.pairs import Pair, file_of, keep, kept_pairs, pair_named
from engine.runs import stored
from engine.tasks import own_prompts
from engine.tasks.countdown import problem_file, published_format
from engine.tasks.countdown.problem_file import ProblemFile
from engine.tasks.own_prompts import LONGEST_TITLE, OwnPrompts


def keep_pair(pair: Pair, undo: ExitStack) -> Pair:
    """Keep a pair, unless it is kept as it is; `undo` puts back what was there, where no run of the pair was stored."""
    if pair != kept_pairs().get(pair.name):
        _put_back(undo, file_of(pair.name), "pair", pair.name)
        keep(pair)
    return pair_named(pair.name)


def save_prompts(file: str, pair: str, n: int | None, undo: ExitStack) -> tuple[OwnPrompts, tuple[str, ...]]:
    """Keep the rows of a CSV file, or its first `n`, as a task; with it what to know of how they were read.

    `undo`: as in `keep_pair`.

    Raises:
        UserError: the file cannot be read, or what is wrong in which row.
    """
    checked = checked_csv(_content(file, MOST_BYTES), pair_named(pair), n)
    title = Path(file).stem if n is None else f"{Path(file).stem[: LONGEST_TITLE - 20]}, first {n} rows"
    name = own_prompts.name_of(checked.rows)
    _put_back(undo, own_prompts.file_of(name), "task", name)
    return own_prompts.save(checked.rows, title, pair, checked.repeated), checked.notes


def save_problems(file: str, undo: ExitStack) -> ProblemFile:
    """Keep the COUNTDOWN problems of a file in the published format as a task; `undo` as in `keep_pair`.

    Raises:
        UserError: the file cannot be read, or what is wrong in which line.
    """
    rows = published_format.read(_content(file, published_format.MOST_BYTES), Path(file).name)
    problems = problem_file.paired(rows, Path(file).stem)
    _put_back(undo, problem_file.file_of(problems.name), "task", problems.name)
    return problem_file.keep(problems)


def _put_back(undo: ExitStack, file: Path, field: str, name: str) -> None:
    """Let `undo` leave a file as it is now, unless there is a run whose spec names it by then."""
    before = put_back(file)

    def unless_used() -> None:
        if not any(getattr(run.spec, field) == name for run in stored.list_runs()):
            before()

    undo.callback(unless_used)


def _content(file: str, most: int) -> bytes:
    """The first `most` + 1 bytes of a file."""
    try:
        with Path(file).open("rb") as stream:
            return stream.read(most + 1)
    except OSError as error:
        raise UserError(f"{file} cannot be read: {error.strerror}.") from error
