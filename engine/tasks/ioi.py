"""Indirect object identification (Wang et al. 2022): who receives, when one of two people acts?

"When Mary and John went to the store , John gave a drink to" -> "Mary". The corrupted prompt lets the other
person act, so that the answer changes and everything else stays. As natural text punctuation follows words at once, and
names, places and objects are those that are single tokens.
"""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from engine.models.example import Example
from engine.tasks.base import END, OTHER, WORD, Family, Split, Task, split_of
from engine.tasks.natural import Natural, as_written, cut_alike
from engine.tasks.templates import Templated

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

NAMES = (
    "Mary John Alice Bob Carol David Emma Frank Grace Henry Irene Jack Karen Leo Maria Nick Olivia Paul "
    "Rachel Sam Tina Victor Wendy Adam Bella Chris Diana Eric Fiona George Helen Ivan Julia Kevin Laura "
    "Mark Nina Oscar Petra Simon"
).split()
PLACES = "store park school office garden station library market museum beach kitchen hospital".split()
OBJECTS = "drink book letter ring ball key cake pen map coat gift phone".split()
TEMPLATES = (
    "When {a} and {b} went to the {place} , {s} gave a {object} to",
    "Then , {a} and {b} had a long talk at the {place} and {s} handed a {object} to",
    "After {a} and {b} met at the {place} , {s} decided to give a {object} to",
    "While {a} and {b} were working at the {place} , {s} passed a {object} to",
    "Friends {a} and {b} found a {object} at the {place} . {s} gave it to",
    "The {place} was quiet when {a} and {b} arrived , so {s} sold a {object} to",
)


FEWEST_NAMES, FEWEST_SLOTS = 10, 3  # with which natural text still varies


@dataclass(frozen=True)
class Scene:
    """Two people, one of whom acts, in the slots of a template."""

    template: int
    subject: str
    other: str
    slots: dict[str, str]

    @property
    def content(self) -> str:
        first, second = sorted((self.subject, self.other))
        return f"ioi/{self.template}/{first}/{second}"

    def example(self, templates: Sequence[str], join: str | None = None) -> Example:
        return Example(
            prompt=templates[self.template].format(s=self.subject, **self.slots),
            answer=self.other,
            corrupt_prompt=templates[self.template].format(s=self.other, **self.slots),
            corrupt_answer=self.subject,
            content=self.content,
            join=join,
        )


class IOI(Templated):
    name = "ioi"
    title = "Indirect object identification"
    family: Family = "prefix-dominant"
    blurb = "Two people, one acts: name the other. The answer is a copy of an earlier name."
    parallel = True
    guess = 0.5  # one of the two
    piece = WORD
    templates = TEMPLATES

    def sample(self, rng: random.Random, split: Split) -> Example:
        return draw_scene(rng, split, NAMES, PLACES, OBJECTS, self.template).example(TEMPLATES)

    def check(self, prompt: str, answer: str) -> bool:
        named = [word for word in re.findall(r"\w+", prompt) if word in NAMES]
        once = [name for name in named if named.count(name) == 1]
        return len(named) == 3 and once == [answer]

    def roles(self, example: Example) -> tuple[list[str], list[str]]:
        prompt = self.piece.findall(example.prompt)
        names = [word for word in prompt if word in NAMES]
        roles: list[str] = []
        for i, word in enumerate(prompt):
            if word in NAMES and names.count(word) == 1:
                roles.append("indirect object")
            elif word in NAMES:
                roles.append("second subject" if word in prompt[:i] else "subject")
            else:
                roles.append("place" if word in PLACES else "object" if word in OBJECTS else OTHER)
        return [*roles[:-1], END], ["answer"]

    def words(self) -> list[str]:
        slots = {"a": "", "b": "", "s": "", "place": "", "object": ""}
        frame = dict.fromkeys(word for t in TEMPLATES for word in t.format(**slots).split())
        return [*frame, *NAMES, *PLACES, *OBJECTS]

    def natural(self, tokenizer: PreTrainedTokenizerBase) -> Task:
        return NaturalIOI(tokenizer).with_template(self.template)


class NaturalIOI(Natural, IOI):
    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        super().__init__(tokenizer)
        self.names = cut_alike(NAMES, "names", FEWEST_NAMES, tokenizer)
        self.places = cut_alike(PLACES, "places", FEWEST_SLOTS, tokenizer)
        self.objects = cut_alike(OBJECTS, "objects", FEWEST_SLOTS, tokenizer)

    def draw(self, rng: random.Random, split: Split) -> Example:
        scene = draw_scene(rng, split, self.names, self.places, self.objects, self.template)
        return scene.example([as_written(template) for template in TEMPLATES], join=" ")


def draw_scene(
    rng: random.Random,
    split: Split,
    names: Sequence[str],
    places: Sequence[str],
    objects: Sequence[str],
    number: int = 0,
) -> Scene:
    """A scene of a split, in the template of that number (from 1), or in any (0)."""
    while True:
        subject, other = rng.sample(names, 2)
        template = number - 1 if number else rng.randrange(len(TEMPLATES))
        if split_of(Scene(template, subject, other, {}).content) == split:
            break
    a, b = (subject, other) if rng.random() < 0.5 else (other, subject)
    slots = {"a": a, "b": b, "place": rng.choice(places), "object": rng.choice(objects)}
    return Scene(template, subject, other, slots)
