"""What a task owes: examples with token-aligned corrupted twins, a checker, and a held-out split.

A task speaks in words separated by single spaces, so that the same examples can be read by any
tokenizer that keeps those words whole. The split is a hash of an example's *content* (what makes it
the problem it is), so training code can never see a held-out problem, whichever seed it uses.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal, Protocol

Split = Literal["train", "heldout"]
Family = Literal["prefix-dominant", "globally constrained", "own prompts"]

HELDOUT_SHARE = 10  # one problem in this many is held out
OTHER = "other"  # the role of a word that is only frame
END = "end"  # the role of a prompt's last word


@dataclass(frozen=True)
class Example:
    """One problem and its corrupted twin, token-aligned: |x| = |x'| and |y| = |y'|.

    `right` and `wrong` are candidate answer words where several answers are right (greater-than);
    empty where the answer word alone is right.
    """

    prompt: str
    answer: str
    corrupt_prompt: str
    corrupt_answer: str
    content: str
    right: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()


class Task(Protocol):
    """A generator of problems with a checker. `sample` must only return content of its split."""

    name: str
    title: str
    family: Family
    blurb: str
    parallel: bool
    """True when the MDM decodes the whole answer in one denoising step (IOI); else one token a step."""

    def sample(self, rng: random.Random, split: Split) -> Example: ...

    def check(self, prompt: str, answer: str) -> bool:
        """Whether `answer` solves `prompt`; any right answer counts, not only the generator's."""
        ...

    def roles(self, example: Example) -> tuple[list[str], list[str]]:
        """What every word of the prompt and every word of the answer is in this problem, in the task's own terms.

        A role is a short lower-case name, the same in every example; `OTHER` where a word is only frame.
        """
        ...

    def words(self) -> list[str]:
        """Every word that prompts and answers can contain, in a fixed order."""
        ...


def split_of(content: str) -> Split:
    """The split that owns a problem: sha256 of its content, one in `HELDOUT_SHARE` held out."""
    digest = hashlib.sha256(content.encode()).digest()
    return "heldout" if int.from_bytes(digest[:8], "big") % HELDOUT_SHARE == 0 else "train"


def examples(task: Task, n: int, seed: int, split: Split = "heldout") -> list[Example]:
    """The first `n` distinct examples that `seed` draws from a task's split.

    Raises:
        ValueError: the split has too few distinct examples.
    """
    return list(_distinct(task, n, random.Random(f"{task.name}/{split}/{seed}"), split))


def _distinct(task: Task, n: int, rng: random.Random, split: Split) -> Iterator[Example]:
    seen: set[str] = set()
    misses = 0
    while len(seen) < n:
        example = task.sample(rng, split)
        if example.prompt in seen:
            misses += 1
            if misses > 100 * n + 1000:
                raise ValueError(
                    f"{task.title} has too few different {split} problems: asked for {n}, "
                    f"found {len(seen)}. Ask for fewer examples."
                )
            continue
        seen.add(example.prompt)
        yield example
