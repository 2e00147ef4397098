"""A reader's own prompts as a task: rows of a clean and a corrupted prompt with answer and foil, kept in a file.

A set is `<digest>.json` in settings.prompts_dir(). The digest is of the rows alone, so the task's name
"own-<digest>" stands for the numbers that come of it, whatever the set is called. A row that is there twice counts
once; rows that contradict each other are no task (engine/tasks/row_conflicts.py).
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING

from engine import settings
from engine.errors import UserError
from engine.files.reading import read_json, read_text
from engine.files.writing import write_whole
from engine.models.example import Example
from engine.tasks.base import END, OTHER, WORD, Family, Listed, Split
from engine.tasks.row_conflicts import contradictions, repeats

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

PREFIX = "own-"
NAME = re.compile(r"own-[0-9a-f]{12}")
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
        found = contradictions(self.rows[:n])
        for row, (other, why) in found.items():
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
            found = ["changed" if a != b else OTHER for a, b in zip(clean, corrupted, strict=True)]
        else:
            found = [OTHER] * len(clean)
        return [*found[:-1], END], ["answer"] * len(example.answer.split())

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
    found = OwnPrompts(once, shown, pair, datetime.now(UTC).isoformat(timespec="seconds"), repeated)
    told = {"title": shown, "pair": pair, "saved": found.saved, "repeated": repeated}
    content = {**told, "rows": [asdict(row) for row in once]}
    file = file_of(found.name)
    try:
        write_whole(file, json.dumps(content, ensure_ascii=False, indent=1))
    except OSError as error:
        raise UserError(f"The prompts cannot be saved in {file.parent}: {error.strerror}.") from error
    return found


def load(name: str) -> OwnPrompts:
    """The saved set of that name.

    Raises:
        UserError: it is gone, or its file is not what was saved.
    """
    file = file_of(name)
    try:
        stat = file.stat()
    except OSError as error:
        raise UserError(f"The own prompts {name} are gone: there is no {file}. Save the same prompts again.") from error
    return _read(file, stat.st_size, stat.st_mtime_ns)


def delete(name: str) -> None:
    """Remove a set; what was computed for it stays in the cache."""
    file_of(name).unlink(missing_ok=True)


def saved_sets() -> list[OwnPrompts]:
    """Every set that can be read, newest last."""
    found = []
    for file in settings.prompts_dir().glob("*.json"):
        name = PREFIX + file.stem
        if NAME.fullmatch(name):
            try:
                found.append(load(name))
            except UserError:
                continue  # a damaged file does not hide the others; asked for by name, it says what it is
    return sorted(found, key=lambda one: (one.saved, one.name))


def repeats_told(repeated: int, unit: str) -> tuple[str, ...]:
    """That rows or problems of a file were there more than once, as what is counted is another number than theirs."""
    if not repeated:
        return ()
    rows, others = (unit, "another") if repeated == 1 else (f"{unit}s", "others")
    return (f"{repeated} more {rows} said the same as {others}: each counts once.",)


def is_own(name: str) -> bool:
    return NAME.fullmatch(name) is not None


def file_of(name: str) -> Path:
    if not is_own(name):
        raise UserError(f"{name!r} is not the name of own prompts, which looks like own-0123456789ab.")
    return settings.prompts_dir() / f"{name.removeprefix(PREFIX)}.json"


@lru_cache(maxsize=64)
def _read(file: Path, size: int, modified: int) -> OwnPrompts:
    """A set's file, read again only when its size or time of change is another."""
    try:
        content = read_json(read_text(file, str(file)), str(file))
        rows = [
            PromptRow(str(r["clean"]), str(r["corrupted"]), tuple(map(str, r["answers"])), tuple(map(str, r["foils"])))
            for r in content["rows"]
        ]
        title, pair, saved = (str(content[name]) for name in ("title", "pair", "saved"))
        found = OwnPrompts(rows, title, pair, saved, int(content.get("repeated", 0)))
    except (UserError, ValueError, OverflowError, KeyError, TypeError, AttributeError) as error:
        raise UserError(f"The own prompts in {file} cannot be read. Delete the file and save them again.") from error
    if file_of(found.name) != file or not rows:
        raise UserError(f"The own prompts in {file} were changed. Delete the file and save them again.")
    return found
