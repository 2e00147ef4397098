"""The flags of the command line: which values they take, and how they refuse others."""

from __future__ import annotations

import pytest

from engine.__main__ import main
from engine.flags import DEFAULTS, parser
from engine.runs.spec import LARGEST_SEED


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["run", "--tsk", "ioi"], "--tsk"),
        (["run", "--task", "chess"], "chess"),
        (["compare", "--method", "magic"], "magic"),
        (["compare", "--k", "50,many"], "many"),
        (["compare", "--n", "-3"], "-3"),
        (["compare", "--n", "10001"], "n is 10001"),
        (["compare", "--pair", "nobody"], "nobody"),
        (["run", "--model", "bert"], "bert"),
        (["run", "--model", "step:7"], "step:7"),
        (["export", "abc", "--format", "gml"], "gml"),
        (["export", "abc"], "abc"),
        (["export", "abc", "--sign", "up"], "up"),
        (["export", "abc", "--kinds", "q,w"], "'w'"),
        (["export", "abc", "--show", "most"], "most"),
        (["export", "abc", "--other", " "], "empty"),
        (["train", "--out", "x", "--precision", "fp8"], "fp8"),
        (["train"], "--out"),
        (["dance"], "dance"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else None,
)
@pytest.mark.usefixtures("workspace")
def test_bad_flags_are_refused_by_name(argv: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    try:
        code = main(argv)
    except SystemExit as stop:
        code = stop.code
    captured = capsys.readouterr()
    assert code == 2 and message in captured.err.splitlines()[-1] and captured.out == ""


@pytest.mark.parametrize("flag", ["--n", "--metric", "--pair", "--task", "--nothing"])
def test_a_value_of_any_size_leaves_errors_readable(flag: str, capsys: pytest.CaptureFixture[str]) -> None:
    codes = []
    try:
        codes.append(main(["run", flag, "x" * 100_000]))
    except SystemExit as refused:
        codes.append(refused.code)
    message = capsys.readouterr().err
    assert codes == [2] and "x" * 20 in message and len(message) < 3000


def test_without_flags_a_run_is_the_default_spec() -> None:
    given = parser().parse_args(["run"])
    assert (given.model, given.method, given.points) == (["arm", "mdm"], DEFAULTS.method, DEFAULTS.points)
    assert (given.metric, given.order, given.seed) == (DEFAULTS.metric, DEFAULTS.order, DEFAULTS.seed)
    assert (given.denoising_steps, given.template) == (0, 0)
    assert given.n is None and given.pair is None and given.task is None  # what they are depends on pair and prompts


def test_lists_hold_every_value_once_and_in_order() -> None:
    given = parser().parse_args(["run", "--model", "mdm, step:000100,mdm,step:100"])
    assert given.model == ["mdm", "step:100"]
    given = parser().parse_args(["compare", "--k", "50, 7,050", "--no-control"])
    assert (given.k, given.control, given.steps) == ([50, 7], False, False)
    assert parser().parse_args(["export", "abc", "--kinds", "mlp,q"]).kinds == ["mlp", "q"]


@pytest.mark.parametrize(
    ("argv", "message"),
    [
        (["run", "--n", "0"], "'0' is not a whole number from 1 up"),
        (["run", "--template", "two"], "'two' is not a whole number from 0 up"),
        (["run", "--denoising-steps", "-1"], "'-1' is not a whole number from 0 up"),
        (["run", "--n", "1" * 19], "of at most 18 digits"),
        (["run", "--seed", str(LARGEST_SEED + 1)], f"is not a whole number from 0 to {LARGEST_SEED}"),
        (["run", "--pair", " "], "' ' is empty"),
        (["run", "--model", "arm,,mdm"], "'arm,,mdm' has an empty entry"),
        (["run", "--mask-token", "x", "--mask-id", "3"], "not allowed with argument"),
        (["pairs"], "the following arguments are required: ACTION"),
    ],
)
def test_what_a_flag_does_not_take_is_named(argv: list[str], message: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        parser().parse_args(argv)
    assert stop.value.code == 2 and message in capsys.readouterr().err
