"""The report as a file: the same bytes for the same cache, nothing fetched, and refused where it cannot be written."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

from engine.errors import UserError
from engine.exchange import report
from engine.exchange.report_html import html_of
from engine.exchange.report_markdown import markdown_of
from engine.models.pairs import pair_named
from engine.tasks import own_prompts
from engine.tasks.own_prompts import PromptRow
from tests.fakes import HOSTILE
from tests.stored_evidence import question, store

ROWS = [PromptRow("a b c", "a x c", ("d",), ("e",)), PromptRow("a b f", "a x f", ("d",), ("e",))]


def written(path: Path, tasks: list[str] | None = None, **settings: Any) -> list[Path]:
    return [file for file, _ in report.write(path, "embedded", tasks, settings)]


@pytest.mark.usefixtures("workspace")
def test_the_page_is_whole_and_the_same_again(tmp_path: Path) -> None:
    store("ioi", "countdown")
    first, second = tmp_path / "a.html", tmp_path / "b.html"
    assert written(first) == [first] and written(second) == [second] and written(first) == [first]
    page = first.read_text()
    assert first.read_bytes() == second.read_bytes()
    for title in (
        "What was asked",
        "Claims",
        "Indirect object identification",
        "COUNTDOWN",
        "Faithfulness",
        "Knockouts",
    ):
        assert re.search(rf"<h[23][^>]*>{title}</h[23]>", page), title
    assert page.count("<svg ") == page.count("</svg>") == 10
    assert not re.search(r"\b(src|href|srcset)\s*=|https?://|<script|<link|<iframe|url\(", page)
    for _, of_model in question(seed=0).models:
        assert of_model.run.key in page and all(artifact.key in page for artifact in of_model.by_kind.values())
    written(tmp_path / "one.html", ["countdown"])
    assert '<h2 class="page">Indirect' not in (tmp_path / "one.html").read_text()


@pytest.mark.usefixtures("workspace")
def test_markdown_has_its_pictures_beside_it(tmp_path: Path) -> None:
    store()
    files = written(tmp_path / "r.md")
    assert [file.name for file in files] == [*(f"r-{i}.svg" for i in range(1, 6)), "r.md"]
    text = (tmp_path / "r.md").read_text()
    assert re.findall(r"\(<(r-\d\.svg)>\)", text) == [file.name for file in files[:-1]]
    assert all(file.read_text().startswith('<svg xmlns="http://www.w3.org/2000/svg" ') for file in files[:-1])
    widths = [len(re.split(r"(?<!\\)\|", line)) for line in text.splitlines() if line.startswith("| ")]
    tables = re.findall(r"(?:^\| .*\n)+", text, re.MULTILINE)
    assert len(tables) >= 12 and len(widths) == sum(table.count("\n") for table in tables)
    for table in tables:
        assert len({len(re.split(r"(?<!\\)\|", line)) for line in table.splitlines()}) == 1


@pytest.mark.usefixtures("workspace")
def test_untrusted_names_are_escaped(monkeypatch: pytest.MonkeyPatch) -> None:
    prompts = own_prompts.save(ROWS, HOSTILE, "embedded")
    store(prompts.name, n=2, kinds=())
    pair = pair_named("embedded")
    object.__setattr__(pair, "title", HOSTILE)
    made = report.report_of(pair, [question()])
    page, (text, _) = html_of(made), markdown_of(made, "r")
    assert HOSTILE in made.title and any(HOSTILE in section.title for section in made.sections)
    assert HOSTILE not in page and not re.search(r"<(?!/?(svg|sub))(script|b|img)\b", page)
    assert not re.search(r"(?<!\\)<(script|b|img)", text)


@pytest.mark.usefixtures("workspace")
def test_missing_evidence_is_told(tmp_path: Path) -> None:
    store(kinds=["audit"], control=False)
    written(tmp_path / "r.html")
    page = (tmp_path / "r.html").read_text()
    assert "Not computed: faithfulness over K of the ARM and the MDM." in page
    assert "Not computed: knockouts of the ARM and the MDM." in page and "Not computed: audit" not in page
    assert "The step-0 control is not computed." in page


@pytest.mark.usefixtures("workspace")
@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("r.pdf", "Choose one that ends in .html"),
        ("report", "Choose one that ends in .html"),
        ("nowhere/r.html", "there is no folder"),
    ],
)
def test_other_endings_and_places_are_refused(name: str, message: str, tmp_path: Path) -> None:
    store(kinds=(), control=False)
    with pytest.raises(UserError, match=message):
        written(tmp_path / name)


@pytest.mark.usefixtures("workspace")
def test_a_file_with_other_content_is_left_alone(tmp_path: Path) -> None:
    store(kinds=(), control=False)
    (tmp_path / "r.html").write_text("mine")
    with pytest.raises(UserError, match="is there already"):
        written(tmp_path / "r.html")
    assert (tmp_path / "r.html").read_text() == "mine"
    (tmp_path / "r.md").write_text("mine")
    with pytest.raises(UserError, match=r"r\.md is there already"):
        written(tmp_path / "r.md")
    assert not list(tmp_path.glob("r-*.svg"))
    with pytest.raises(UserError, match="nobody"):
        list(report.write(tmp_path / "n.html", "nobody", None, {}))
    with pytest.raises(UserError, match="No circuits of both models"):
        written(tmp_path / "n.html", ["sudoku"])
    assert not (tmp_path / "n.html").exists()
