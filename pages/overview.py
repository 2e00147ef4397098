"""What was found: overlaps of ARM and MDM and what they are read against, beside the published numbers."""

from __future__ import annotations

import math

import streamlit as st

from engine.models.pair import CONTROL
from engine.models.pairs import Pair, pairs
from engine.runs import lifecycle
from engine.runs.records import Run
from engine.runs.solvable import can_do
from engine.tasks import TASKS
from pages.figures import charts
from pages.panels import references
from pages.panels.findings import Cell, Finding, answers, find, sides
from pages.shared import availability, cached_reads, job_queue, state, widgets
from pages.shared.choose_k import choose_k
from pages.shared.entry import show
from pages.shared.jobs_panel import watch_jobs
from pages.shared.provenance import origin
from pages.shared.run_selector import listed
from pages.shared.state import DEFAULT_K, Question

SECONDS_A_RUN = 20  # until a run of this cache says better


def page() -> None:
    question()
    with widgets.user_errors():
        runs = lifecycle.list_runs()
        cells = {pair.name: look_up(pair, runs) for pair in pairs().values()}
        offer([cell for own in cells.values() for cell in own])
        watch_jobs()
        k = chosen_k([cell for own in cells.values() for cell in own])
        computed, waiting, away = sorted_out(cells)
        for name in computed:
            show_pair(pairs()[name], cells[name], k)
        for name in waiting:
            show_waiting(pairs()[name], cells[name])
        show_away({name: str(cells[name][0].problem) for name in away})
        show_published()
        legend()


def sorted_out(cells: dict[str, list[Cell]]) -> tuple[list[str], list[str], list[str]]:
    """Names of the pairs with a finding, of those that can be computed here, and of those that cannot."""
    computed = [name for name, own in cells.items() if any(cell.arm and cell.mdm for cell in own)]
    rest = [name for name in cells if name not in computed]
    away = [name for name in rest if all(cell.problem for cell in cells[name])]
    return computed, [name for name in rest if name not in away], away


def question() -> None:
    st.title("Does a diffusion model keep its old circuits?")
    st.markdown(
        "A language model that writes left to right (**ARM**, autoregressive) can be post-trained into one that fills "
        "in masks in any order (**MDM**, masked diffusion). For each task we find the *circuit* of both, the K "
        "connections between heads and MLPs that matter most for the right answer, and ask **how many the two have in "
        "common**."
    )


def look_up(pair: Pair, runs: list[Run]) -> list[Cell]:
    """A pair on every task: with a run's defaults, or where these cannot be computed, with what is stored."""
    own = [run for run in runs if run.spec.pair == pair.name]
    asked = {task: Question(pair.name, task, dtype=availability.dtype_of(pair, own)) for task in TASKS}
    problems = {model: lifecycle.obstacle(next(iter(asked.values())).spec(model)) for model in ("arm", "mdm")}
    cells = []
    for name, question in asked.items():
        cell = stored(question, pair, problems, own)
        others = availability.stored_questions(pair.name, name, own) if cell.problem else []
        cells.append(stored(others[0], pair, problems, own) if others else cell)
    return cells


def stored(question: Question, pair: Pair, problems: dict[str, str | None], own: list[Run]) -> Cell:
    """The runs of a question, of `own`, the pair's; `problems` by model: why it cannot be computed here."""
    runs = {model: cached_reads.run_of(question.spec(model)) if own else None for model in problems}
    problem = next((problems[model] for model, run in runs.items() if run is None and problems[model]), None)
    control = cached_reads.run_of(question.spec(CONTROL)) if own else None
    no_control = None if control else next(filter(None, problems.values()), None)
    return Cell(pair, TASKS[question.task], question, runs["arm"], runs["mdm"], problem, control, no_control)


def offer(cells: list[Cell]) -> None:
    """One button for everything that is missing; none while that is under way."""
    missing = [spec for cell in cells for spec in cell.missing]
    possible = len(missing) + sum(len(cell.runs) for cell in cells if not cell.problem)
    widgets.submit_error()
    busy = any(job.is_open for job in job_queue.queue().jobs())
    if not missing or busy:
        return
    known = [run.seconds for cell in cells for run in cell.runs if not run.imported]
    minutes = max(1, math.ceil(len(missing) * (sum(known) / len(known) if known else SECONDS_A_RUN) / 60))
    runs = f"{len(missing)} run" + ("s" if len(missing) > 1 else "")
    with st.container(border=True, horizontal=True, vertical_alignment="center"):
        st.markdown(f"**{runs} of {possible} not computed yet.** That takes about {minutes} min on a small machine.")
        st.button(
            f"Compute what is missing ({runs})",
            type="primary",
            icon=":material/play_arrow:",
            key="compute missing",
            on_click=widgets.submit,
            args=(missing, f"What the overview lacks ({runs})"),
        )


def chosen_k(cells: list[Cell]) -> int:
    sizes = [cell.arm.meta.graph.n_edges for cell in cells if cell.arm and cell.mdm]
    return choose_k(min(sizes)) if sizes else DEFAULT_K


def show_pair(pair: Pair, cells: list[Cell], k: int) -> None:
    """What was found for a pair, and how it came about."""
    findings = [find(cell, k) for cell in cells if cell.arm and cell.mdm]
    st.header(widgets.plain(pair.title), divider="gray")
    if pair.note:
        st.caption(widgets.plain(pair.note))
    availability.say_how_read(pair)
    brought = [run for finding in findings for _, run in sides(finding) if run.imported]
    if brought:
        st.caption(f":material/inventory_2: {widgets.plain(availability.brought(brought, pair))}")
    st.markdown("\n".join(f"- {sentence}" for sentence in answers(findings, k)))
    figure = charts.overview_figure([finding.row for finding in findings], widgets.look())
    widgets.chart(
        figure, f"overview {pair.name}", f"Overlap of ARM and MDM by task at K = {k}", "overview",
        origin([run for finding in findings for _, run in sides(finding)], k),
    )  # fmt: skip
    show_table(findings)
    for said in [*unable(findings), *remarks(findings)]:
        st.warning(said, icon=":material/report:")
    links([cell for cell in cells if (cell.arm and cell.mdm) or not cell.problem], k)
    missing = [f.cell.task.title for f in findings if f.control is None]
    if missing:
        st.caption(widgets.plain(f"The step-0 control is not computed yet: {listed(missing)}."))
    lines = {widgets.provenance(f"{f.cell.task.title}, {name}", run) for f in findings for name, run in sides(f)}
    with st.expander("Where these numbers come from"):
        st.caption("\n\n".join(sorted(lines)))


def show_waiting(pair: Pair, cells: list[Cell]) -> None:
    """A pair that can be computed here and is not yet."""
    st.header(widgets.plain(pair.title), divider="gray")
    if pair.note:
        st.caption(widgets.plain(pair.note))
    st.info("Nothing is computed for this pair yet. The button above computes it.", icon=":material/hourglass_empty:")
    links([cell for cell in cells if not cell.problem], DEFAULT_K)


def show_away(problems: dict[str, str]) -> None:
    """Pairs that cannot be computed here, folded away, with what to do about it; `problems` by name: why not."""
    if not problems:
        return
    st.header("Pairs that cannot be computed here", divider="gray")
    count = f"{len(problems)} more pair" + ("s" if len(problems) > 1 else "")
    st.markdown(
        f"{count} can be looked at when their weights are downloaded, or when circuits that were computed elsewhere "
        "are imported as a bundle."
    )
    for name, problem in problems.items():
        pair = pairs()[name]
        with st.expander(widgets.plain(f"{pair.title}{availability.size(pair)}")):
            if availability.weights_missing(pair):
                availability.how_to_get(pair)
            else:
                st.markdown(widgets.plain(problem))
    st.page_link("pages/runs.py", label="Import a bundle on the Runs page", icon=":material/upload:")


def unable(findings: list[Finding]) -> list[str]:
    """A sentence for every task that a model cannot do (Markdown)."""
    return [
        f"**{widgets.plain(f.cell.task.title)}: the {name} cannot do this task.** {widgets.plain(ability.reason)}"
        for f in findings
        for name, run in sides(f)
        if not (ability := can_do(f.cell.task, run.meta)).can
    ]


def remarks(findings: list[Finding]) -> list[str]:
    """What is to be said of the runs (Markdown)."""
    return [
        f"**{widgets.plain(f.cell.task.title)}, {name}:** {widgets.plain(remark)}"
        for f in findings
        for name, run in sides(f)
        for remark in run.meta.remarks
    ]


def show_table(findings: list[Finding]) -> None:
    """Overlaps by task, then what else belongs to them."""
    overlaps = [
        {
            "Task": f.cell.task.title,
            "Overlap": f.at.jaccard,
            "Control": f.control.jaccard if f.control else None,
            "Chance": f.at.chance,
            "Halves: pair": f.halves.pair if f.halves else None,
            "Halves: ARM": f.halves.arm if f.halves else None,
            "Halves: MDM": f.halves.mdm if f.halves else None,
        }
        for f in findings
    ]
    others = [
        {
            "Task": f.cell.task.title,
            "Early ratio": f.at.early_ratio,
            "Early ratio, control": f.control.early_ratio if f.control else None,
            "Early, ARM": 100 * f.at.arm.early_share,
            "Early, MDM": 100 * f.at.mdm.early_share,
            "Solved, ARM": 100 * f.arm.meta.accuracy,
            "Solved, MDM": 100 * f.mdm.meta.accuracy,
            "Solved, control": 100 * f.cell.control.meta.accuracy if f.cell.control else None,
        }
        for f in findings
    ]
    number = st.column_config.NumberColumn
    helps = {"Control": references.CONTROL_SAID, "Halves: pair": references.HALVES_SAID}
    columns = {name: number(format="%.3f", help=helps.get(name)) for name in overlaps[0] if name != "Task"}
    st.dataframe(overlaps, hide_index=True, column_config=columns, alt="Overlaps by task")
    if any(f.halves is None for f in findings):
        st.caption("There are no halves of a single prompt.")
    columns = {name: number(format="%.0f %%") for name in others[0] if name != "Task"}
    columns |= {name: number(format="%.2f") for name in ("Early ratio", "Early ratio, control")}
    st.dataframe(others, hide_index=True, column_config=columns, alt="Early shares and accuracies by task")


def links(cells: list[Cell], k: int) -> None:
    with st.container(horizontal=True, gap="medium"):
        st.markdown("Look at the circuits:")
        for cell in cells:
            chosen = {**cell.question.address, state.K: str(k)}
            st.page_link("pages/circuits.py", label=cell.task.title, icon=":material/hub:", query_params=chosen)


def show_published() -> None:
    told = cached_reads.published()
    st.header("What the paper reports", divider="gray")
    rows = [
        {
            "Pair": row["pair"],
            "Task": TASKS[row["task"]].title,
            "Overlap": row["overlap"],
            "Early ratio": f"more than {row['early_ratio_above']:g}" if "early_ratio_above" in row else "not told",
        }
        for row in told["row"]
    ]
    st.dataframe(
        rows, hide_index=True, column_config={"Overlap": st.column_config.NumberColumn(format="%.3f")},
        alt="Published overlaps",
    )  # fmt: skip
    paper = told["paper"]
    st.caption(
        f"[{widgets.plain(paper['title'])}]({paper['url']}), {widgets.plain(paper['version'])}. Other models, and a K "
        "that isn't told: compare the direction, not the digits."
    )


def legend() -> None:
    with st.expander("What these words mean"):
        st.markdown(
            "- **Overlap**: the Jaccard index of both models' K strongest edges: how many are in both sets, divided by "
            "how many are in either.\n"
            "- **Chance**: the overlap of two random sets of K edges.\n"
            "- **Control** (step 0): the ARM's own weights, read as the MDM is: masks, both directions, no "
            "post-training. Its overlap with the ARM says what the change of attention and of input does alone. Where "
            "it cannot do the task, its circuit explains little.\n"
            "- **Halves**: circuits found on half of the prompts each, no prompt in both. *Pair*: the ARM's on one "
            "half with the MDM's on the other (mean of both ways); *ARM*, *MDM*: each model's own two. Circuits found "
            "on fewer prompts vary more, so these three are compared with each other, not with the overlap on all "
            "prompts.\n"
            "- **Early**: the share of component importance (sum of |score| over a component's edges) in the first "
            "third of the layers; **ratio**: the MDM's (or the control's) divided by the ARM's.\n"
            "- **Solved**: held-out problems that the model answers correctly.\n"
            "- **Prefix-dominant** tasks need only what came before; **globally constrained** ones need the whole "
            "answer at once."
        )


show(page)
