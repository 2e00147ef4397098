"""Greater-than (Hanna et al. 2023): a war that began in 17 32 ended in 17 33 or later.

Every two-digit number above the start year is right, so the metric is the log-odds of the right
against the wrong numbers. The corrupted start year ends in 01, after which nearly everything is right.

The usual prompts, on which the embedded pair was trained, are all of the first template. The others pose the same
problems, so that what is held out in one is in all: some near the first one, some where the years are named elsewhere.

As natural text years are written "1732". A tokenizer that keeps both halves together leaves no place to ask for the
second one, so such years are not used. Where a tokenizer cuts every digit, a candidate stands for its first digit, and
the corrupted answer ends in the same digit: after 1732 the digits 4 to 9 are right, 0 to 2 wrong, and 3, which begins
later and earlier years, counts as neither.
"""

from __future__ import annotations

import random
import re
from typing import TYPE_CHECKING

from engine.errors import UserError
from engine.models.encoding import Ids, spell
from engine.models.example import Example
from engine.tasks.base import END, OTHER, WORD, Family, Split, Task, split_of
from engine.tasks.natural import Natural, as_written
from engine.tasks.templates import Templated

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

NOUNS = (
    "war siege famine voyage drought trial strike dynasty expedition rebellion plague treaty reign campaign "
    "project journey"
).split()
CENTURIES = [str(century) for century in range(11, 20)]
YEARS = [f"{year:02d}" for year in range(100)]
TEMPLATES = (  # in words that the first one, IOI and the other tasks have as well: the embedded pair knows no others
    "The {noun} lasted from the year {century} {start} to the year {century}",
    "The {noun} went from the year {century} {start} to the year {century}",
    "Then the {noun} arrived and lasted from the year {century} {start} to the year {century}",
    "The {noun} was long , from the year {century} {start} to the year {century}",
    "Then , from the year {century} {start} , the {noun} lasted to the year {century}",
    "The year was {century} {start} when the {noun} arrived , and it lasted to the year {century}",
)
CORRUPT_START = "01"
FEWEST_YEARS = 30  # of a century that natural text uses
FEWEST_IN_ALL = 300  # of all those centuries: enough held-out problems to measure accuracy on


class GreaterThan(Templated):
    name = "greater_than"
    title = "Greater-than"
    family: Family = "prefix-dominant"
    blurb = "An event starts in a year: name a later year of the same century."
    parallel = True
    guess = 0.5  # as many right numbers as wrong ones, over all start years
    piece = WORD
    templates = TEMPLATES

    @property
    def wording(self) -> str:
        """The template that problems are asked in: usually the first one only."""
        return TEMPLATES[max(0, self.template - 1)]

    def sample(self, rng: random.Random, split: Split) -> Example:
        while True:
            slots = {"noun": rng.choice(NOUNS), "century": rng.choice(CENTURIES)}
            start = rng.randrange(2, 99)
            content = content_of(slots["noun"], slots["century"], start)
            if split_of(content) == split:
                break
        return Example(
            prompt=self.wording.format(start=YEARS[start], **slots),
            answer=YEARS[rng.randrange(start + 1, 100)],
            corrupt_prompt=self.wording.format(start=CORRUPT_START, **slots),
            corrupt_answer=YEARS[rng.randrange(2, start + 1)],
            content=content,
            right=tuple(YEARS[start + 1 :]),
            wrong=tuple(YEARS[: start + 1]),
        )

    def check(self, prompt: str, answer: str) -> bool:
        start = re.search(r"\b\d\d ?(\d\d)\b", prompt)
        return start is not None and answer in YEARS and int(answer) > int(start[1])

    def roles(self, example: Example) -> tuple[list[str], list[str]]:
        named = {"{noun}": "noun", "{century}": "start century", "{start}": "start year"}
        return [*(named.get(slot, OTHER) for slot in self.wording.split()[:-1]), END], ["answer"]

    def words(self) -> list[str]:
        frame = TEMPLATES[0].format(noun="", century="", start="").split()
        return [*dict.fromkeys(frame), *NOUNS, *CENTURIES, *YEARS]

    def natural(self, tokenizer: PreTrainedTokenizerBase) -> Task:
        return NaturalGreaterThan(tokenizer).with_template(self.template)


class NaturalGreaterThan(Natural, GreaterThan):
    """`years`: by century, the tokens of every two-digit number that can follow it."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        super().__init__(tokenizer)
        all_years = {century: _years(century, tokenizer) for century in CENTURIES}
        self.years = {
            c: years for c, years in all_years.items() if len(years) >= FEWEST_YEARS and CORRUPT_START in years
        }
        if sum(map(len, self.years.values())) < FEWEST_IN_ALL:
            counts = ", ".join(f"{century} {len(years)}" for century, years in all_years.items())
            raise UserError(
                f"{self.title}: this tokenizer cuts too few years into a century and a rest that follows it (by "
                f"century: {counts}). {FEWEST_IN_ALL} are needed, in centuries with {FEWEST_YEARS} or more and "
                f"{CORRUPT_START} among them."
            )

    def draw(self, rng: random.Random, split: Split) -> Example:
        while True:
            noun, century = rng.choice(NOUNS), rng.choice(list(self.years))
            tokens = self.years[century]
            start = rng.choice([year for year in tokens if year > CORRUPT_START])
            content = content_of(noun, century, int(start))
            later, earlier = _answers(tokens, start)
            if split_of(content) == split and later:
                break
        answer = rng.choice(later)
        slots = {"noun": noun, "century": century}
        text = natural_text(self.wording)
        return Example(
            prompt=text.format(start=start, **slots),
            answer=answer,
            corrupt_prompt=text.format(start=CORRUPT_START, **slots),
            corrupt_answer=rng.choice([year for year in earlier if tokens[year][1:] == tokens[answer][1:]]),
            content=content,
            right=tuple(year for year in tokens if year > start),
            wrong=tuple(year for year in tokens if year <= start),
            join="",
        )

    def roles(self, example: Example) -> tuple[list[str], list[str]]:
        prompt = self.piece.findall(example.prompt)
        years = [i for i, piece in enumerate(prompt) if piece.isdecimal()]  # four digits, then two
        named = dict(zip(years[:4], ["start century"] * 2 + ["start year"] * 2, strict=True))
        roles = [named.get(i, "noun" if piece in NOUNS else OTHER) for i, piece in enumerate(prompt)]
        return [*roles[:-2], END, END], ["answer"] * 2


def content_of(noun: str, century: str, start: int) -> str:
    return f"greater_than/{noun}/{century}/{start}"


def natural_text(template: str) -> str:
    """A template as people write it: "1732, and" instead of "17 32 , and"."""
    return as_written(template.replace("{century} {start}", "{century}{start}"))


def _years(century: str, tokenizer: PreTrainedTokenizerBase) -> dict[str, Ids]:
    """Two-digit number -> its tokens after a century, for those that do not run together with it."""
    tokens: dict[str, Ids] = {}
    for year in YEARS:
        prompt = natural_text(TEMPLATES[0]).format(noun=NOUNS[0], century=century, start=year)
        try:
            tokens[year] = spell(prompt, year, "", tokenizer).answer
        except UserError:
            continue
    return tokens


def _answers(tokens: dict[str, Ids], start: str) -> tuple[list[str], list[str]]:
    """Later and earlier numbers: the first token tells which they are, the tokens after it are on both sides."""
    sides = [[y for y in tokens if y > start], [y for y in tokens if y <= start]]
    later, earlier = ({tokens[y][0] for y in side} for side in sides)
    right = [y for y in sides[0] if tokens[y][0] not in earlier]
    wrong = [y for y in sides[1] if tokens[y][0] not in later and y > CORRUPT_START]
    ends = {tokens[y][1:] for y in right} & {tokens[y][1:] for y in wrong}
    return [y for y in right if tokens[y][1:] in ends], [y for y in wrong if tokens[y][1:] in ends]
