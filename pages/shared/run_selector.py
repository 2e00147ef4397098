"""What is compared: pair, task, method, settings, checkpoint and K, the same on every page that compares two runs."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import islice

import streamlit as st

from engine.circuits.graph import Graph
from engine.models.pair import CONTROL
from engine.models.pairs import Pair, pair_named, same_weights
from engine.runs import lifecycle, stored
from engine.runs.records import Run
from engine.runs.solvable import can_do
from engine.runs.spec import RunSpec
from engine.tasks.registry import task_named
from pages.shared import artifacts, availability, cached_reads, head, job_queue, state, widgets
from pages.shared.absent import absent
from pages.shared.choose_k import choose_k
from pages.shared.jobs_panel import watch_jobs
from pages.shared.sides import Side, Sides
from pages.shared.state import FINAL, TOTAL, Question
from pages.shared.words import listed, model_name

MOST_OTHERS = 4  # questions that are stored with other settings


@dataclass(frozen=True)
class Asked:
    """Two computed runs of one question, and how many edges a circuit has."""

    question: Question
    pair: Pair
    arm: Run
    mdm: Run
    k: int

    @property
    def graph(self) -> Graph:
        return self.arm.meta.graph

    @property
    def runs(self) -> list[Run]:
        return [self.arm, self.mdm]

    @property
    def steps(self) -> int:
        """The number of denoising steps of MDMs; 0: the task's own."""
        return self.question.denoising_steps

    @property
    def sides(self) -> Sides:
        """Both models with their whole answers."""
        return Sides(self.graph, self.k, Side("arm", self.arm, TOTAL), Side("mdm", self.mdm, TOTAL))


def both_runs(title: str, with_k: bool = True, edges_alone: bool = False) -> Asked | None:
    """The two runs that the reader asks for, as far as they are there; where a circuit is missing, offer to compute it
    and return None.

    Call it first on a page, inside widgets.user_errors(). `with_k` False: K is chosen elsewhere on the page.
    `edges_alone`: the page can show a circuit from elsewhere, of which there are edges and nothing by example.
    """
    if absent():
        st.title(title)
        return None
    with head.head(title):
        question, step = head.ask()
        k_place = st.container(width=head.K_WIDTH) if with_k else None
        chosen = head.settings_popover(question.task)
    question = head.completed(question, chosen)
    pair = pair_named(question.pair)
    specs = [question.spec("arm"), question.spec(state.model_at(step))]
    arm, mdm = (cached_reads.run_of(spec) for spec in specs)
    with st.container():  # what comes and goes has a place of its own, so that nothing below is drawn anew
        widgets.submit_error()
        watch_jobs()
        artifacts.watch_runs(specs)
    if arm is None or mdm is None:
        offer([spec for spec, run in zip(specs, (arm, mdm), strict=True) if run is None], question, pair)
        return None
    from_elsewhere = [run for run in (arm, mdm) if run.spec.is_imported]
    if from_elsewhere and not edges_alone:
        say_not_part(from_elsewhere)
        return None
    k = state.default_k(arm.meta.graph.n_edges)
    if k_place is not None:
        with k_place:
            k = choose_k(arm.meta.graph.n_edges)
    with st.container():
        marks({"arm": arm, "mdm": mdm}, pair)
        artifacts.offer_rest([arm, mdm])
    return Asked(question, pair, arm, mdm, k)


def offer(missing: list[RunSpec], asked: Question, pair: Pair) -> None:
    """Say what is missing and offer to compute it, with the control or all checkpoints, or say why it cannot be."""
    names = listed([model_name(spec.model) for spec in missing])
    task = task_named(asked.task).title
    if is_under_way(missing):
        st.info("The circuits appear here when they are computed. The rest of the app stays usable.")
        return
    if artifacts.say_elsewhere(missing):
        return
    st.info(f"Not computed yet with these settings: {names} on {task}.", icon=":material/hourglass_empty:")
    offer_stored(asked)
    obstacle = next(filter(None, map(lifecycle.obstacle, missing)), None)
    if obstacle:
        say_why_not(pair, obstacle)
    control = asked.spec(CONTROL)
    first = missing if control in missing or cached_reads.run_of(control) else [*missing, control]
    choices = [(f"Compute {listed([model_name(spec.model) for spec in first])}", first)]
    steps = [asked.spec(f"step:{step}") for step in pair.steps]
    every = [
        spec for spec in [asked.spec("arm"), asked.spec("mdm"), *steps, control] if cached_reads.run_of(spec) is None
    ]
    if len(every) > len(first):
        choices.append((f"Compute all checkpoints ({len(every)} runs)", every))
    with st.container(horizontal=True):
        for index, (label, specs) in enumerate(choices):
            st.button(
                label,
                type="secondary" if index else "primary",
                icon=":material/play_arrow:",
                key=f"compute {index}",
                disabled=obstacle is not None,
                help=obstacle and "See above why not.",
                on_click=widgets.submit,
                args=(specs, f"{pair.title}, {task}"),
            )


def say_not_part(runs: list[Run]) -> None:
    """Why a page of what depends on examples shows nothing of circuits from elsewhere."""
    files = listed([f"{run.meta.file} ({model_name(run.spec.model)})" for run in runs])
    st.info(
        f"What this page shows is not part of an imported circuit: {widgets.plain(files)} holds scores of edges alone. "
        "Choose another method above, or see the circuit on the Circuits page.",
        icon=":material/account_tree:",
    )


def is_under_way(specs: list[RunSpec]) -> bool:
    """Whether open jobs compute all of these."""
    return set(specs) <= {spec for job in job_queue.queue().jobs() if job.is_wanted for spec in job.specs}


def offer_control(asked: Question, pair: Pair) -> None:
    """Say that the step-0 control is missing, and offer to compute it where that is possible."""
    spec = asked.spec(CONTROL)
    if is_under_way([spec]):
        st.caption("The step-0 control is being computed.")
        return
    obstacle = lifecycle.obstacle(spec)
    with st.container(horizontal=True, vertical_alignment="center"):
        st.caption("The step-0 control, with which this overlap is compared, is not computed yet.", width="content")
        st.button(
            "Compute the control",
            icon=":material/play_arrow:",
            key="compute control",
            disabled=obstacle is not None,
            help=obstacle and widgets.plain(obstacle),
            on_click=widgets.submit,
            args=([spec], f"{pair.title}, {task_named(asked.task).title}: control"),
        )


def say_why_not(pair: Pair, obstacle: str) -> None:
    """Why a pair cannot be computed here, and what to do about it."""
    if not availability.weights_missing(pair):
        st.warning(widgets.plain(obstacle), icon=":material/warning:")
        return
    st.warning("The weights of this pair are not here, so nothing of it can be computed.", icon=":material/warning:")
    with st.expander("How to get them"):
        availability.how_to_get(pair)


def offer_stored(asked: Question) -> None:
    """Lead to what is stored about this pair and task with other settings."""
    answered = availability.stored_questions(asked, stored.list_runs())
    others = list(islice((other for other in answered if other != asked), MOST_OTHERS))
    if others:
        with st.container(horizontal=True, vertical_alignment="center"):
            st.markdown("Stored with other settings:")
            for index, other in enumerate(others):
                label = widgets.plain(availability.differences(asked, other))
                st.button(label, key=f"stored {index}", on_click=choose, args=(other,), icon=":material/inventory_2:")


def choose(question: Question) -> None:
    """The callback of a button that asks another question."""
    st.session_state.update(asdict(question))
    st.session_state[state.STEP] = FINAL


def marks(runs: dict[str, Run], pair: Pair) -> None:
    """What to know of two runs before looking: that a model cannot do the task, that they come from elsewhere."""
    mark_runs(*runs.values())
    stands = runs["mdm"].spec.model
    if stands != "mdm":
        st.caption(f"Below, “MDM” stands for {model_name(stands)}.")
    if len({run.method_version for run in runs.values()}) > 1:
        st.warning(
            "The two were computed by different versions of the method: they may differ for that reason alone.",
            icon=":material/report:",
        )
    arm, mdm = (run.provenance for run in runs.values())
    if arm and mdm and arm["weights"] != mdm["compared_with"]:
        st.warning("The MDM was compared with another ARM than this one: they are no pair.", icon=":material/report:")
    if runs["mdm"].spec.model == "mdm" and (equal := same_weights(pair)):
        st.warning(equal, icon=":material/report:")
    availability.say_how_read(pair)
    brought = [run for run in runs.values() if run.imported]
    if brought:
        st.caption(f":material/inventory_2: {widgets.plain(availability.brought(brought, pair))}")


def mark_runs(*runs: Run) -> None:
    """Say which of these models cannot do their task, so that their circuits explain little, and the runs' remarks."""
    for run in runs:
        ability, name = can_do(task_named(run.spec.task), run.accuracy), model_name(run.spec.model)
        if not ability.can:
            sentence = f"**{name[0].upper()}{name[1:]} cannot do this task.** {widgets.plain(ability.reason)}"
            st.warning(sentence, icon=":material/report:")
        for remark in run.meta.remarks:
            st.warning(f"**{name.removeprefix('the ')}:** {widgets.plain(remark)}", icon=":material/report:")
