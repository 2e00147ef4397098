"""A report as one HTML page: pictures inside, nothing fetched, no script; printed, each task begins a page.

Every text is escaped.
"""

from __future__ import annotations

from collections.abc import Iterator
from html import escape

from engine.exchange.report_parts import Block, Grid, Paragraph, Picture, Report, Section

STYLE = """
body { font: 15px/1.5 "Helvetica Neue", Helvetica, Arial, sans-serif; color: #1F2933; background: #FFFFFF;
  margin: 0 auto; padding: 24px; max-width: 1000px; }
h1 { font-size: 28px; line-height: 1.2; margin: 0 0 12px; }
h2 { font-size: 22px; margin: 40px 0 8px; padding-top: 8px; border-top: 2px solid #1F2933; }
h3 { font-size: 17px; margin: 28px 0 6px; }
p { margin: 8px 0; max-width: 72ch; overflow-wrap: anywhere; }
p.small, figcaption { font-size: 13px; color: #4B5563; }
figure { margin: 14px 0; }
figcaption { max-width: 84ch; margin: 6px 0; }
svg { max-width: 100%; min-width: 540px; height: auto; display: block; }
div.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13px; font-variant-numeric: tabular-nums; }
th, td { padding: 3px 10px; border-bottom: 1px solid #DDE1E6; text-align: right; vertical-align: top;
  white-space: nowrap; }
th.text, td.text { text-align: left; white-space: normal; overflow-wrap: break-word; min-width: 5em; }
table.texts td { min-width: 8em; }
thead th { white-space: normal; border-bottom: 1.5px solid #1F2933; vertical-align: bottom; }
tr > :first-child { padding-left: 0; }
@page { size: A4; margin: 15mm 13mm; }
@media print {
  body { font-size: 10.5pt; padding: 0; max-width: none; }
  h2 { border-top: 0; }
  h2.page { break-before: page; margin-top: 0; }
  h2, h3, figure.table figcaption { break-after: avoid; break-inside: avoid; }
  figcaption, p.small { font-size: 8.5pt; }
  figure.picture, tr { break-inside: avoid; }
  thead { display: table-header-group; }
  div.wide { overflow: visible; }
  svg { min-width: 0; }
  table { font-size: 7.6pt; }
  td.text { min-width: 0; }
  table.texts td { min-width: 0; overflow-wrap: anywhere; }
  table.texts th { overflow-wrap: normal; }
  th, td { padding: 1.5pt 5pt; }
}
"""


def html_of(report: Report) -> str:
    return "\n".join(
        [
            "<!DOCTYPE html>",
            '<html lang="en">',
            '<head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">',
            '<meta name="color-scheme" content="light">',
            f"<title>{escape(report.title)}</title>",
            f"<style>{STYLE}</style></head>",
            "<body>",
            f"<h1>{escape(report.title)}</h1>",
            *(line for section in report.sections for line in _section(section, 2)),
            "</body>",
            "</html>",
            "",
        ]
    )


def _section(section: Section, level: int) -> Iterator[str]:
    mark = ' class="page"' if section.sections else ""
    yield f"<section><h{level}{mark}>{escape(section.title)}</h{level}>"
    for block in section.blocks:
        yield from _block(block)
    for inner in section.sections:
        yield from _section(inner, level + 1)
    yield "</section>"


def _block(block: Block) -> Iterator[str]:
    if isinstance(block, Paragraph):
        mark = ' class="small"' if block.small else ""
        yield f"<p{mark}>{escape(block.text)}</p>"
    elif isinstance(block, Picture):
        caption = f"<figcaption>{escape(block.caption)}</figcaption>"
        yield f'<figure class="picture"><div class="wide">{block.svg}</div>{caption}</figure>'
    else:
        yield from _grid(block)


def _grid(grid: Grid) -> Iterator[str]:
    marks = [' class="text"' if column in grid.texts else "" for column in range(len(grid.head))]
    mark = ' class="texts"' if len(grid.texts) == len(grid.head) else ""
    yield f'<figure class="table"><figcaption>{escape(grid.caption)}</figcaption>'
    yield f'<div class="wide"><table{mark}>'
    head = "".join(f'<th scope="col"{mark}>{escape(cell)}</th>' for mark, cell in zip(marks, grid.head, strict=True))
    yield f"<thead><tr>{head}</tr></thead><tbody>"
    for row in grid.rows:
        cells = "".join(f"<td{mark}>{escape(cell)}</td>" for mark, cell in zip(marks, row, strict=True))
        yield f"<tr>{cells}</tr>"
    yield "</tbody></table></div></figure>"
