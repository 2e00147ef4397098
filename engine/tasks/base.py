"""What a task has to provide: examples with token-aligned corrupted examples, a checker, and a held-out split.

A task is written in words separated by single spaces for tokenizers that keep those words whole, and as natural text
for all others (engine/tasks/natural.py). The split is a hash of an example's *content* (what makes it
the problem it is), so training code can never see a held-out problem, whichever seed it uses.
"""

from __future__ import annotations

import hashlib
import random
import re
from collections.abc import Iterator
from typing import TYPE_CHECKING, Literal, Protocol

from engine.errors import UserError
from engine.models.example import Example

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Split = Literal["train", "heldout"]
Family = Literal["prefix-dominant", "globally constrained", "own prompts"]

HELDOUT_SHARE = 10  # one problem in this many is held out
OTHER = "other"  # the role of a word that is only frame
END = "end"  # the role of a prompt's last word
WORD = re.compile(r"\S+")


class Task(Protocol):
    """A generator of problems with a checker. `sample` must only return content of its split."""

    name: str
    title: str
    family: Family
    blurb: str
    parallel: bool
    """True when the MDM decodes the whole answer in one denoising step (IOI); else one token a step."""
    guess: float
    """Share of problems that a guess among the likely answers solves."""
    piece: re.Pattern[str]
    """What has a role of its own in a text: a word, or less."""

    def sample(self, rng: random.Random, split: Split) -> Example: ...

    def check(self, prompt: str, answer: str) -> bool:
        """Whether `answer` solves `prompt`; any right answer counts, not only the generator's."""
        ...

    def roles(self, example: Example) -> tuple[list[str], list[str]]:
        """What every `piece` of the prompt and of the answer is in this problem, in the task's own terms.

        A role is a short lower-case name, the same in every example; `OTHER` where a piece is only frame.
        """
        ...

    def natural(self, tokenizer: PreTrainedTokenizerBase) -> Task:
        """The same task as plain text that larger models know, in this tokenizer's tokens.

        Raises:
            UserError: the tokenizer cuts what the task needs to keep whole.
        """
        ...


class WordTask(Task, Protocol):
    """A task that the embedded pair was trained on."""

    def words(self) -> list[str]:
        """Every word that prompts and answers can contain, in a fixed order."""
        ...


class Listed:
    """A task of given rows instead of drawn ones."""

    name: str
    title: str
    unit = "row"  # what an example is called

    @property
    def remarks(self) -> tuple[str, ...]:
        """What to know of numbers that come of these rows, in sentences."""
        return ()

    def example(self, row: int) -> Example:
        raise NotImplementedError

    def __len__(self) -> int:
        raise NotImplementedError

    def refuse_more(self, n: int) -> None:
        """UserError when there are fewer than `n` rows."""
        if n > len(self):
            rows = f"{len(self)} {self.unit}" + ("s" if len(self) != 1 else "")
            raise UserError(f"{self.title} has {rows}, but {n} examples were asked for. Ask for {len(self)}.")

    def first(self, n: int) -> list[Example]:
        """The first `n` rows.

        Raises:
            UserError: there are fewer.
        """
        self.refuse_more(n)
        return [self.example(row) for row in range(n)]


def split_of(content: str) -> Split:
    """The split that owns a problem: sha256 of its content, one in `HELDOUT_SHARE` held out."""
    digest = hashlib.sha256(content.encode()).digest()
    return "heldout" if int.from_bytes(digest[:8], "big") % HELDOUT_SHARE == 0 else "train"


def examples(task: Task, n: int, seed: int, split: Split = "heldout") -> list[Example]:
    """The first `n` distinct examples that `seed` draws from a task's split.

    Raises:
        UserError: the split has too few distinct examples.
    """
    return list(_distinct(task, n, random.Random(f"{task.name}/{split}/{seed}"), split))


def _distinct(task: Task, n: int, rng: random.Random, split: Split) -> Iterator[Example]:
    prompts: set[str] = set()
    misses = 0
    while len(prompts) < n:
        example = task.sample(rng, split)
        if example.prompt in prompts:
            misses += 1
            if misses > 100 * n + 1000:
                raise UserError(
                    f"{task.title} has too few different {split} problems: asked for {n}, "
                    f"found {len(prompts)}. Ask for fewer examples."
                )
            continue
        prompts.add(example.prompt)
        yield example
