"""Where a pair stands on this machine: in which precision its numbers are, what is stored of it, what keeps it from
being computed here."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import streamlit as st

from engine.errors import UserError
from engine.models.pairs import Pair, pairs, weights_id
from engine.models.sources import get_command
from engine.runs import device_plan, lifecycle
from engine.runs.records import Run
from engine.tasks.registry import task_named
from pages.shared.state import Question
from pages.shared.widgets import plain

NAMES = {
    "method": "method", "n": "n", "seed": "seed", "points": "m", "metric": "metric", "order": "order",
    "denoising_steps": "denoising steps", "template": "template",
}  # fmt: skip


def dtype_of(pair: Pair, runs: Sequence[Run]) -> str:
    """The precision in which a pair is shown, where the reader leaves it open: its runs', else what fits here."""
    stored = {run.spec.dtype for run in runs if run.spec.pair == pair.name}
    return stored.pop() if len(stored) == 1 else device_plan.fitting_dtype(pair)


def stored_questions(asked: Question, runs: Sequence[Run]) -> Iterator[Question]:
    """What is answered for both models about the pair and task that are asked for: with the fewest other settings
    first, of these the newest. Each is looked up when it is asked for."""
    about = (asked.pair, asked.task)
    of_task = [run.spec for run in runs if (run.spec.pair, run.spec.task) == about and not run.spec.is_imported]
    arms = {spec for spec in of_task if spec.is_arm}
    mdms = dict.fromkeys(spec for spec in of_task if spec.model == "mdm")
    answered = [Question.of(spec) for spec in mdms if replace(spec, model="arm") in arms]
    find = lifecycle.finder()
    for question in sorted(answered, key=lambda question: len(_differing(asked, question))):
        if all(find(question.spec(m)) for m in ("arm", "mdm")):
            yield question


def title_of_pair(name: str) -> str:
    """What a pair is called; its name where it is gone (kept pairs can be removed)."""
    known = pairs()
    return known[name].title if name in known else name


def title_of_task(task: str) -> str:
    """What a task is called; its name where it is gone (own prompts can be deleted)."""
    try:
        return task_named(task).title
    except UserError:
        return task


def say_how_read(pair: Pair) -> None:
    """How a pair's MDM is read and how that is known, where its table does not say it."""
    if pair.misread:
        st.warning(plain(pair.how_read), icon=":material/report:")
    elif pair.how_read:
        st.caption(plain(pair.how_read))


def brought(runs: Sequence[Run], pair: Pair) -> str:
    """A sentence about numbers that were not computed here."""
    days = " and ".join(sorted({run.imported[:10] for run in runs if run.imported}))
    nothing = " Its weights are not here: nothing more of it can be computed." if weights_missing(pair) else ""
    return f"Computed elsewhere and imported on {days}.{nothing}"


def weights_missing(pair: Pair) -> bool:
    """Whether one of a pair's two models is not here."""
    return bool(obstacles(pair))


def size(pair: Pair) -> str:
    """How large a pair's models are, to stand behind its title; nothing where it is not told."""
    if pair.shape is None:
        return ""
    parameters = pair.shape.parameters
    many = f"{parameters / 1e9:.1f} billion" if parameters >= 1e9 else f"{parameters / 1e6:.0f} million"
    return f", {many} parameters"


def how_to_get(pair: Pair) -> None:
    """Show what to do for a pair's weights: where a licence is accepted first, what to type."""
    reasons = obstacles(pair)
    commands = {source: command for source in reasons if (command := get_command(source))}
    if pair.licence:
        st.markdown(f"First accept the licence at <{pair.licence}> and set `HF_TOKEN`, or run `hf auth login`.")
    if commands:
        st.code("\n".join(dict.fromkeys(commands.values())), language="bash")
    for reason in dict.fromkeys(reason for source, reason in reasons.items() if source not in commands):
        st.markdown(plain(reason))
    st.markdown("Or compute it on a machine that has them, and import the bundle on the Runs page.")
    shape = device_plan.shape_of(pair)
    if shape is not None:
        plan = device_plan.plan(shape, device_plan.formats(pair))
        st.caption(plain(f"{'Here it would run in' if plan.fits else 'It does not fit this machine:'} {plan}."))


def obstacles(pair: Pair) -> dict[str, str]:
    """The models of a pair that are not here, by source, and a sentence about each."""
    missing = {}
    for source in (pair.folder("arm"), pair.folder("mdm")):
        try:
            weights_id(source)
        except UserError as error:
            missing[source] = str(error)
    return missing


def differences(question: Question, other: Question) -> str:
    """In which settings another question differs, as in "n = 300, seed = 1, bfloat16"."""
    return ", ".join(
        f"{NAMES[field]} = {getattr(other, field)}" if field in NAMES else other.dtype
        for field in _differing(question, other)
    )


def _differing(question: Question, other: Question) -> list[str]:
    """The settings that two questions do not share, by field."""
    return [field for field in (*NAMES, "dtype") if getattr(question, field) != getattr(other, field)]
