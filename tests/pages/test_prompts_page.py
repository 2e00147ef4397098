"""The page of own prompts in every state, over the real embedded pair's tokenizer."""

from __future__ import annotations

import html
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

from engine import settings
from engine.exchange import prompts_csv
from engine.models.light_tokenizer import Token
from engine.models.pairs import pair_named
from engine.runs import cache_connection, stored
from engine.runs.jobs import JobQueue
from engine.tasks import own_prompts
from engine.tasks.alignment import align
from engine.tasks.own_prompts import PromptRow
from engine.tasks.prompt_checks import check
from pages.figures import palette
from pages.shared.token_text import aligned
from tests.fakes import HOSTILE
from tests.pages.test_pages import APP, TIMEOUT, app, texts
from tests.waiting import until

EMBEDDED = pair_named("embedded")
CLEAN = "When Mary and John went to the store , John gave a drink to"
CORRUPTED = "When Mary and John went to the store , Mary gave a drink to"
GOOD = PromptRow(CLEAN, CORRUPTED, ("Mary",), ("John",))
LONGER = PromptRow(CLEAN, CORRUPTED.replace("Mary gave", "Mary and gave"), ("Mary",), ("John",))
YEARS = PromptRow("from 17 32 to 17", "from 17 01 to 17", ("33", "34"), ("02", "03"))
HOSTILE_ROW = PromptRow(f"{HOSTILE} to", f"the {HOSTILE}", (HOSTILE,), ("`x`",))

pytestmark = pytest.mark.usefixtures("queue_of")


def typed(*rows: PromptRow) -> AppTest:
    """The page when these rows were typed."""
    opened = AppTest.from_file(APP, default_timeout=TIMEOUT)
    opened.switch_page("pages/prompts.py")
    opened.session_state["prompts now"] = [prompts_csv.cells_of(row) for row in rows]
    opened.run()
    assert not opened.exception
    return opened


def drawn(page: AppTest) -> list[str]:
    return [element.proto.body for element in page.get("html")]


def shown_tokens(body: str) -> list[str]:
    """The text of every cell, the two names first."""
    return [
        html.unescape(re.sub(r"<[^>]*>", "", cell)) for cell in re.findall(r"<span style=\"padding.*?</span>", body)
    ]


def can_save(page: AppTest) -> bool:
    return not page.button(key="save prompts").disabled


def links(page: AppTest) -> list[str]:
    return [element.proto.query_string for element in page.get("page_link")]


def upload(page: AppTest, name: str, data: bytes) -> AppTest:
    page.file_uploader[0].set_value((name, data, "text/csv")).run()
    assert not page.exception
    return page


def test_the_page_begins_with_a_worked_example() -> None:
    page = app("prompts")
    (table,) = page.dataframe
    assert list(table.value.columns) == ["Clean prompt", "Corrupted prompt", "Answer", "Foil"]
    (row,) = prompts_csv.read_csv(
        table.value.to_csv(index=False, header=prompts_csv.KNOWN[:4]).encode(), EMBEDDED
    ).rows.values()
    assert check([row], EMBEDDED)[0].problems == ()
    assert shown_tokens(drawn(page)[0])[2::2] == ["<bos>", *row.clean.split()]
    assert can_save(page)
    assert "No prompts are saved yet." in texts(page)
    assert "At most 200 rows, 256 tokens in a prompt, 16 in an answer and 1 MB in a file." in texts(page)
    assert "read 64 tokens at most" in texts(page)


def test_an_empty_table_says_what_to_do() -> None:
    page = typed(PromptRow("", "", ("",), ("",)))
    assert "Write a row in the table above, or fill it from a file." in texts(page)
    assert not can_save(page)
    assert not page.error


def test_good_rows_show_their_tokens_and_can_be_saved() -> None:
    page = typed(GOOD, PromptRow("", "", ("",), ("",)), YEARS)
    prompts, answers = drawn(page)[0], drawn(page)[1]
    assert shown_tokens(prompts)[:2] == ["clean", "corrupted"]
    assert shown_tokens(prompts)[2::2] == ["<bos>", *CLEAN.split()]  # all that the model gets
    assert shown_tokens(prompts)[3::2] == ["<bos>", *CORRUPTED.split()]
    assert 'title="clean, put before it by the tokenizer: in both"' in prompts
    assert 'title="clean, token 1: in both"' in prompts
    assert shown_tokens(answers) == ["answer", "foil", "Mary", "John"]
    assert [m.value for m in page.markdown if m.value.startswith("**Row")] == ["**Row 1**", "**Row 3**"]
    assert "Also right: '34'" in texts(page) and "Also wrong: '03'" in texts(page)
    assert can_save(page) and not page.error


def test_a_misaligned_row_says_which_token_and_cannot_be_saved() -> None:
    page = typed(GOOD, LONGER)
    message = (
        "The corrupted prompt has 15 tokens, the clean prompt 14: token 11 of the corrupted prompt, 'and', has no "
    )
    assert [error.value.replace("\\", "") for error in page.error] == [message + "counterpart."]
    assert "1 of 2 rows cannot be computed yet" in texts(page)
    cells = shown_tokens(drawn(page)[2])
    assert cells[2::2][11] == "✕" and cells[3::2][11] == "and"
    assert not can_save(page)


def test_an_answer_that_is_half_a_list_is_told() -> None:
    page = typed(GOOD)
    page.session_state["prompts now"] = [{**prompts_csv.cells_of(GOOD), "answer": '["33", 34]'}]
    page.session_state["prompts filled times"] = 1
    page.run()
    assert page.error[0].value.replace("\\", "").startswith("Row 1: answer begins like a list but is none.")
    assert not can_save(page)


def test_too_many_rows_are_told() -> None:
    page = typed(*[GOOD] * 201)
    assert [error.value.replace("\\", "") for error in page.error] == ["There are 201 rows. 200 are the most."]
    assert not can_save(page)


def test_of_many_rows_those_to_be_put_right_are_shown() -> None:
    page = typed(*[GOOD] * 40, LONGER)
    rows = [m.value for m in page.markdown if m.value.startswith("**Row")]
    assert rows == [*(f"**Row {number}**" for number in range(2, 21)), "**Row 41**"]  # then those with a remark
    assert "Shown: 20 of 41 rows, those to be put right first." in texts(page)


def test_a_hostile_row_is_text() -> None:
    page = typed(HOSTILE_ROW)
    assert "&lt;b&gt;x&lt;/b&gt;" in drawn(page)[0]
    assert all("<b>x" not in body for body in drawn(page))
    message = page.error[0].value
    assert "doesn't know '<b>x</b>' (token 1 of the clean prompt)" in message.replace("\\", "")
    assert "<b>" not in message
    assert not can_save(page)


def test_saved_prompts_are_computed_and_linked(queue_of: Callable[[str], JobQueue]) -> None:
    queue = queue_of("tiny_compute")
    page = typed(GOOD, YEARS)
    page.text_input(key="prompts title").set_value("My <b>two</b> rows")
    page.button(key="save prompts").click().run()
    assert not page.exception and not page.error
    (kept,) = own_prompts.saved_sets()
    assert (kept.rows, kept.title, kept.pair) == ((GOOD, YEARS), "My <b>two</b> rows", "embedded")
    (job,) = queue.jobs()
    assert [(s.pair, s.model, s.task, s.n) for s in job.specs] == [
        ("embedded", model, kept.name, 2) for model in ("arm", "mdm", "control")
    ]
    assert links(page) == [f"pair=embedded&task={kept.name}&n=2"] * 2
    assert "Saved as My <b>two</b> rows." in [s.value.replace("\\", "") for s in page.success]
    assert not any("<b>" in s.value for s in page.success) and "<b>two" not in page.markdown[-1].value
    until(lambda: queue.jobs()[0].state == "done", TIMEOUT)
    assert {run.spec.model for run in stored.list_runs() if run.spec.task == kept.name} == {
        "arm",
        "mdm",
        "control",
    }


def test_without_a_name_they_are_called_own_prompts() -> None:
    typed(GOOD).button(key="save prompts").click().run()
    assert [kept.title for kept in own_prompts.saved_sets()] == ["Own prompts"]


def test_a_file_fills_the_table() -> None:
    page = upload(app("prompts"), "two rows.csv", prompts_csv.write_csv([GOOD, LONGER]))
    assert list(page.dataframe[0].value["Corrupted prompt"]) == [CORRUPTED, LONGER.corrupted]
    assert page.text_input(key="prompts title").value == "two rows"
    assert "token 11 of the corrupted prompt" in page.error[0].value
    assert not can_save(page)
    upload(page, "ids.csv", prompts_csv.write_id_csv([YEARS, GOOD], EMBEDDED))
    assert list(page.dataframe[0].value["Answer"]) == ['["33", "34"]', "Mary"]
    assert can_save(page) and not page.error


def test_a_row_that_is_there_again_is_said_and_saved_once(queue_of: Callable[[str], JobQueue]) -> None:
    queue = queue_of("tiny_compute")
    page = typed(GOOD, YEARS, GOOD)
    message = "It says the same as row 1 and is left out: each counts once."
    assert [note.value for note in page.info if "row 1" in note.value] == [message]
    page.button(key="save prompts").click().run()
    (kept,) = own_prompts.saved_sets()
    assert (kept.rows, kept.repeated) == ((GOOD, YEARS), 1)
    assert {spec.n for job in queue.jobs() for spec in job.specs} == {2} and links(page)[0].endswith("&n=2")
    assert "1 more row said the same as another: each counts once." in texts(page)


def test_rows_that_contradict_each_other_cannot_be_saved() -> None:
    page = typed(GOOD, YEARS, PromptRow(CLEAN, CORRUPTED, GOOD.foils, GOOD.answers))
    (error,) = page.error
    assert error.value.replace("\\", "").startswith(
        "It contradicts row 1: after the same clean prompt one calls right what the other"
    )
    assert not can_save(page)


def test_words_that_the_pair_does_not_know_are_named_and_not_the_same() -> None:
    page = typed(PromptRow("from 1732 to", "from 1701 to", ("33",), ("02",)))
    assert page.error[0].value.replace("\\", "").split("\n\n") == [
        f"The tokenizer of the pair embedded doesn't know '{year}' (token 2 of the {what} prompt)."
        for year, what in (("1732", "clean"), ("1701", "corrupted"))
    ]
    assert drawn(page)[0].count("font-weight:700") == 2  # they differ


def test_rows_of_a_long_file_are_chosen() -> None:
    rows = [
        PromptRow(f"{'a ' * (i % 40)}to Mary", f"{'a ' * (i % 40)}to John", ("John",), ("Mary",)) for i in range(300)
    ]
    page = upload(app("prompts"), "long.csv", prompts_csv.write_csv(rows))
    assert len(page.dataframe[0].value) == 200
    assert "In the table: rows 1 to 200 of the file's 300." in texts(page)
    page.number_input(key="prompts first").set_value(299).run()
    assert list(page.dataframe[0].value["Clean prompt"]) == [row.clean for row in rows[298:]]
    page.number_input(key="prompts many").set_value(1).run()
    assert list(page.dataframe[0].value["Clean prompt"]) == [rows[298].clean]
    upload(page, "short.csv", prompts_csv.write_csv(rows[:3]))
    assert len(page.dataframe[0].value) == 3 and not page.error
    upload(page, "long.csv", prompts_csv.write_csv(rows))
    page.number_input(key="prompts first").set_value(301).run()
    assert page.error[0].value.replace("\\", "") == "long.csv: The file has 300 rows, so none from row 301 on."
    assert len(page.dataframe[0].value) == 200


def test_what_token_ids_mean_here_is_shown() -> None:
    page = upload(app("prompts"), "ids.csv", prompts_csv.write_id_csv([GOOD], EMBEDDED))
    assert "Token ids as the pair embedded reads them: row 2:" in texts(page).replace("\\", "")


LARGE = {
    "brackets": ("[" * 100_000, "to"),
    "an open list": ('["' + "a" * 100_000, "to"),
    "a nested list": ('["a", ' + "[" * 90_000, "to"),
    "a long word": ("Mary", "x" * 300_000),
    "many words": ("Mary", "to " * 99_000),
}


@pytest.mark.parametrize(("answer", "clean"), LARGE.values(), ids=LARGE)
def test_cells_of_any_size_are_a_sentence(answer: str, clean: str) -> None:
    page = typed(GOOD)
    cells = {**prompts_csv.cells_of(GOOD), "answer": answer, "clean": clean}
    page.session_state["prompts now"] = [cells]
    page.session_state["prompts filled times"] = 1
    page.run()
    assert not page.exception and page.error and all(len(error.value) < 2000 for error in page.error)
    assert not can_save(page)


def test_a_file_that_cannot_be_read_says_why_and_leaves_the_table() -> None:
    page = typed(YEARS)
    upload(page, "<b>bad</b>.csv", b"clean,corrupted,answer\na,b,c\n")
    (error,) = page.error
    assert error.value.replace("\\", "") == (
        "<b>bad</b>.csv: Row 1 names no column foil (or incorrect_idx), only 'clean', 'corrupted', 'answer'. Lines "
        "that would do: clean,corrupted,answer,foil and below it a,b,...,..."
    )
    assert "<b>" not in error.value
    assert list(page.dataframe[0].value["Clean prompt"]) == [YEARS.clean]
    upload(page, "good.csv", prompts_csv.write_csv([GOOD]))
    assert not page.error
    assert list(page.dataframe[0].value["Clean prompt"]) == [CLEAN]


def test_what_is_written_outlives_a_look_at_another_page() -> None:
    page = typed(YEARS)
    page.switch_page("pages/runs.py").run()
    page.switch_page("pages/prompts.py").run()
    assert list(page.dataframe[0].value["Clean prompt"]) == [YEARS.clean]


def test_saved_sets_are_listed_newest_first_and_can_be_edited() -> None:
    old, new = own_prompts.save([YEARS], "Years", "embedded"), own_prompts.save([GOOD, YEARS], "Both", "embedded")
    page = app("prompts")
    assert links(page) == [
        f"pair=embedded&task={kept.name}&n={len(kept.rows)}" for kept in reversed(own_prompts.saved_sets())
    ]
    assert "2 rows, embedded" in texts(page) and "1 row, embedded" in texts(page)
    page.button(key=f"edit {old.name}").click().run()
    assert list(page.dataframe[0].value["Answer"]) == ['["33", "34"]']
    assert page.text_input(key="prompts title").value == "Years"
    assert {old.name, new.name} == {kept.name for kept in own_prompts.saved_sets()}


def test_a_set_is_deleted_after_a_second_click() -> None:
    gone, kept = own_prompts.save([YEARS], "Years", "embedded"), own_prompts.save([GOOD], "Other", "embedded")
    page = app("prompts")
    page.button(key=f"delete {gone.name}").click().run()
    assert not page.exception
    assert [entry.name for entry in own_prompts.saved_sets()] == [kept.name]
    assert "Years" not in texts(page)


@pytest.mark.usefixtures("pair")  # whose models are only names
def test_a_pair_without_a_tokenizer_is_a_sentence_and_saved_sets_stay() -> None:
    kept = own_prompts.save([YEARS], "Years", "embedded")
    page = app("prompts")
    assert "has no tokenizer.json here" in page.warning[0].value.replace("\\", "")
    assert links(page) == [f"pair=embedded&task={kept.name}&n=1"]
    page.button(key=f"edit {kept.name}").click().run()
    assert not page.exception


def test_a_set_of_a_pair_that_is_gone_can_still_be_read_and_deleted() -> None:
    kept = own_prompts.save([YEARS], "Years", "gone")
    page = app("prompts")
    assert not page.error
    page.button(key=f"edit {kept.name}").click().run()
    assert list(page.dataframe[0].value["Answer"]) == ['["33", "34"]']
    page.button(key=f"delete {kept.name}").click().run()
    assert own_prompts.saved_sets() == []


def test_saving_where_nothing_can_be_written_is_a_sentence(queue_of: Callable[[str], JobQueue]) -> None:
    queue = queue_of("tiny_compute")
    page = typed(GOOD)
    settings.prompts_dir().write_text("a file")
    page.button(key="save prompts").click().run()
    assert "The own prompts cannot be saved in" in page.error[0].value.replace("\\", "")
    assert queue.jobs() == []


def test_the_page_needs_no_torch(tmp_path: Path) -> None:
    own_prompts.save([YEARS], "Years", "embedded")
    code = (
        "import sys\n"
        "from streamlit.testing.v1 import AppTest\n"
        f"app = AppTest.from_file({APP!r}, default_timeout={TIMEOUT})\n"
        "app.switch_page('pages/prompts.py').run()\n"
        "assert not app.exception, app.exception\n"
        "assert len(app.get('html')) == 2\n"
        "assert not {'torch', 'transformers'} & set(sys.modules)\n"
    )
    cache_connection.close()
    done = subprocess.run([sys.executable, "-c", code], cwd=settings.ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2000:]


@pytest.mark.parametrize("colours", [palette.LIGHT, palette.DARK])
def test_marks_are_more_than_colours(colours: palette.Palette) -> None:
    words = {1: " the", 2: "<b>", 3: "\n", 4: "Zebra"}
    sides = [[Token(i, words[i], known=i != 4) for i in ids] for ids in ((1, 2, 3), (1, 4, 3, 3))]
    body = aligned(align(*sides), ("clean", "<i>corrupted</i>"), colours)
    cells = re.findall(r'<span style="padding.*?</span>', body)
    assert shown_tokens(body) == [
        "clean", "<i>corrupted</i>", "␣the", "␣the", "<b>", "Zebra?", "⏎", "⏎", "✕", "⏎",
    ]  # fmt: skip
    assert "<i>" not in body and "<b>" not in re.sub(r"<b style", "", body)
    marks = [("bold" if "font-weight:700" in c else "", "dashed" if "dashed" in c else "") for c in cells]
    assert marks == [("", "")] * 4 + [("bold", "")] * 2 + [("", "")] * 2 + [("", ""), ("bold", "dashed")]
    assert 'title="clean, token 3: in both"' in body
    assert 'title="&lt;i&gt;corrupted&lt;/i&gt;, token 2: differs, unknown to the tokenizer"' in body
