"""COUNTDOWN as published for base models: an instruction, worked examples, the problem."""

from __future__ import annotations

from engine.tasks.countdown.problems import PublishedProblem, is_solved
from engine.tasks.countdown.published import INSTRUCTIONS, few_shot, last_lines, prompt_of

ROW = PublishedProblem((9, 5, 3), 24, "5*3=15,15+9=24")
OTHER = PublishedProblem((9, 5, 3), 42, "9+5=14,14*3=42")


def test_a_prompt_is_an_instruction_four_solved_problems_and_the_question() -> None:
    instruction, *shots, question = prompt_of(ROW).split("\n\n")
    assert instruction == INSTRUCTIONS[3] and question == last_lines("9,5,3,24") == "Input: 9,5,3,24\nOutput:"
    assert len(shots) == 4
    for shot in shots:
        asked, output = (line.partition(": ")[2] for line in shot.split("\n"))
        *operands, target = map(int, asked.split(","))
        assert is_solved(operands, target, output)


def test_an_example_has_both_problems_after_the_same_worked_examples() -> None:
    example = few_shot(ROW, OTHER)
    assert (example.answer, example.corrupt_answer, example.content) == (ROW.output, OTHER.output, ROW.content)
    assert example.prompt.replace("9,5,3,24", "9,5,3,42") == example.corrupt_prompt and example.join == " "
