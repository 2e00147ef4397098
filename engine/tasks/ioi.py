"""Indirect object identification (Wang et al. 2022): who receives, when one of two people acts?

"When Mary and John went to the store , John gave a drink to" -> "Mary". The twin lets the other
person act, so that the answer changes and everything else stays.
"""

from __future__ import annotations

import random

from engine.tasks.base import END, OTHER, Example, Family, Split, split_of

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


class IOI:
    name = "ioi"
    title = "Indirect object identification"
    family: Family = "prefix-dominant"
    blurb = "Two people, one acts: name the other. The answer is a copy of an earlier name."
    parallel = True

    def sample(self, rng: random.Random, split: Split) -> Example:
        while True:
            subject, other = rng.sample(NAMES, 2)
            template = rng.randrange(len(TEMPLATES))
            first, second = sorted((subject, other))
            content = f"ioi/{template}/{first}/{second}"
            if split_of(content) == split:
                break
        a, b = (subject, other) if rng.random() < 0.5 else (other, subject)
        slots = {"a": a, "b": b, "place": rng.choice(PLACES), "object": rng.choice(OBJECTS)}
        return Example(
            prompt=TEMPLATES[template].format(s=subject, **slots),
            answer=other,
            corrupt_prompt=TEMPLATES[template].format(s=other, **slots),
            corrupt_answer=subject,
            content=content,
        )

    def check(self, prompt: str, answer: str) -> bool:
        named = [word for word in prompt.split() if word in NAMES]
        once = [name for name in named if named.count(name) == 1]
        return len(named) == 3 and once == [answer]

    def roles(self, example: Example) -> tuple[list[str], list[str]]:
        prompt = example.prompt.split()
        names = [word for word in prompt if word in NAMES]
        found: list[str] = []
        for i, word in enumerate(prompt):
            if word in NAMES and names.count(word) == 1:
                found.append("indirect object")
            elif word in NAMES:
                found.append("second subject" if word in prompt[:i] else "subject")
            else:
                found.append("place" if word in PLACES else "object" if word in OBJECTS else OTHER)
        return [*found[:-1], END], ["answer"]

    def words(self) -> list[str]:
        slots = {"a": "", "b": "", "s": "", "place": "", "object": ""}
        frame = dict.fromkeys(word for t in TEMPLATES for word in t.format(**slots).split())
        return [*frame, *NAMES, *PLACES, *OBJECTS]
