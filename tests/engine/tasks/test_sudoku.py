from __future__ import annotations

from collections.abc import Iterator

from engine.tasks.sudoku import BLANK, BLANKS, DIGITS, Sudoku, grids, solutions
from tests.engine.tasks.conftest import drawn


def solve(cells: list[str]) -> Iterator[str]:
    """Every solution, by filling the first blank with every digit that no cell of its row, column or block has."""
    if BLANK not in cells:
        yield "".join(cells)
        return
    i = cells.index(BLANK)
    taken = {cell for j, cell in enumerate(cells) if sees(i, j)}
    for digit in DIGITS:
        if digit not in taken:
            yield from solve([*cells[:i], digit, *cells[i + 1 :]])


def sees(i: int, j: int) -> bool:
    block = i // 8 == j // 8 and i % 4 // 2 == j % 4 // 2
    return i // 4 == j // 4 or i % 4 == j % 4 or block


def puzzle_of(prompt: str) -> str:
    return "".join(word for word in prompt.split() if word in (*DIGITS, BLANK))


def test_every_grid_there_is() -> None:
    assert sorted(solve([BLANK] * 16)) == grids()
    assert len(grids()) == 288


def test_every_puzzle_has_one_solution_which_is_the_answer() -> None:
    for e in drawn("sudoku", "heldout"):
        for prompt, answer in ((e.prompt, e.answer), (e.corrupt_prompt, e.corrupt_answer)):
            assert solutions(puzzle_of(prompt)) == ["".join(answer.split())]
    for e in drawn("sudoku", "heldout")[:1000]:
        assert list(solve([*puzzle_of(e.prompt)])) == solutions(puzzle_of(e.prompt))


def test_blanks_are_as_many_as_promised_and_stay_blank_in_the_corrupted_prompt() -> None:
    counts = set()
    for e in drawn("sudoku", "heldout"):
        clean, corrupt = puzzle_of(e.prompt), puzzle_of(e.corrupt_prompt)
        assert [cell == BLANK for cell in clean] == [cell == BLANK for cell in corrupt]
        counts.add(clean.count(BLANK))
    assert counts == set(BLANKS)


def test_no_other_digit_is_right_anywhere() -> None:
    task = Sudoku()
    for e in drawn("sudoku", "heldout")[:300]:
        words = e.answer.split()
        for i, right in enumerate(words):
            for digit in set(DIGITS) - {right}:
                assert not task.check(e.prompt, " ".join([*words[:i], digit, *words[i + 1 :]]))


def test_a_valid_grid_that_ignores_the_clues_is_refused() -> None:
    task = Sudoku()
    for e in drawn("sudoku", "heldout")[:50]:
        right = [grid for grid in grids() if task.check(e.prompt, " ".join(grid))]
        assert right == ["".join(e.answer.split())]
