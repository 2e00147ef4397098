"""Estimate what an artifact costs: multiplications, from numbers of its spec alone; minutes, from what runs here took.

1. A circuit takes, per example, one row for an ARM and one for each denoising step of an MDM; per row a forward pass of
   the clean and of the corrupted prompt, and a forward and a backward pass (twice as much) at every integration point.
   A forward pass multiplies every weight once a token.
2. The other artifacts take a share of what the circuit does (engine/runs/time_left.py).
3. Seconds are these multiplications divided by those per second of the circuits in this cache, else by RATES.

The estimate of multiplications is the same on every machine, so that all of them share a sweep out alike.
"""

from __future__ import annotations

from functools import lru_cache

from engine.attribution.footprint import BYTES
from engine.errors import UserError
from engine.models.architecture import Shape
from engine.models.pairs import pair_named
from engine.runs import device_plan, stored
from engine.runs.artifacts import FIELDS
from engine.runs.records import Run
from engine.runs.spec import RunSpec
from engine.runs.steps import PartStep, Step
from engine.runs.time_left import WEIGHT
from engine.schema.artifacts import AnyKind
from engine.tasks.registry import examples, task_named

SAMPLED = 4  # examples by which the length of a task's rows is judged
TOKEN = 4  # characters, where the tokenizer doesn't know whole words
ALIKE = 64  # examples that artifacts take which depend on no number of examples
SMALL = Shape(4, 4, 4, 32, 128, 512, 512, tied=True)  # where a pair's shape is not known
RATES = {"cpu": 2e10, "cuda": 2e13}  # multiplications a second
MADE_OF_PARTS = 0.1  # of what the parts of a circuit took, to put it together


def multiplications(spec: RunSpec, kind: AnyKind, examples: int | None = None) -> float:
    """About how many an artifact takes; `examples`: of a part of a circuit, instead of the spec's n."""
    n = examples or spec.n if "n" in FIELDS.get(kind, ("n",)) else ALIKE
    passes = 2 + 3 * (spec.points if spec.method.startswith("eap-ig") else 1)
    tokens, steps = _length(spec.pair, spec.task, spec.template)
    rows = 1 if spec.is_arm else spec.denoising_steps or steps
    return WEIGHT[kind] * n * rows * tokens * _shape(spec.pair).parameters * passes


def of_step(step: Step) -> float:
    """`multiplications` of a step: of a part of a circuit, and of a circuit that is made of parts, its share."""
    if isinstance(step, PartStep):
        return multiplications(step.spec, step.kind, len(step.examples))
    whole = multiplications(step.spec, step.kind)
    return MADE_OF_PARTS * whole if step.kind == "circuit" and step.run.parts else whole


def rate() -> tuple[float, int]:
    """Multiplications a second of the circuits that this cache holds, and how many of them say so."""
    measured = [run for run in stored.list_runs() if _is_measured(run)]
    seconds = sum(run.seconds for run in measured)
    if seconds:
        return sum(multiplications(run.spec, "circuit") for run in measured) / seconds, len(measured)
    return RATES[device_plan.devices()[0].name], 0


def memory(spec: RunSpec) -> int | None:
    """Bytes that a model takes with its work, on the device that would be chosen here; None: its shape is unknown."""
    shape = device_plan.shape_of(pair_named(spec.pair))
    return None if shape is None else device_plan.plan(shape, (spec.dtype,)).needed


def _is_measured(run: Run) -> bool:
    return not run.imported and not run.spec.is_imported and run.seconds > 0 and run.spec.dtype in BYTES


@lru_cache(maxsize=256)
def _shape(pair: str) -> Shape:
    try:
        return device_plan.shape_of(pair_named(pair)) or SMALL
    except UserError:
        return SMALL


@lru_cache(maxsize=1024)
def _length(pair: str, task: str, template: int) -> tuple[int, int]:
    """Tokens of a row, about, and in how many steps an MDM reveals its answer."""
    try:
        there = task_named(task)
        drawn = examples(there, SAMPLED, 0)
        texts = [(example.prompt, example.answer) for example in drawn]
        in_words = pair_named(pair).prompts != "natural"
    except UserError:  # fewer rows than that, or a pair that is gone: what it is will be told when it is computed
        return ALIKE, 1
    prompt, answer = (sum(_tokens(text[i], in_words) for text in texts) / len(texts) for i in (0, 1))
    return max(1, round(prompt + answer)), 1 if there.parallel else max(1, round(answer))


def _tokens(text: str, in_words: bool) -> float:
    return len(text.split()) if in_words else len(text) / TOKEN
