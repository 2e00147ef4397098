"""SUDOKU 4x4: fill the grid so that rows, columns and 2x2 blocks hold 1 to 4.

The prompt lists 16 cells with "_" for blanks and has exactly one solution; the answer is the whole grid.
The twin swaps two digits everywhere, which keeps it a puzzle with exactly one solution.
"""

from __future__ import annotations

import random
from functools import cache
from itertools import permutations, product

from engine.tasks.base import END, OTHER, Example, Family, Split, split_of

DIGITS = "1234"
BLANK = "_"
BLANKS = range(6, 11)  # how many of the 16 cells are empty


class Sudoku:
    name = "sudoku"
    title = "SUDOKU 4x4"
    family: Family = "globally constrained"
    blurb = "Fill a 4x4 grid: every cell depends on cells before and after it."
    parallel = False

    def sample(self, rng: random.Random, split: Split) -> Example:
        while True:
            solution = rng.choice(grids())
            blank = set(rng.sample(range(16), rng.choice(BLANKS)))
            puzzle = "".join(BLANK if i in blank else digit for i, digit in enumerate(solution))
            content = f"sudoku/{puzzle}"
            if split_of(content) == split and len(solutions(puzzle)) == 1:
                break
        a, b = rng.sample(DIGITS, 2)
        swap = str.maketrans(a + b, b + a)
        return Example(
            prompt=_prompt(puzzle),
            answer=" ".join(solution),
            corrupt_prompt=_prompt(puzzle.translate(swap)),
            corrupt_answer=" ".join(solution.translate(swap)),
            content=content,
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


@cache
def grids() -> list[str]:
    """All 288 solved grids, row by row, in lexicographic order."""
    rows = ["".join(row) for row in permutations(DIGITS)]
    found = ("".join(four) for four in product(rows, repeat=4))
    return [grid for grid in found if all(len({grid[i] for i in unit}) == 4 for unit in _units())]


def solutions(puzzle: str) -> list[str]:
    """Every grid that agrees with a puzzle's clues, both as 16 characters."""
    clues = [(i, clue) for i, clue in enumerate(puzzle) if clue != BLANK]
    return [grid for grid in grids() if all(grid[i] == clue for i, clue in clues)]


def _prompt(puzzle: str) -> str:
    return f"sudoku {' '.join(puzzle)} :"


@cache
def _units() -> list[list[int]]:
    rows = [[4 * r + c for c in range(4)] for r in range(4)]
    columns = [[4 * r + c for r in range(4)] for c in range(4)]
    blocks = [[4 * (2 * r + i) + 2 * c + j for i in range(2) for j in range(2)] for r in range(2) for c in range(2)]
    return rows + columns + blocks
