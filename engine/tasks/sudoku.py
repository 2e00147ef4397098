"""SUDOKU 4x4: fill the grid so that rows, columns and 2x2 blocks hold 1 to 4.

The prompt lists 16 cells with "_" for blanks and has exactly one solution; the answer is the whole grid.
The corrupted puzzle swaps two digits everywhere, which keeps it a puzzle with exactly one solution.

As natural text it has the instruction, worked examples and the format of Dream's evaluation (Ye et al. 2025,
arXiv 2508.15487): grids of four lines "0321", 0 for blanks. Where a tokenizer puts several digits into one token, a
space stands between the cells, so that each has a token of its own.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from functools import cache
from itertools import permutations, product
from typing import TYPE_CHECKING

from engine.models.encoding import spell
from engine.models.example import Example
from engine.tasks.base import END, OTHER, WORD, Family, Split, Task, split_of
from engine.tasks.natural import SHOT, SHOTS, Natural, pieces

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

DIGITS = "1234"
BLANK = "_"
BLANKS = range(6, 11)  # how many of the 16 cells are empty
INSTRUCTION = (
    "Fill the positions where the values are 0 in a 4x4 grid with digits 1-4 so that each column, each row, and each "
    "of the four 2x2 subgrids that compose the grid contains all of the digits from 1 to 4."
)


@dataclass(frozen=True)
class Puzzle:
    """16 cells with `BLANK` for empty ones, the only solution, and two digits that the corrupted puzzle swaps."""

    cells: str
    solution: str
    swapped: tuple[str, str]

    @property
    def content(self) -> str:
        return f"sudoku/{self.cells}"

    @property
    def corrupted(self) -> Puzzle:
        a, b = self.swapped
        swap = str.maketrans(a + b, b + a)
        return Puzzle(self.cells.translate(swap), self.solution.translate(swap), self.swapped)


class Sudoku:
    name = "sudoku"
    title = "SUDOKU 4x4"
    family: Family = "globally constrained"
    blurb = "Fill a 4x4 grid: every cell depends on cells before and after it."
    parallel = False
    guess = 0.0
    piece = WORD

    def sample(self, rng: random.Random, split: Split) -> Example:
        puzzle = draw_puzzle(rng, split)
        corrupted = puzzle.corrupted
        return Example(
            prompt=_prompt(puzzle.cells),
            answer=" ".join(puzzle.solution),
            corrupt_prompt=_prompt(corrupted.cells),
            corrupt_answer=" ".join(corrupted.solution),
            content=puzzle.content,
        )

    def check(self, prompt: str, answer: str) -> bool:
        puzzle = "".join(prompt.split()[1:17])
        grid = "".join(answer.split())
        fits = len(grid) == 16 and all(clue in (BLANK, digit) for clue, digit in zip(puzzle, grid, strict=True))
        return fits and all(sorted(grid[i] for i in unit) == list(DIGITS) for unit in _units())

    def roles(self, example: Example) -> tuple[list[str], list[str]]:
        blank = [word == BLANK for word in example.prompt.split()[1:17]]
        cells = ["blank" if empty else "clue" for empty in blank]
        filled = ["filled cell" if empty else "given cell" for empty in blank]
        return [OTHER, *cells, END], filled

    def words(self) -> list[str]:
        return ["sudoku", BLANK, ":", *DIGITS]

    def natural(self, tokenizer: PreTrainedTokenizerBase) -> Task:
        return FewShotSudoku(tokenizer)


class FewShotSudoku(Natural, Sudoku):
    """`gap`: what stands between the cells of a line."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase) -> None:
        super().__init__(tokenizer)
        together = {len(spell("Output:", "".join(row), "\n", tokenizer).answer) for row in permutations("01234", 4)}
        self.gap = "" if together == {4} else " "

    def draw(self, rng: random.Random, split: Split) -> Example:
        puzzle = draw_puzzle(rng, split)
        corrupted = puzzle.corrupted
        return Example(
            prompt=self.prompt_of(puzzle),
            answer=self.lines(puzzle.solution),
            corrupt_prompt=self.prompt_of(corrupted),
            corrupt_answer=self.lines(corrupted.solution),
            content=puzzle.content,
            join="\n",
        )

    def check(self, prompt: str, answer: str) -> bool:
        """As in words; what follows an empty line is no part of the answer."""
        return super().check(_prompt(_asked(prompt)), " ".join(answer.partition("\n\n")[0].split()))

    def roles(self, example: Example) -> tuple[list[str], list[str]]:
        cells = _asked(example.prompt)
        clues = ["blank" if cell == BLANK else "clue" for cell in cells]
        filled = ["filled cell" if cell == BLANK else "given cell" for cell in cells]
        own = [OTHER, OTHER, *clues, OTHER, END]  # "Input", ":", the cells, "Output" and ":"
        before = len(pieces(example.prompt)) - len(own)
        instruction = min(before, len(pieces(INSTRUCTION)))
        return [OTHER] * instruction + [SHOT] * (before - instruction) + own, filled

    def plain(self) -> Task:
        return PlainSudoku(self.tokenizer)

    def prompt_of(self, puzzle: Puzzle) -> str:
        shots = "".join(f"{self._asking(shot)}\n{self.lines(shot.solution)}\n\n" for shot in _shots())
        return f"{INSTRUCTION}\n\n{shots}{self._asking(puzzle)}"

    def lines(self, cells: str) -> str:
        rows = (cells[start : start + 4].replace(BLANK, "0") for start in range(0, 16, 4))
        return "\n".join(self.gap.join(row) for row in rows)

    def _asking(self, puzzle: Puzzle) -> str:
        return f"Input:\n{self.lines(puzzle.cells)}\nOutput:"


class PlainSudoku(FewShotSudoku):
    """In the same format, without instruction and worked examples."""

    def prompt_of(self, puzzle: Puzzle) -> str:
        return self._asking(puzzle)

    def plain(self) -> Task:
        return self


def draw_puzzle(rng: random.Random, split: Split) -> Puzzle:
    while True:
        solution = rng.choice(grids())
        blank = set(rng.sample(range(16), rng.choice(BLANKS)))
        cells = "".join(BLANK if i in blank else digit for i, digit in enumerate(solution))
        if split_of(f"sudoku/{cells}") == split and len(solutions(cells)) == 1:
            break
    a, b = rng.sample(DIGITS, 2)
    return Puzzle(cells, solution, (a, b))


@cache
def grids() -> list[str]:
    """All 288 solved grids, row by row, in lexicographic order."""
    rows = ["".join(row) for row in permutations(DIGITS)]
    filled = ("".join(four) for four in product(rows, repeat=4))
    return [grid for grid in filled if all(len({grid[i] for i in unit}) == 4 for unit in _units())]


def solutions(puzzle: str) -> list[str]:
    """Every grid that agrees with a puzzle's clues, both as 16 characters."""
    clues = [(i, clue) for i, clue in enumerate(puzzle) if clue != BLANK]
    return [grid for grid in grids() if all(grid[i] == clue for i, clue in clues)]


@cache
def _shots() -> tuple[Puzzle, ...]:
    """Worked examples; none of them is held out."""
    rng = random.Random("sudoku/shots")
    return tuple(draw_puzzle(rng, "train") for _ in range(SHOTS))


def _asked(prompt: str) -> str:
    """The 16 cells of a prompt's last puzzle."""
    grid = prompt.rpartition("Input:")[2].partition("Output:")[0]
    return "".join(grid.split()).replace("0", BLANK)


def _prompt(puzzle: str) -> str:
    return f"sudoku {' '.join(puzzle)} :"


@cache
def _units() -> list[list[int]]:
    rows = [[4 * r + c for c in range(4)] for r in range(4)]
    columns = [[4 * r + c for r in range(4)] for c in range(4)]
    blocks = [[4 * (2 * r + i) + 2 * c + j for i in range(2) for j in range(2)] for r in range(2) for c in range(2)]
    return rows + columns + blocks
