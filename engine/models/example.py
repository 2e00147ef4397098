"""One problem of a task as text: prompt and answer, and the corrupted ones that activations are patched from."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Example:
    """One problem and its corrupted example, token-aligned: |x| = |x'| and |y| = |y'|.

    `right` and `wrong` are candidate answer words where several answers are right (greater-than);
    empty where the answer word alone is right. `join`: the text between prompt and answer where they are one
    text; None where each is tokenised by itself.
    """

    prompt: str
    answer: str
    corrupt_prompt: str
    corrupt_answer: str
    content: str
    right: tuple[str, ...] = ()
    wrong: tuple[str, ...] = ()
    join: str | None = None
