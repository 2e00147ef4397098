"""COUNTDOWN problems of a file in the published format (engine/tasks/countdown/published_format.py) as a task.

A set is saved under a digest of its rows (engine/tasks/saved.py). Rows come in the file's order, whatever the seed. The
corrupted example of a problem asks its operands for another target (engine/tasks/countdown/published.py); where no
other answer has the same shape from the first equation on, the corrupted answer begins as the clean one does.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import UserError
from engine.models.example import Example
from engine.tasks.base import Listed, Split, Task
from engine.tasks.countdown.embedded import LARGEST as LARGEST_WORD
from engine.tasks.countdown.embedded import Countdown, words_prompt
from engine.tasks.countdown.problems import LARGEST, PublishedProblem, find_corrupted
from engine.tasks.countdown.published import FewShotCountdown, few_shot
from engine.tasks.countdown.published_format import read, written
from engine.tasks.own_prompts import LONGEST_TITLE, repeats_told
from engine.tasks.saved import SavedTasks

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PREFIX = "countdown-"
TRIES = 1500  # for every number of equations that a corrupted answer may begin with


class ProblemFile(Listed, Countdown):
    """A kept file. `saved`: when, in ISO 8601; `left_out`: how many of its problems have no corrupted example;
    `repeated`: how many asked the same as others, beside those that are there.
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
        problem = self.rows[row]
        corrupted = self.corrupted(row, LARGEST_WORD)
        return Example(
            prompt=words_prompt(problem.operands, problem.target),
            answer=_in_words(problem.output),
            corrupt_prompt=words_prompt(corrupted.operands, corrupted.target),
            corrupt_answer=_in_words(corrupted.output),
            content=problem.content,
        )

    def corrupted(self, row: int, largest: int, attempt: int = 0) -> PublishedProblem:
        """The corrupted problem of a row; another `attempt` may give another.

        Raises:
            UserError: there is none without numbers above `largest`.
        """
        problem = self.rows[row]
        corrupted = corrupted_of(random.Random(f"{problem.content}/{attempt}"), problem, largest)
        if corrupted is None:
            raise UserError(
                f"The problem {problem.input} of {self.title} has no corrupted example without numbers above {largest}."
            )
        return corrupted

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
        return self.aligned(lambda: few_shot(self.rows[row], self.corrupted(row, LARGEST, next(attempts))))

    def sample(self, rng: random.Random, split: Split) -> Example:
        return self.example(rng.randrange(len(self.rows)))

    def natural(self, tokenizer: PreTrainedTokenizerBase) -> Task:
        return self


def corrupted_of(rng: random.Random, row: PublishedProblem, largest: int = LARGEST) -> PublishedProblem | None:
    """A corrupted problem whose equations differ from as early on as can be; None when there is none."""
    tries = (find_corrupted(rng, row, TRIES, largest, keep) for keep in range(len(row.operands) - 1))
    return next((corrupted for corrupted in tries if corrupted is not None), None)


def save(rows: Sequence[PublishedProblem], title: str) -> ProblemFile:
    """Save the rows that have a corrupted example, each problem once; the same rows again only get the new title.

    Raises like `paired` and `keep`.
    """
    return keep(paired(rows, title))


def paired(rows: Sequence[PublishedProblem], title: str) -> ProblemFile:
    """The rows that have a corrupted example, each problem once, not yet saved.

    Raises:
        UserError: none of them has one.
    """
    first: dict[str, PublishedProblem] = {}
    for row in rows:
        first.setdefault(row.input, row)
    once = list(first.values())
    usable = [row for row in once if corrupted_of(random.Random(f"{row.content}/0"), row) is not None]
    if not usable:
        raise UserError(
            f"None of the {len(once)} problems has a corrupted example: another target with an answer of the same "
            "shape."
        )
    saved = datetime.now(UTC).isoformat(timespec="seconds")
    return ProblemFile(usable, title, saved, len(once) - len(usable), len(rows) - len(once))


def keep(problems: ProblemFile) -> ProblemFile:
    """Save problems that have corrupted examples, to be found again by their name.

    Raises:
        UserError: the folder cannot be written.
    """
    content = {
        "title": problems.title,
        "saved": problems.saved,
        "left_out": problems.left_out,
        "problems": written(problems.rows),
        "repeated": problems.repeated,
    }
    _SAVED.write(problems.name, json.dumps(content))
    return problems


def digest_of(rows: Sequence[PublishedProblem]) -> str:
    """12 hex digits that stand for the rows and their order."""
    return hashlib.sha256(written(rows).encode()).hexdigest()[:12]


def _in_words(output: str) -> str:
    return re.sub(r"([-+*/=])", r" \1 ", output).replace(",", " ; ")


def _task_of(content: Any, file: Path) -> ProblemFile:
    """The problems that a file's JSON describes."""
    title, saved = str(content["title"]), str(content["saved"])
    counts = int(content["left_out"]), int(content.get("repeated", 0))
    return ProblemFile(read(content["problems"].encode(), file.name), title, saved, *counts)


_SAVED = SavedTasks(PREFIX, PREFIX, "problems", "Give the same file again", _task_of)
is_problem_file, file_of, load, delete = _SAVED.is_name, _SAVED.file_of, _SAVED.load, _SAVED.delete
saved_files = _SAVED.all
