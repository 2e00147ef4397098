"""Own prompts as a person makes them: upload, read what is wrong, put it right in the table, save, look."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from engine.exchange.prompts_csv import write_csv
from engine.tasks.own_prompts import PromptRow
from tests.fakes import HOSTILE
from tools.browser import running_app, wait_until_still

CLEAN = "When Mary and John went to the store , John gave a drink to"
CORRUPTED = "When Mary and John went to the store , Mary gave a drink to"
GOOD = PromptRow(CLEAN, CORRUPTED, ("Mary",), ("John",))
LONGER = PromptRow(CLEAN, f"{CORRUPTED} the", ("Mary",), ("John",))
TOLD = "token 15 of the corrupted prompt, 'the', has no counterpart."
SECOND_ROW = 35 * 2 + 17  # pixels from the top of the table, which is a canvas: a header and rows of 35


@pytest.fixture(scope="module")
def own_address(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The app over the embedded pair, whose tokenizer the page reads; nothing is computed yet."""
    with running_app({"CIRCUITS_CACHE": str(tmp_path_factory.mktemp("own"))}) as address:
        yield address


@pytest.fixture
def prompts(page: Page, own_address: str) -> Page:
    page.goto(own_address + "prompts")
    wait_until_still(page)
    return page


def _upload(page: Page, folder: Path, name: str, *rows: PromptRow) -> None:
    (folder / name).write_bytes(write_csv(rows))
    page.locator("input[type=file]").set_input_files(folder / name)
    expect(page.get_by_test_id("stTextInput").get_by_role("textbox")).to_have_value(name.removesuffix(".csv"))
    wait_until_still(page)


def _tokens(page: Page, index: int) -> list[str]:
    """The cells of one group of tokens, from the left, the upper before the lower."""
    cells: list[str] = page.get_by_role("group", name="Tokens:").nth(index).locator("span > span").all_inner_texts()
    return cells


def test_a_misaligned_file_is_told_put_right_in_the_table_saved_and_deleted(prompts: Page, tmp_path: Path) -> None:
    save = prompts.get_by_role("button", name="Save and compute")
    expect(save).to_be_enabled()  # the worked example

    _upload(prompts, tmp_path, "gifts.csv", GOOD, LONGER)
    expect(prompts.get_by_text(TOLD)).to_be_visible()
    assert _tokens(prompts, 0)[2::2] == ["<bos>", *CLEAN.split()]
    assert _tokens(prompts, 2)[-2:] == ["✕", "the"]
    expect(save).to_be_disabled()

    table = prompts.get_by_test_id("stDataFrame").bounding_box()
    assert table
    prompts.mouse.dblclick(table["x"] + 0.3 * table["width"], table["y"] + SECOND_ROW)
    cell = prompts.locator("#portal textarea")
    expect(cell).to_have_value(CLEAN)
    cell.fill(f"{CLEAN} a")
    cell.press("Enter")
    expect(prompts.get_by_text(TOLD)).to_have_count(0)
    wait_until_still(prompts)
    expect(save).to_be_enabled()
    assert _tokens(prompts, 2)[-2:] == ["a", "the"]

    save.click()
    expect(prompts.get_by_text("Saved as gifts.")).to_be_visible()
    expect(prompts.get_by_text("2 rows, embedded")).to_be_visible()
    expect(prompts.get_by_text("Embedded pair, gifts")).to_be_visible()  # the job
    prompts.get_by_role("link", name="Look at its circuits").click()
    prompts.wait_for_url("**/circuits?*")
    assert "task=own-" in prompts.url and "n=2" in prompts.url
    wait_until_still(prompts)

    prompts.get_by_role("link", name="Own prompts").click()
    prompts.wait_for_url("**/prompts*")
    wait_until_still(prompts)
    prompts.get_by_role("button", name="Delete").click()
    prompts.get_by_role("button", name="Delete for good").click()
    expect(prompts.get_by_text("No prompts are saved yet.")).to_be_visible()


def test_a_file_that_is_no_csv_of_prompts_is_a_sentence(prompts: Page, tmp_path: Path) -> None:
    (tmp_path / "bad.csv").write_text("clean;corrupted;answer;foil\na;b;c;d\n")
    prompts.locator("input[type=file]").set_input_files(tmp_path / "bad.csv")
    refusal = "bad.csv: The columns are separated by semicolons. Save the file with commas."
    expect(prompts.get_by_text(refusal)).to_be_visible()


def test_a_hostile_token_is_text(prompts: Page, tmp_path: Path) -> None:
    _upload(prompts, tmp_path, "hostile.csv", PromptRow(f"{HOSTILE} to", f"the {HOSTILE}", (HOSTILE,), ("`x`",)))
    assert _tokens(prompts, 0) == ["clean", "corrupted", "<bos>", "<bos>", f"{HOSTILE}?", "the", "to", f"{HOSTILE}?"]
    expect(prompts.get_by_text(f"doesn't know '{HOSTILE}' (token 1 of the answer)")).to_be_visible()
    assert prompts.evaluate("[...document.querySelectorAll('b')].filter(tag => tag.textContent === 'x').length") == 0


def test_what_was_saved_can_be_downloaded_both_ways(prompts: Page, tmp_path: Path) -> None:
    _upload(prompts, tmp_path, "two.csv", GOOD)
    prompts.get_by_role("button", name="Save and compute").click()
    expect(prompts.get_by_text("Saved as two.")).to_be_visible()
    prompts.get_by_role("button", name="CSV", exact=True).first.click()
    for button, header in (("Answers as text", b"answer,foil"), ("Answers as token ids", b"correct_idx,incorrect_idx")):
        with prompts.expect_download() as waiting:
            prompts.get_by_role("button", name=button).click()
        assert waiting.value.path().read_bytes().startswith(b"clean,corrupted," + header)


def test_rows_of_a_long_file_are_chosen(prompts: Page, tmp_path: Path) -> None:
    rows = [
        PromptRow(f"{'a ' * (i % 40)}to Mary", f"{'a ' * (i % 40)}to John", ("John",), ("Mary",)) for i in range(300)
    ]
    _upload(prompts, tmp_path, "long.csv", *rows)
    expect(prompts.get_by_text("In the table: rows 1 to 200 of the file's 300.")).to_be_visible()
    first = prompts.get_by_role("spinbutton", name="From row")
    first.fill("299")
    first.press("Enter")
    expect(prompts.get_by_text("In the table: rows 299 to 300 of the file's 300.")).to_be_visible()
