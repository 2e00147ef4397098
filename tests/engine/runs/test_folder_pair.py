"""Two models that no file describes: one pair however they are named, and how its MDM is read."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from engine.__main__ import main
from engine.errors import UserError
from engine.models.pair import Pair
from engine.models.pairs import keep, kept_pairs, pair_named
from engine.models.shift_evidence import Readings, ShiftEvidence
from engine.runs import folder_pair, stored
from engine.runs.folder_pair import pair_of_two, refreshed, settled
from tests.fakes import tiny_compute

SHIFTED = Readings(-0.5, -6.0, -4.0)
IN_PLACE = Readings(-6.0, -0.5, -4.0)
NEITHER = Readings(-9.0, -9.1, -4.0)


@pytest.fixture
def two(tmp_path: Path) -> tuple[str, str]:
    """The embedded pair's models in folders that no file names; their configs say nothing of the shift."""
    pair = pair_named("embedded")
    return tuple(str(shutil.copytree(pair.folder(model), tmp_path / f"my {model}!")) for model in ("arm", "mdm"))  # type: ignore[return-value]


class Answers:
    """What the MDM's answers say, instead of loading it; `asked` counts."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.say, self.asked = SHIFTED, 0
        monkeypatch.setattr(folder_pair, "_tried", self._tried)

    def _tried(self, pair: Pair, task: str, dtype: str | None) -> Readings:
        self.asked += 1
        return self.say


@pytest.fixture
def answers(monkeypatch: pytest.MonkeyPatch) -> Answers:
    return Answers(monkeypatch)


def test_the_name_stays_and_the_mask_may_be_told_in_any_way(two: tuple[str, str]) -> None:
    pair = pair_of_two(*two)
    assert pair == pair_of_two(*two) and re.fullmatch(r"my-arm-\+my-mdm--[0-9a-f]{6}", pair.name)
    assert (pair.arm, pair.mdm, pair.mask) == (*two, None)
    assert pair_of_two(*two, "<pad>").name != pair.name  # another mask is another pair
    kept = keep(settled(pair, True, "ioi"))
    number = json.loads((Path(two[1]) / "tokenizer.json").read_text())["model"]["vocab"]["<mask>"]
    for mask in (None, "<mask>", number):
        assert pair_of_two(*two, mask) == pair_named(kept.name)
    assert pair_of_two(*two, "<pad>").name not in (kept.name, *kept_pairs())


@pytest.mark.parametrize("place", ["nothing", "~nobody-here/x", "x" * 300, "loop"])
def test_a_place_without_a_model_is_refused(two: tuple[str, str], tmp_path: Path, place: str) -> None:
    (tmp_path / "loop").symlink_to(tmp_path / "loop")
    for models in ((two[0], f"{tmp_path}/{place}" if place[0] != "~" else place), (str(tmp_path / "none"), two[1])):
        with pytest.raises(UserError, match="There is no model at"):
            pair_of_two(*models)


@pytest.mark.parametrize(
    ("say", "told", "shifted", "source", "misread"),
    [
        (SHIFTED, None, True, "answers", False),
        (IN_PLACE, None, False, "answers", False),
        (SHIFTED, False, False, "told", True),
        (IN_PLACE, True, True, "told", True),
        (SHIFTED, True, True, "told", False),
        (NEITHER, True, True, "told", False),
        (NEITHER, False, False, "told", False),
    ],
)
def test_what_is_told_goes_first_then_the_answers(
    two: tuple[str, str], answers: Answers, say: Readings, told: bool | None, shifted: bool, source: str, misread: bool
) -> None:
    answers.say = say
    pair = settled(pair_of_two(*two), told, "ioi")
    assert pair.shift_evidence is not None and pair.shift_evidence.readings == say
    assert (pair.shifted, pair.shift_evidence.source, pair.misread) == (shifted, source, misread)
    keep(pair)
    assert pair_named(pair.name) == pair  # all of it is kept


def test_undecided_is_no_answer(two: tuple[str, str], answers: Answers) -> None:
    answers.say = NEITHER
    with pytest.raises(
        UserError, match=r"is undecided: .*-9\.00 .*-9\.10 .*--arm and --mdm, and say --shifted .* or --not-shifted"
    ):
        settled(pair_of_two(*two), None, "ioi")


def test_the_config_tells_without_loading(two: tuple[str, str], answers: Answers) -> None:
    config = Path(two[1]) / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"model_type": "Dream"}))
    pair = settled(pair_of_two(*two), None, "ioi")
    assert (pair.shifted, pair.shift_evidence and pair.shift_evidence.source, answers.asked) == (True, "config", 0)
    assert not settled(pair, False, "ioi").shifted and answers.asked == 1  # said otherwise: its answers are asked


def test_it_is_measured_once_and_again_when_the_user_or_the_weights_say_otherwise(
    two: tuple[str, str], answers: Answers
) -> None:
    kept = settled(pair_of_two(*two), None, "ioi")
    assert settled(kept, None, "ioi") == kept and answers.asked == 1
    assert settled(kept, True, "ioi").shifted and answers.asked == 1  # agrees
    wrong = settled(kept, False, "ioi")
    assert wrong.misread and answers.asked == 2
    assert settled(wrong, None, "ioi") == kept  # a wrong word is not reused
    assert refreshed(wrong, "ioi") == wrong and answers.asked == 2  # but kept for who names the pair, who is told
    (Path(two[1]) / "config.json").write_text((Path(two[1]) / "config.json").read_text() + " ")
    answers.say = IN_PLACE
    assert not refreshed(kept, "ioi").shifted and answers.asked == 3
    assert not settled(kept, None, "ioi").shifted
    old = replace(kept, shift_evidence=None)  # of an earlier program
    assert refreshed(old, "ioi") == old and not settled(old, None, "ioi").shifted


def test_numbers_that_are_none_are_not_kept(two: tuple[str, str], answers: Answers) -> None:
    answers.say = Readings(float("nan"), -1.0, -4.0)
    pair = keep(settled(pair_of_two(*two), True, "ioi"))
    assert pair_named(pair.name).shift_evidence == ShiftEvidence("told", pair.shift_evidence.weights)  # type: ignore[union-attr]


def test_the_command_line_says_how_it_reads_at_every_run(
    two: tuple[str, str], capsys: pytest.CaptureFixture[str]
) -> None:
    """With the real model, which predicts shifted."""
    flags = ["--arm", two[0], "--mdm", two[1]]
    for n in ("2", "3"):
        assert main(["run", *flags, "--n", n], tiny_compute) == 0
        output = capsys.readouterr()
        assert "read as shifted: its right answers have -" in output.err and "/ mdm / ioi" in output.out
    assert main(["run", *flags, "--n", "2", "--not-shifted"], tiny_compute) == 0
    assert "as was told, BUT its answers say the opposite" in capsys.readouterr().err
    (name,) = kept_pairs()
    assert main(["run", "--pair", name, "--n", "2"], tiny_compute) == 0
    output = capsys.readouterr()
    assert "as was told, BUT its answers say the opposite" in output.err and "  not shifted" in output.out
    assert main(["doctor", "--pair", name]) == 0
    assert "BUT its answers say the opposite" in capsys.readouterr().out
    assert main(["run", *flags, "--n", "2"], tiny_compute) == 0
    output = capsys.readouterr()
    assert "read as shifted: its right answers have" in output.err and "  shifted" in output.out
    assert {run.shifted for run in stored.list_runs() if run.spec.model == "mdm"} == {True, False}
    assert list(kept_pairs()) == [name]


def test_undecided_is_refused_and_said_by_doctor(
    two: tuple[str, str], answers: Answers, capsys: pytest.CaptureFixture[str]
) -> None:
    answers.say = NEITHER
    flags = ["--arm", two[0], "--mdm", two[1]]
    assert main(["run", *flags, "--n", "2"], tiny_compute) == 2
    assert "is undecided" in capsys.readouterr().err
    assert main(["doctor", *flags]) == 0
    output = capsys.readouterr().out
    assert "mask        token '<mask>'" in output and ", as the MDM's files say, undecided whether shifted" in output
    assert "say --shifted" in output
    assert kept_pairs() == {} and stored.list_runs() == []
    assert main(["run", *flags, "--n", "2", "--shifted"], tiny_compute) == 0
    assert "as was told: its right answers have -9.00" in capsys.readouterr().err


def test_other_weights_that_leave_it_undecided_are_not_read_as_those_before_were(
    two: tuple[str, str], answers: Answers, capsys: pytest.CaptureFixture[str]
) -> None:
    kept = keep(settled(pair_of_two(*two), None, "ioi"))
    config = Path(two[1]) / "config.json"
    config.write_text(config.read_text() + " ")
    answers.say = NEITHER
    assert main(["run", "--pair", kept.name, "--n", "2"], tiny_compute) == 2
    assert "is undecided" in capsys.readouterr().err
    assert stored.list_runs() == [] and pair_named(kept.name) == kept
    shutil.rmtree(two[1])
    assert refreshed(kept, "ioi") == kept  # nothing to measure
