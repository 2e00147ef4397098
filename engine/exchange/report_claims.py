"""The claims about a pair as a report's first table: our number, what it is compared with, and the verdict."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

from engine.errors import UserError
from engine.exchange.report_parts import Block, Grid, Paragraph, Section
from engine.exchange.report_runs import Question
from engine.runs import claims as judged
from engine.runs.claims import Claim
from engine.runs.evidence_lines import interval
from engine.runs.transfer import transfers_of
from engine.tasks.registry import TASKS

TEXTS = (0, 1, 2, 3, 4, 5)


def claims_section(asked: Sequence[Question]) -> Section:
    """Every claim, judged with the settings of the first question that is no own prompts."""
    question = next((question for question in asked if question.task in TASKS), None)
    if question is None:
        return Section("Claims", [Paragraph("The claims are about the tasks of this program, none of which is here.")])
    spec = question.mdm.run.spec
    try:
        listed = judged.claims(spec, transfer=transfers_of(spec, judged.DEFAULT_K))
    except UserError as error:
        return Section("Claims", [Paragraph(f"The claims cannot be judged: {error}")])
    counts = Counter(claim.verdict for claim in listed)
    summary = ", ".join(f"{verdict}: {counts[verdict]}" for verdict in sorted(counts))
    paper = judged.published()["paper"]
    blocks: list[Block] = [
        Paragraph(
            f"What {paper['title']} ({paper['version']}) claims, and what is measured here at K = {judged.DEFAULT_K}. "
            f'The rules are in METHOD, "Claims". Of {len(listed)} claims: {summary}.'
        ),
        Grid(
            "Each claim with our number, its 95 % interval, what it is compared with, and the verdict.",
            ("claim", "our number", "compared with", "published", "verdict", "why"),
            [_row(claim) for claim in listed],
            TEXTS,
        ),
    ]
    return Section("Claims", blocks)


def _row(claim: Claim) -> tuple[str, ...]:
    number = interval(claim.number.value, claim.number.low, claim.number.high)
    published = "; ".join(f"{pair}: {value}" for pair, value in claim.published.items())
    return (
        claim.claim,
        f"{claim.measure}: {number}",
        claim.reference,
        published,
        claim.verdict,
        claim.reason,
    )
