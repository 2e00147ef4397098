"""Show what of the published claims holds for a pair: our number, what it is compared with, and a verdict on each."""

from __future__ import annotations

import html
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import replace
from urllib.parse import urlencode

import streamlit as st

from engine.circuits.verdicts import FAILS, HOLDS, UNKNOWN
from engine.errors import UserError
from engine.runs import claims, stored
from engine.runs.claim_numbers import usual
from engine.runs.claims import Claim, Transfer
from engine.runs.spec import RunSpec
from engine.runs.transfer import transfers_of
from engine.tasks.registry import TASKS
from pages.figures.palette import Palette
from pages.panels.evidence_data import in_words
from pages.panels.evidence_missing import offer_runs
from pages.shared import cached_reads, downloads, widgets
from pages.shared.glossary import meaning
from pages.shared.run_selector import Asked
from pages.shared.state import Question
from pages.shared.words import listed

COLUMNS = ("Claim", "Verdict", "Our number", "Compared with", "The paper", "Where")
SIGNS = {HOLDS: "✓", FAILS: "✗", UNKNOWN: "?"}
MODELS = ("arm", "mdm", "control")


def published_claims(asked: Asked) -> None:
    """The section: a table of the pair's claims on all its tasks, and a button for the runs that are missing."""
    st.header("What holds of the published claims", "claims", divider="gray", help=meaning("claims"))
    try:
        rows = claims_of(asked)
    except UserError as error:
        st.error(widgets.plain(str(error)), icon=":material/error:")
        return
    missing = list(dict.fromkeys(spec for row in rows for spec in row.missing))
    if missing:
        offer_runs(asked, missing, what="runs on other tasks, which claims are about", key="compute claims")
    st.markdown(f"{summary(rows)}{not_asked(asked.mdm.spec)}")
    st.html(table(rows, widgets.palette(), Question.of(usual(asked.question.spec("mdm"))).address))
    paper = cached_reads.published()["paper"]
    st.caption(
        f"How to read it: a claim *holds* or *does not hold* where our number's 95 % interval lies clear of what it is "
        f"compared with, at K = {asked.k:,}; else it *can't be told* (the rules: METHOD, “Claims”). Beside it what "
        f"[the paper]({paper['url']}) reports of other models: compare the direction, not the digits."
    )
    downloads.table_button("Claims", lambda: list(map(record, rows)), asked.sides.origin(), "claims")


def claims_of(asked: Asked) -> list[Claim]:
    """Of the pair with the settings that are asked for; kept until another run or another measurement is there."""
    question = usual(asked.question.spec("mdm"))
    specs = [replace(question, task=task, model=model) for task in TASKS for model in MODELS]
    there = tuple((run.key, *stored.missing(run)) if (run := cached_reads.run_of(spec)) else () for spec in specs)
    return _claims(question, asked.k, transfers_of(question, asked.k), there)


@st.cache_data(show_spinner="Reading what the claims are about", max_entries=32)
def _claims(question: RunSpec, k: int, transfers: dict[str, Transfer], there: tuple[object, ...]) -> list[Claim]:
    """`there`: which runs are stored, and which of their artifacts are not."""
    return claims.claims(question, k, transfers)


def not_asked(spec: RunSpec) -> str:
    """Which choices of the head the claims do not follow, in sentences; empty where they follow all."""
    about = ["the final MDM, not the one chosen above"] if spec.model != "mdm" else []
    about += ["each task's usual prompts, not the template chosen above"] if spec.template else []
    about += ["each task's usual number of denoising steps, not the one chosen above"] if spec.denoising_steps else []
    return "".join(f" They are about {what}." for what in about)


def summary(rows: Sequence[Claim]) -> str:
    """How many claims hold (Markdown)."""
    counts = Counter(row.verdict for row in rows)
    words = [f"**{counts[verdict]} {_verb(verdict, counts[verdict])}**" for verdict in (HOLDS, FAILS, UNKNOWN)]
    return f"Of {len(rows)} claims about this pair, {listed(words)}."


def _verb(verdict: str, count: int) -> str:
    if verdict == UNKNOWN:
        return "can't be told"
    if verdict == HOLDS:
        return "holds" if count == 1 else "hold"
    return "does not hold" if count == 1 else "do not hold"


def number_of(row: Claim) -> str:
    return "none" if row.number.value != row.number.value else in_words(row.number, ".3f")


def table(rows: Sequence[Claim], palette: Palette, settings: Mapping[str, str]) -> str:
    """The claims as a table (HTML); all texts are escaped here. `settings`: of the runs, in addresses."""
    line = f"border-bottom:1px solid {palette.faint};padding:6px 10px 6px 0;vertical-align:top;text-align:left"
    cell = f'<td style="{line}">{{}}</td>'
    top = f"position:sticky;top:0;background:{palette.background}"
    head = "".join(f'<th scope="col" style="{line};{top};font-weight:600">{name}</th>' for name in COLUMNS)
    cells = ["".join(map(cell.format, _cells(row, palette, settings))) for row in rows]
    body = "".join(f"<tr>{row}</tr>" for row in cells)
    return (
        '<div tabindex="0" style="overflow:auto;max-height:40rem">'
        '<table aria-label="Published claims and our numbers" style="min-width:50rem;width:100%;'
        'border-collapse:collapse;font-size:0.85rem;line-height:1.4;font-variant-numeric:tabular-nums">'
        f"<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>"
    )


def _cells(row: Claim, palette: Palette, settings: Mapping[str, str]) -> list[str]:
    colour = {HOLDS: palette.shared, FAILS: palette.mdm, UNKNOWN: palette.neutral}[row.verdict]
    verdict = f'<b style="color:{colour};white-space:nowrap">{SIGNS[row.verdict]} {html.escape(row.verdict)}</b>'
    number = f"<b>{html.escape(number_of(row))}</b><br>{html.escape(row.measure)}"
    published = "<br>".join(html.escape(f"{pair}: {value}") for pair, value in row.published.items()) or "no number"
    link = f"{row.page}?{urlencode({**settings, **row.address})}"
    return [
        html.escape(row.claim), f"{verdict}<br>{html.escape(row.reason)}", number, html.escape(row.reference),
        published, f'<a href="{html.escape(link, quote=True)}" target="_self" style="color:{palette.arm}">See it</a>',
    ]  # fmt: skip


def record(row: Claim) -> Mapping[str, object]:
    """A row of the download."""
    return {
        "claim": row.claim, "measure": row.measure, "value": row.number.value, "low": row.number.low,
        "high": row.number.high, "compared_with": row.reference, "verdict": row.verdict, "reason": row.reason,
        "published": "; ".join(f"{pair}: {value}" for pair, value in row.published.items()),
    }  # fmt: skip
