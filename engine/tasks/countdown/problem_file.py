"""COUNTDOWN problems of a file in the published format as a task: a line {"input": ..., "output": ...} each.

A set is kept as `countdown-<digest>.json` in settings.prompts_dir(); the digest is of its rows, so that the task's name
stands for the numbers that come of it. Rows come in the file's order, whatever the seed. A problem's twin asks its
operands for another target (engine/tasks/countdown/text.py); where no other answer has the same shape from the first
equation on, the twin begins as its problem does.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import lru_cache
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from engine import settings
from engine.errors import UserError
from engine.files.reading import read_json, read_text
from engine.files.writing import write_whole
from engine.models.example import Example
from engine.tasks.base import Listed, Split, Task
from engine.tasks.countdown.embedded import LARGEST as LARGEST_WORD
from engine.tasks.countdown.embedded import TARGETS, Countdown, words_prompt
from engine.tasks.countdown.text import (
    COUNTS,
    LARGEST,
    OPERANDS,
    FewShotCountdown,
    PublishedProblem,
    draw_row,
    few_shot,
    find_corrupted,
    is_solved,
)
from engine.tasks.own_prompts import LONGEST_TITLE, repeats_told

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PREFIX = "countdown-"
NAME = re.compile(r"countdown-[0-9a-f]{12}")
NUMBERS = re.compile(r"[0-9]{1,3}(,[0-9]{1,3})+")
LEADING_ZERO = re.compile(r"(?<![0-9])0[0-9]")
LINE_END = re.compile(r"\r\n|\r|\n")  # a text in JSON may hold the other signs that Python takes for one
MOST_ROWS = 10_000
MOST_BYTES = 4_000_000
TWIN_TRIES = 1500  # for every number of equations that a twin may begin with
LISTED = 5  # wrong lines that an error names


class ProblemFile(Listed, Countdown):
    """A kept file. `saved`: when, in ISO 8601; `left_out`: how many of its problems have no twin; `repeated`: how many
    asked the same as others, beside those that are there.
    """

    unit = "problem"

    def __init__(
        self, rows: Sequence[PublishedProblem], title: str, saved: str = "", left_out: int = 0, repeated: int = 0
    ) -> None:
        self.rows = tuple(rows)
        self.name = PREFIX + digest_of(self.rows)
        self.title = " ".join(title.split())[:LONGEST_TITLE] or self.title
        self.saved = saved
        self.left_out = left_out
        self.repeated = repeated
        about = f"COUNTDOWN with {self.count} operands, {len(self.rows)} problems of a file."
        self.blurb = " ".join((about, *self.remarks))

    @property
    def remarks(self) -> tuple[str, ...]:
        """What to know of numbers that come of these problems."""
        return repeats_told(self.repeated, "problem")

    @property
    def count(self) -> int:
        """How many operands a problem has."""
        return len(self.rows[0].operands)

    def __len__(self) -> int:
        return len(self.rows)

    def example(self, row: int) -> Example:
        found = self.rows[row]
        twin = self.twin(row, LARGEST_WORD)
        return Example(
            prompt=words_prompt(found.operands, found.target),
            answer=_in_words(found.output),
            corrupt_prompt=words_prompt(twin.operands, twin.target),
            corrupt_answer=_in_words(twin.output),
            content=found.content,
        )

    def twin(self, row: int, largest: int, attempt: int = 0) -> PublishedProblem:
        """A twin of a row; another `attempt` may find another.

        Raises:
            UserError: there is none without numbers above `largest`.
        """
        found = self.rows[row]
        twin = find_twin(random.Random(f"{found.content}/{attempt}"), found, largest)
        if twin is None:
            raise UserError(f"The problem {found.input} of {self.title} has no twin without numbers above {largest}.")
        return twin

    def sample(self, rng: random.Random, split: Split) -> Example:
        """Any row: a file has no split, as no model of ours was trained on it."""
        return self.example(rng.randrange(len(self.rows)))

    def natural(self, tokenizer: PreTrainedTokenizerBase) -> Task:
        return _FewShotFile(self, tokenizer)


class _FewShotFile(FewShotCountdown, ProblemFile):
    def __init__(self, file: ProblemFile, tokenizer: PreTrainedTokenizerBase) -> None:
        ProblemFile.__init__(self, file.rows, file.title, file.saved, file.left_out, file.repeated)
        self.tokenizer = tokenizer

    def example(self, row: int) -> Example:
        attempts = count()
        return self.aligned(lambda: few_shot(self.rows[row], self.twin(row, LARGEST, next(attempts))))

    def sample(self, rng: random.Random, split: Split) -> Example:
        return self.example(rng.randrange(len(self.rows)))

    def natural(self, tokenizer: PreTrainedTokenizerBase) -> Task:
        return self


def find_twin(rng: random.Random, row: PublishedProblem, largest: int = LARGEST) -> PublishedProblem | None:
    """A twin whose equations differ from as early on as can be; None when there is none."""
    twins = (find_corrupted(rng, row, TWIN_TRIES, largest, keep) for keep in range(len(row.operands) - 1))
    return next((twin for twin in twins if twin is not None), None)


def drawn(operands: int, n: int, seed: int) -> Iterator[PublishedProblem]:
    """`n` different held-out problems with so many operands."""
    rng = random.Random(f"countdown/file/{operands}/{seed}")
    seen: set[str] = set()
    while len(seen) < n:
        row = draw_row(rng, operands, "heldout")
        if row.content not in seen:
            seen.add(row.content)
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


def save(rows: Sequence[PublishedProblem], title: str) -> ProblemFile:
    """Keep the rows that have a twin, each problem once; the same rows again only get the new title.

    Raises like `paired` and `keep`.
    """
    return keep(paired(rows, title))


def paired(rows: Sequence[PublishedProblem], title: str) -> ProblemFile:
    """The rows that have a twin, each problem once, not yet kept.

    Raises:
        UserError: none of them has one.
    """
    first: dict[str, PublishedProblem] = {}
    for row in rows:
        first.setdefault(row.input, row)
    once = list(first.values())
    found = [row for row in once if find_twin(random.Random(f"{row.content}/0"), row) is not None]
    if not found:
        raise UserError(
            f"None of the {len(once)} problems has a twin: another target with an answer of the same shape."
        )
    saved = datetime.now(UTC).isoformat(timespec="seconds")
    return ProblemFile(found, title, saved, len(once) - len(found), len(rows) - len(once))


def keep(problems: ProblemFile) -> ProblemFile:
    """Write problems that have twins to where they are found again.

    Raises:
        UserError: the folder cannot be written.
    """
    kept = _Kept(problems.title, problems.saved, problems.left_out, written(problems.rows), problems.repeated)
    file = file_of(problems.name)
    try:
        write_whole(file, json.dumps(asdict(kept)))
    except OSError as error:
        raise UserError(f"The problems cannot be kept in {file.parent}: {error.strerror}.") from error
    return problems


def delete(name: str) -> None:
    """Remove kept problems; what was computed for them stays in the cache."""
    file_of(name).unlink(missing_ok=True)


def load(name: str) -> ProblemFile:
    """The kept problems of that name.

    Raises:
        UserError: they are gone, or the file is not what was kept.
    """
    file = file_of(name)
    try:
        stat = file.stat()
    except OSError as error:
        raise UserError(f"The problems {name} are gone: there is no {file}. Give the same file again.") from error
    return _load(file, stat.st_size, stat.st_mtime_ns)


def saved_files() -> list[ProblemFile]:
    """Every kept file that can be read, newest last."""
    found = []
    for file in settings.prompts_dir().glob(f"{PREFIX}*.json"):
        if is_problem_file(file.stem):
            try:
                found.append(load(file.stem))
            except UserError:
                continue  # asked for by name, it says what it is
    return sorted(found, key=lambda one: (one.saved, one.name))


def is_problem_file(name: str) -> bool:
    return NAME.fullmatch(name) is not None


def digest_of(rows: Sequence[PublishedProblem]) -> str:
    """12 hex digits that stand for the rows and their order."""
    return hashlib.sha256(written(rows).encode()).hexdigest()[:12]


@dataclass(frozen=True)
class _Kept:
    title: str
    saved: str
    left_out: int
    problems: str
    repeated: int = 0


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


def _in_words(output: str) -> str:
    return re.sub(r"([-+*/=])", r" \1 ", output).replace(",", " ; ")


def file_of(name: str) -> Path:
    if not is_problem_file(name):
        raise UserError(f"{name!r} is not the name of kept problems, which looks like countdown-0123456789ab.")
    return settings.prompts_dir() / f"{name}.json"


@lru_cache(maxsize=16)
def _load(file: Path, size: int, modified: int) -> ProblemFile:
    """Kept problems, read again only when the file's size or time of change is another."""
    try:
        kept = _Kept(**read_json(read_text(file, str(file)), str(file)))
        found = ProblemFile(
            read(kept.problems.encode(), file.name),
            str(kept.title),
            str(kept.saved),
            int(kept.left_out),
            int(kept.repeated),
        )
    except (ValueError, OverflowError, TypeError, AttributeError, UserError) as error:
        raise UserError(f"The problems in {file} cannot be read. Delete the file and give them again.") from error
    if file_of(found.name) != file:
        raise UserError(f"The problems in {file} were changed. Delete the file and give them again.")
    return found
