"""The page is whole, fetches nothing, runs nothing, and shows texts as they are."""

from __future__ import annotations

import re
from html.parser import HTMLParser

from engine.exchange.report_html import html_of
from engine.exchange.report_parts import Grid, Paragraph, Picture, Report, Section

HOSTILE = "</td><script>alert(1)</script><img src=http://a.b/c onerror=x> & \"quotes\" 'too' `x` |\n"
VOID = ("meta", "br", "img", "rect", "line", "circle", "polygon", "polyline", "path")


class Page(HTMLParser):
    """Collects a page's texts, and checks that its elements are closed in order."""

    def __init__(self, page: str) -> None:
        super().__init__(convert_charrefs=True)
        self.open: list[str] = []
        self.texts: list[tuple[str, str]] = []
        self.attributes: list[tuple[str, str, str | None]] = []
        self.feed(page)
        self.close()
        assert not self.open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.attributes += [(tag, name, value) for name, value in attrs]
        if tag not in VOID:
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        if data.strip() and self.open:
            self.texts.append((self.open[-1], data))

    def of(self, tag: str) -> list[str]:
        return [text for at, text in self.texts if at == tag]


def report(text: str) -> Report:
    grid = Grid(text, (text, "number"), [(text, "1.5"), ("plain", "2.5")])
    inner = Section(text, [grid, Picture("<svg><title>t</title></svg>", text)])
    return Report(text, [Section("first", [Paragraph(text), Paragraph(text, small=True)]), Section(text, [], [inner])])


def test_every_text_is_shown_as_it_is() -> None:
    page = Page(html_of(report(HOSTILE)))
    for tag in ("h1", "h2", "h3", "p", "figcaption", "th", "td"):
        assert HOSTILE in page.of(tag), tag
    assert page.of("td")[1:] == ["1.5", "plain", "2.5"]
    assert not page.of("script")


def test_nothing_is_fetched_or_run() -> None:
    source = html_of(report("plain"))
    page = Page(source)
    assert not [a for a in page.attributes if a[1] in ("src", "href", "srcset", "xlink:href") or a[1].startswith("on")]
    assert "http" not in source and "url(" not in source and "@import" not in source and "<script" not in source
    assert re.search(r"@page \{ size: A4", source) and "break-before: page" in source


def test_sections_of_sections_begin_a_page() -> None:
    page = Page(html_of(report("plain")))
    assert [(tag, value) for tag, name, value in page.attributes if tag == "h2" and name == "class"] == [("h2", "page")]
    assert ("html", "lang", "en") in page.attributes and ("meta", "content", "light") in page.attributes
