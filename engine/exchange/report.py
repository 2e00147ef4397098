"""Write what is stored of a pair as one document: a page for a browser, or Markdown with its pictures beside it.

1. `questions` chooses the runs: of every task an ARM's and an MDM's circuit with the same settings.
2. `report_of` puts the sections together, in plain text; what is not computed is said there.
3. The renderer of the file's ending makes the document; the same stored artifacts give the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from engine.errors import UserError, shortened
from engine.exchange.report_circuits import models_section, overlap_section
from engine.exchange.report_claims import claims_section
from engine.exchange.report_evidence import evidence_sections
from engine.exchange.report_html import html_of
from engine.exchange.report_markdown import markdown_of
from engine.exchange.report_parts import Paragraph, Report, Section
from engine.exchange.report_runs import Question, questions
from engine.exchange.report_sources import sources_section
from engine.exchange.report_stability import stability_section
from engine.files.writing import refuse_existing, write_new
from engine.models.pairs import Pair, pair_named

ENDINGS = (".html", ".md")


def write(
    path: Path, pair: str, tasks: Sequence[str] | None, settings: Mapping[str, Any]
) -> Iterator[tuple[Path, int]]:
    """Write the report to `path`; the files that were written, with their sizes in bytes.

    `tasks` None: every task that is stored. `settings`: fields of RunSpec that the runs have.

    Raises:
        UserError: no such ending, no such pair, nothing is stored of it, or a file cannot be written or is there with
            other content.
    """
    if path.suffix not in ENDINGS:
        raise UserError(
            f"The report's name is {shortened(str(path))}. Choose one that ends in .html (one page, pictures inside) "
            "or .md (Markdown, pictures beside it)."
        )
    if not path.is_file():  # one that is there may be the same
        refuse_existing(path)
    report = report_of(pair_named(pair), questions(pair, tasks, settings))
    if path.suffix == ".html":
        files = {path: html_of(report)}
    else:
        text, pictures = markdown_of(report, path.stem)
        files = {path.with_name(f"{path.stem}-{i}.svg"): svg for i, svg in enumerate(pictures, 1)} | {path: text}
    encoded = {file: content.encode() for file, content in files.items()}
    for file, content in encoded.items():  # before any is written
        if not (file.is_file() and file.read_bytes() == content):
            refuse_existing(file)
    for file, content in encoded.items():
        write_new(file, content)
        yield file, len(content)


def report_of(pair: Pair, asked: Sequence[Question]) -> Report:
    title = f"{pair.title}: circuits before and after post-training"
    return Report(title, [_asked(pair), claims_section(asked), *(_task(question) for question in asked)])


def _asked(pair: Pair) -> Section:
    """What was asked, in a paragraph, and how the MDM is read."""
    text = (
        f"{pair.title}: a language model that writes from left to right (ARM, {pair.arm}) and the masked diffusion "
        f"model that was post-trained from it (MDM, {pair.mdm}). Of every task the circuit of each model was computed: "
        "the edges between heads and MLPs with the largest attribution scores. This report says how many edges both "
        "circuits share, and tests each circuit by running the models with nothing else, and without parts of it."
    )
    return Section("What was asked", [Paragraph(text), *([Paragraph(pair.how_read)] if pair.how_read else [])])


def _task(question: Question) -> Section:
    parts = [
        models_section(question),
        overlap_section(question),
        *evidence_sections(question),
        stability_section(question),
        sources_section(question),
    ]
    return Section(question.title, [], parts)
