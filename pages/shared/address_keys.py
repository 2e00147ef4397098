"""What may stand under each key of an address, and what is wrong with a text that may not."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from engine.circuits.filters import CLASSES, KINDS, SIGNS
from engine.errors import UserError
from engine.inspection import bins
from engine.models.pair import DTYPES
from engine.models.pairs import pair_named
from engine.runs.spec import BOUNDS, METHODS, METRICS, ORDERS
from engine.schema.evidence_tables import ESTIMATORS, REPLACEMENTS
from engine.tasks.registry import task_named
from pages.shared import imported, state
from pages.shared.state import AUTO, kind_name

MOST_WHOLE = 10**9  # no number in an address is larger
LONGEST = 80  # characters of a text that are shown
LISTED = 12  # options that are listed in full
COMPARING = ("circuits", "activations", "neurons", "denoising", "evidence")  # pages of one pair, task and method
NOT_HERE = "The link asks for something that is not here."


@dataclass(frozen=True)
class Key:
    """What may stand under a key: one of `options`, a whole number within `bounds`, or, with neither, any text."""

    words: str
    options: tuple[str, ...] = ()
    bounds: tuple[int, int] | None = None
    several: bool = False  # it may come more than once, or be empty


ANY_NUMBER = (0, MOST_WHOLE)
KEYS = {
    state.PAIR: Key("the pair"),
    state.TASK: Key("the task"),
    state.METHOD: Key("the method"),
    state.N: Key("the number of examples n", bounds=(1, 10_000)),
    state.SEED: Key("the seed", bounds=(0, 1_000_000)),
    state.POINTS: Key("the number of integration points m", bounds=(1, 1000)),
    state.ORDER: Key("the order of revealing", ORDERS),
    state.METRIC: Key("the metric", METRICS),
    state.DTYPE: Key("the precision", (AUTO, *DTYPES)),
    state.DENOISING_STEPS: Key("the number of denoising steps", bounds=BOUNDS[state.DENOISING_STEPS][1:]),
    state.TEMPLATE: Key("the prompt template", bounds=BOUNDS[state.TEMPLATE][1:]),
    state.STEP: Key("the step of post-training"),
    state.K: Key("K", bounds=(1, MOST_WHOLE)),
    state.TAU: Key("the faithfulness", state.TAU_OPTIONS),
    state.KINDS: Key("the kind of edges", tuple(map(kind_name, KINDS)), several=True),
    state.SIGN: Key("the sign of edges", SIGNS),
    state.SHOW: Key("the choice of edges", CLASSES),
    state.PRUNE: Key("the pruning", ("true", "false")),
    state.ARM_PART: Key("the site of the ARM"),
    state.MDM_PART: Key("the denoising step of the MDM"),
    state.NODE: Key("the node"),
    state.NODES: Key("the pinned nodes", several=True),
    state.GRAPHS: Key("the view of the graphs", state.GRAPH_VIEWS),
    state.READOUT: Key("the example and token"),
    state.TAB: Key("the tab", state.TABS),
    state.INPUT: Key("the example", bounds=ANY_NUMBER),
    state.INPUT_STEP: Key("the denoising step"),
    state.REGION: Key("the kind of tokens", state.REGIONS),
    state.EARLY: Key("the number of early layers", bounds=ANY_NUMBER),
    state.LAYER: Key("the layer", bounds=ANY_NUMBER),
    state.BIN: Key("the bin", tuple(map(bins.label, range(bins.BINS)))),
    state.VIEW: Key("the drawing of importance", state.VIEWS),
    state.HEIGHTS: Key("the drawing of histograms", state.HEIGHTS_SHOWN),
    state.MEASURE: Key("the measure of the lens", state.MEASURES),
    state.NEURON: Key("the neuron", bounds=ANY_NUMBER),
    state.PINS: Key("the pinned neuron"),
    state.SEARCH: Key("the search"),
    state.SORT: Key("the order of neurons", state.NEURON_ORDERS),
    state.QUANTITY: Key("the quantity", state.QUANTITIES),
    state.LINES: Key("the lines over K", state.LINES_SHOWN),
    state.REPLACED: Key("the replacement of outputs", REPLACEMENTS),
    state.ESTIMATOR: Key("the estimator", ESTIMATORS),
    state.SWEEP: Key("the sweep"),
    state.SWEEP_K: Key("K of the sweep", bounds=(1, MOST_WHOLE)),
    state.SWEEP_SHOWN: Key("what is shown of the sweep", state.SWEEP_MEASURES),
    state.SWEEP_COLUMNS: Key("the columns of the sweep", state.SWEEP_BY),
    state.SWEEP_MODEL: Key("the model of the sweep"),
    state.EXAMPLE: Key("the example", bounds=ANY_NUMBER),
    state.SAMPLER: Key("the sampler"),
    state.AT: Key("the denoising step", bounds=ANY_NUMBER),
    state.POSITION: Key("the answer position", bounds=ANY_NUMBER),
}
MAY_BE_EMPTY = (state.KINDS, state.NODES, state.PINS, state.SEARCH)


def _method_named(name: str) -> str:
    if name.startswith(imported.PREFIX) and not imported.runs_of(name):
        raise UserError(
            "The circuit from elsewhere that it names is not in the cache. Import its file on the Runs page."
        )
    if name not in METHODS and not name.startswith(imported.PREFIX):
        raise UserError(f"There is no method called {name!r}. Choose one of: {', '.join(METHODS)}.")
    return name


# What has to be here for anything to be shown: key -> what refuses a name that is not.
NEEDED: dict[str, Callable[[str], object]] = {
    state.PAIR: pair_named,
    state.TASK: task_named,
    state.METHOD: _method_named,
}
# What belongs to a question: where a link names a pair or a task, what it leaves out are a run's defaults.
SETTINGS = (
    state.PAIR, state.TASK, state.METHOD, state.N, state.SEED, state.POINTS, state.ORDER, state.METRIC, state.DTYPE,
    state.DENOISING_STEPS, state.TEMPLATE, state.STEP,
)  # fmt: skip


def fault(key: str, texts: Sequence[str], page: str = "") -> str | None:
    """What is wrong with the texts of a key whatever runs are shown, as a sentence; None: nothing."""
    known = KEYS.get(key)
    if known is None or (key in NEEDED and page in COMPARING):
        return None
    if len(set(texts)) > 1 and not known.several:
        return f"The link names {known.words} more than once: {', '.join(map(quoted, texts))}."
    for text in texts:
        if not text and key in MAY_BE_EMPTY:
            continue
        if not text:
            return f"The link says “{key}=” and then nothing."
        if key in NEEDED:
            try:
                NEEDED[key](cut(text))
            except UserError as error:
                return f"{NOT_HERE} {error}"
        sentence = within(known, text) if known.bounds else among(known, text, known.options)
        if sentence:
            return sentence
    return None


def whole(text: str) -> int | None:
    """A whole number as widgets write it, however long; None where it is none."""
    return int(text[:20]) if re.fullmatch(r"0|-?[1-9][0-9]*", text) else None


def quoted(text: str) -> str:
    return f"“{cut(text)}”"


def cut(text: str) -> str:
    """A text as it can be shown: of a bearable length, and without characters that cannot be seen."""
    shown = "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text[: LONGEST + 1])
    return shown if len(shown) <= LONGEST else shown[:LONGEST] + "…"


def within(known: Key, text: str) -> str | None:
    least, most = known.bounds or ANY_NUMBER
    number = whole(text)
    if number is not None and least <= number <= most:
        return None
    to = f" to {most:,}" if most < MOST_WHOLE else " on"
    possible = f"There is only {least:,}" if least == most else f"It can be a whole number from {least:,}{to}"
    return f"The link asked for {known.words} {quoted(text)}. {possible}."


def among(known: Key, text: str, options: Sequence[str]) -> str | None:
    if not options or text in options:
        return None
    listed = options if len(options) <= LISTED else [*options[: LISTED - 2], "…", options[-1]]
    return f"The link asked for {known.words} {quoted(text)}, which is not here. Possible: {', '.join(listed)}."
