"""A reader's own prompts as a task: rows of a clean and a corrupted prompt with answer and foil, kept in a file.

A set is `<digest>.json` in settings.prompts_dir(). The digest is of the rows alone, so the task's name
"own-<digest>" stands for the numbers that come of it, whatever the set is called (engine/tasks/saved.py). A row that is
there twice counts once; rows that contradict each other are no task (engine/tasks/row_conflicts.py).
"""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import UserError
from engine.models.example import Example
from engine.tasks.base import END, OTHER, WORD, Family, Listed, Split
from engine.tasks.row_conflicts import contradictions, repeats
from engine.tasks.saved import SavedTasks

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PREFIX = "own-"
LONGEST_TITLE = 60  # characters


@dataclass(frozen=True)
class PromptRow:
    """One pair of prompts. The first of `answers` and of `foils` is the answer and the foil; more of them are as right
    or as wrong, and then the metric is the log-odds of all the answers against all the foils.
    """

    clean: str
    corrupted: str
    answers: tuple[str, ...]
    foils: tuple[str, ...]

    @property
    def has_candidates(self) -> bool:
        return len(self.answers) > 1 or len(self.foils) > 1

    def example(self) -> Example:
        return Example(
            prompt=self.clean,
            answer=self.answers[0],
            corrupt_prompt=self.corrupted,
            corrupt_answer=self.foils[0],
            content=f"own/{self.clean}",
            right=self.answers if self.has_candidates else (),
            wrong=self.foils if self.has_candidates else (),
        )


class OwnPrompts(Listed):
    """A saved set. `pair`: whose tokenizer it was checked for; `saved`: when, in ISO 8601; `repeated`: how many rows
    said the same as others, beside those that are there.
    """

    family: Family = "own prompts"
    parallel = False
    guess = 0.0
    piece = WORD

    def __init__(self, rows: Sequence[PromptRow], title: str, pair: str, saved: str, repeated: int = 0) -> None:
        self.name = PREFIX + digest_of(rows)
        self.rows = _distinct(rows)
        self.title = title
        self.pair = pair
        self.saved = saved
        self.repeated = repeated + len(rows) - len(self.rows)
        count = f"{len(self.rows)} row" + ("s" if len(self.rows) != 1 else "")
        self.blurb = " ".join((f"Own prompts, {count}, written for the pair {pair}.", *self.remarks))

    @property
    def remarks(self) -> tuple[str, ...]:
        """What to know of numbers that come of these rows."""
        return repeats_told(self.repeated, "row")

    def first(self, n: int) -> list[Example]:
        for row, (other, why) in contradictions(self.rows[:n]).items():
            raise UserError(
                f"Rows {other + 1} and {row + 1} of {self.title} contradict each other: {why}. Remove one of them."
            )
        return super().first(n)

    def __len__(self) -> int:
        return len(self.rows)

    def example(self, row: int) -> Example:
        return self.rows[row].example()

    def sample(self, rng: random.Random, split: Split) -> Example:
        """Any row: own prompts have no split, as no model of ours was trained on them."""
        return rng.choice(self.rows).example()

    def check(self, prompt: str, answer: str) -> bool:
        """Whether `answer` is one of the right ones of a row with that prompt, white space at its ends aside."""
        right = {text.strip() for row in self.rows if row.clean == prompt for text in row.answers}
        return answer.strip() in right

    def roles(self, example: Example) -> tuple[list[str], list[str]]:
        clean, corrupted = example.prompt.split(), example.corrupt_prompt.split()
        if len(clean) == len(corrupted):
            roles = ["changed" if a != b else OTHER for a, b in zip(clean, corrupted, strict=True)]
        else:
            roles = [OTHER] * len(clean)
        return [*roles[:-1], END], ["answer"] * len(example.answer.split())

    def natural(self, tokenizer: PreTrainedTokenizerBase) -> OwnPrompts:
        """Itself: a reader writes what a model is to read."""
        return self

    def words(self) -> list[str]:
        texts = (text for row in self.rows for text in (row.clean, row.corrupted, *row.answers, *row.foils))
        return list(dict.fromkeys(word for text in texts for word in text.split()))


def _distinct(rows: Sequence[PromptRow]) -> tuple[PromptRow, ...]:
    return tuple(row for row, before in zip(rows, repeats(rows), strict=True) if before is None)


def digest_of(rows: Sequence[PromptRow]) -> str:
    """12 hex digits that stand for the rows and their order."""
    text = json.dumps([asdict(row) for row in rows], sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:12]


def name_of(rows: Sequence[PromptRow]) -> str:
    """The name under which rows are kept."""
    return PREFIX + digest_of(_distinct(rows))


def save(rows: Sequence[PromptRow], title: str, pair: str, repeated: int = 0) -> OwnPrompts:
    """Keep a set; the same rows again only get the new title. `repeated`: see OwnPrompts.

    Raises:
        UserError: there are no rows, or the folder cannot be written.
    """
    if not rows:
        raise UserError("There are no prompts to save. Write at least one row.")
    shown = " ".join(title.split())[:LONGEST_TITLE] or "Own prompts"
    once = _distinct(rows)
    repeated += len(rows) - len(once)
    task = OwnPrompts(once, shown, pair, datetime.now(UTC).isoformat(timespec="seconds"), repeated)
    content = {
        "title": shown,
        "pair": pair,
        "saved": task.saved,
        "repeated": repeated,
        "rows": [asdict(row) for row in once],
    }
    _SAVED.write(task.name, json.dumps(content, ensure_ascii=False, indent=1))
    return task


def repeats_told(repeated: int, unit: str) -> tuple[str, ...]:
    """That rows or problems of a file were there more than once, as what is counted is another number than theirs."""
    if not repeated:
        return ()
    rows, others = (unit, "another") if repeated == 1 else (f"{unit}s", "others")
    return (f"{repeated} more {rows} said the same as {others}: each counts once.",)


def _task_of(content: Any, file: Path) -> OwnPrompts:
    """The set that a file's JSON describes."""
    rows = [
        PromptRow(str(r["clean"]), str(r["corrupted"]), tuple(map(str, r["answers"])), tuple(map(str, r["foils"])))
        for r in content["rows"]
    ]
    title, pair, saved = (str(content[name]) for name in ("title", "pair", "saved"))
    return OwnPrompts(rows, title, pair, saved, int(content.get("repeated", 0)))


_SAVED = SavedTasks(PREFIX, "", "own prompts", "Save the same prompts again", _task_of)
is_own, file_of, load, delete, saved_sets = _SAVED.is_name, _SAVED.file_of, _SAVED.load, _SAVED.delete, _SAVED.all
