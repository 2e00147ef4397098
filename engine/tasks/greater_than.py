"""Greater-than (Hanna et al. 2023): a war that began in 17 32 ended in 17 33 or later.

Every two-digit number above the start year is right, so the metric is the log-odds of the right
against the wrong numbers. The twin's start year ends in 01, after which nearly everything is right.
"""

from __future__ import annotations

import random

from engine.tasks.base import END, OTHER, Example, Family, Split, split_of

NOUNS = (
    "war siege famine voyage drought trial strike dynasty expedition rebellion plague treaty reign campaign "
    "project journey"
).split()
CENTURIES = [str(century) for century in range(11, 20)]
YEARS = [f"{year:02d}" for year in range(100)]
TEMPLATE = "The {noun} lasted from the year {century} {start} to the year {century}"
TWIN_START = "01"


class GreaterThan:
    name = "greater_than"
    title = "Greater-than"
    family: Family = "prefix-dominant"
    blurb = "An event starts in a year: name a later year of the same century."
    parallel = True

    def sample(self, rng: random.Random, split: Split) -> Example:
        while True:
            slots = {"noun": rng.choice(NOUNS), "century": rng.choice(CENTURIES)}
            start = rng.randrange(2, 99)
            content = f"greater_than/{slots['noun']}/{slots['century']}/{start}"
            if split_of(content) == split:
                break
        return Example(
            prompt=TEMPLATE.format(start=YEARS[start], **slots),
            answer=YEARS[rng.randrange(start + 1, 100)],
            corrupt_prompt=TEMPLATE.format(start=TWIN_START, **slots),
            corrupt_answer=YEARS[rng.randrange(2, start + 1)],
            content=content,
            right=tuple(YEARS[start + 1 :]),
            wrong=tuple(YEARS[: start + 1]),
        )

    def check(self, prompt: str, answer: str) -> bool:
        start = prompt.split()[7]
        return answer in YEARS and int(answer) > int(start)

    def roles(self, example: Example) -> tuple[list[str], list[str]]:
        named = {"{noun}": "noun", "{century}": "start century", "{start}": "start year"}
        return [*(named.get(slot, OTHER) for slot in TEMPLATE.split()[:-1]), END], ["answer"]

    def words(self) -> list[str]:
        frame = TEMPLATE.format(noun="", century="", start="").split()
        return [*dict.fromkeys(frame), *NOUNS, *CENTURIES, *YEARS]
