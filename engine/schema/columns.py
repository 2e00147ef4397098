"""What a column and a table are, and short ways of describing the columns that occur often.

Bounds are those of sound numbers, not of usual ones: whatever lies within them the pages can show. A bound can be a
size of the run by its name (`engine/exchange/column_checks.py`, Sizes), which a value is then below.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

Size = int | str  # a number, or a size of the run by its name
Stored = Literal["bool", "uint8", "int32", "int64", "float32", "text", "part"]
Range = tuple[int, int]  # the least and the most entries of a list

LARGEST = 1e12  # of numbers without a bound of their own: sums and squares of them are still numbers
SLACK = 1e-3  # by which a share, a probability or a cosine may pass its bound: they are rounded sums
MOST_COUNT = 10_000_000  # of tokens, ranks
MOST_IN_ALL = 1_000_000_000_000  # activations of a layer
MOST_TOKENS = 100_000  # of an input
MOST_ANSWER = 1000  # tokens of an answer, and so denoising steps
MOST_SHOWN = 100  # tokens that a lens shows
MOST_ROLES = 1000
MOST_INPUTS = 100  # of which every token's detail is kept
MOST_PATTERN = 2**26  # numbers of an attention pattern
LONGEST_TEXT = 1000  # characters of a token or a name

PER_INPUT: Range = (1, MOST_TOKENS)  # an entry per token of an input
PER_INPUT_OR_NONE: Range = (0, MOST_TOKENS)
PER_ANSWER: Range = (1, MOST_ANSWER)  # an entry per token of an answer
SHOWN: Range = (1, MOST_SHOWN)
SHOWN_OR_NONE: Range = (0, MOST_SHOWN)


@dataclass(frozen=True)
class Column:
    """A column of a table.

    `type`: of a value, or of an entry where the column holds lists. part: a text, the name of a part of the run.
    `meaning`: what a value says; empty where the name says it.
    `low`, `high`: the least and the largest value; a size that is named is beyond the largest.
    `items`: the least and the most entries of a list; None: the column holds single values.
    `nullable`: a value may be missing.
    `artifact`: the kind of artifact that holds it (engine/schema/artifacts.py); empty: its table's.
    `one_of`: the only texts there are; of a part: others than answer positions and steps.
    """

    name: str
    type: Stored
    meaning: str = ""
    unit: str = ""
    low: float = -LARGEST
    high: float | str = LARGEST
    items: Range | None = None
    nullable: bool = False
    one_of: tuple[str, ...] = ()
    artifact: str = ""

    @property
    def kind(self) -> str:
        """bool, int, float or text: what it holds, however large."""
        return {"uint8": "int", "int32": "int", "int64": "int", "float32": "float", "part": "text"}.get(
            self.type, self.type
        )


@dataclass(frozen=True)
class Table:
    """A table of a run.

    `row`: what a row is; `order`: how rows are sorted.
    `most`: how many rows it has at most, a product of sizes; `whole`: it has exactly so many.
    `numbered`: columns that number the rows, each from 0 to below its size, the last fastest.
    `alike`: list columns whose lists are equally long in each row.
    `mdm_only`: an ARM's is empty. No other table is.
    `artifact`: the kind of artifact that holds it, but for the columns that name another.
    """

    name: str
    columns: tuple[Column, ...]
    row: str
    order: str
    most: tuple[Size, ...]
    whole: bool = False
    numbered: tuple[tuple[str, str], ...] = ()
    alike: tuple[tuple[str, ...], ...] = ()
    mdm_only: bool = False
    artifact: str = "circuit"


def index(name: str, below: Size, meaning: str = "", items: Range | None = None) -> Column:
    """A number from 0 to below a size of the run, or below a number."""
    return Column(name, "int32", meaning, low=0, high=below if isinstance(below, str) else below - 1, items=items)


def count(
    name: str,
    unit: str,
    meaning: str = "",
    low: int = 0,
    high: float | str = MOST_COUNT,
    items: Range | None = None,
    type: Stored = "int32",
) -> Column:
    """A whole number, not below zero if `low` does not say so."""
    return Column(name, type, meaning, unit, low, high, items)


def real(name: str, unit: str = "", meaning: str = "", items: Range | None = None) -> Column:
    """Any number."""
    return Column(name, "float32", meaning, unit, items=items)


def positive(name: str, unit: str, meaning: str = "") -> Column:
    """A number not below zero but by rounding."""
    return Column(name, "float32", meaning, unit, low=-SLACK)


def share(name: str, unit: str = "probability", meaning: str = "", items: Range | None = None) -> Column:
    """A number from 0 to 1 but for rounding."""
    return Column(name, "float32", meaning, unit, -SLACK, 1 + SLACK, items)


def cosine(name: str, meaning: str = "", items: Range | None = None, nullable: bool = False) -> Column:
    """A number from -1 to 1 but for rounding."""
    return Column(name, "float32", meaning, "cosine", -1 - SLACK, 1 + SLACK, items, nullable)


def held_by(artifact: str, *columns: Column) -> tuple[Column, ...]:
    """The columns, as those that a kind of artifact holds."""
    return tuple(replace(column, artifact=artifact) for column in columns)


def text(name: str, meaning: str = "", items: Range | None = None, one_of: tuple[str, ...] = ()) -> Column:
    """A token or a name."""
    return Column(name, "text", meaning, items=items, one_of=one_of)
