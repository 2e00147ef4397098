"""How stable an overlap is: under other settings, beside controls, and with its interval (METHOD, "Stability").

1. `settings_of` names the settings under which the overlap of a question is read besides its own: other seeds, numbers
   of integration points, methods, metrics, orders of revealing, numbers of denoising steps, prompt templates.
2. `overlaps` reads, for each of them, the overlap of ARM and MDM, and that of each model's circuit with its own under
   the question's settings: of edges, and of core components beside them. Nothing is computed with a model; what is
   not stored is None.
3. `controls` reads what an overlap is to be compared with: the step-0 control, the MDM's heads permuted at random,
   each model with itself at another seed, chance.
4. `pair_redrawn` and `halves_redrawn` have intervals with the edges ranked anew (engine/circuits/ranked_anew.py).
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from engine.circuits import along_k, comparison, profiles, ranked_anew
from engine.circuits.edges import EdgeTable
from engine.circuits.graph import Graph
from engine.circuits.head_permutations import Floor, permuted_component_overlap, permuted_overlap
from engine.circuits.ranked_anew import Redrawn, SplitHalfRedrawn
from engine.errors import UserError
from engine.models.pair import CONTROL, model_title
from engine.runs import lifecycle, read
from engine.runs.records import Run
from engine.runs.solvable import can_do
from engine.runs.spec import METHODS, METRICS, ORDERS, RunSpec
from engine.tasks.base import Listed
from engine.tasks.registry import task_named
from engine.tasks.templates import texts_of

SEEDS = (0, 1, 2)
POINTS = (5, 10, 20)
COLUMNS = ("ARM with MDM", "ARM with itself", "MDM with itself")
DEFAULT = "default"


@dataclass(frozen=True)
class Setting:
    """Both models' runs under a setting; those of a model that it does not concern are the question's own."""

    name: str  # as in "seed 1"
    kind: str  # what is changed: "seed", "points", "method", ...; DEFAULT: nothing
    arm: RunSpec
    mdm: RunSpec


@dataclass(frozen=True)
class Overlaps:
    """Jaccard indices, 0 .. 1, of two circuits of one size."""

    edges: float
    components: float  # of their core components; nan where neither has any


@dataclass(frozen=True)
class SettingRow:
    """What is read under a setting at one K; None: a run is not there, or would be compared with itself."""

    setting: Setting
    k: int
    pair: Overlaps | None  # ARM with MDM, both under the setting
    arm: Overlaps | None  # the ARM under the setting with the ARM under the question's own
    mdm: Overlaps | None
    remark: str = ""  # that a model cannot do the task under the setting, so that its circuit is not informative


@dataclass(frozen=True)
class HeatMap:
    """Rows of one K as arrays; nan where there is nothing."""

    names: tuple[str, ...]  # [setting]
    edges: NDArray[np.float64]  # [setting, column of COLUMNS]
    components: NDArray[np.float64]  # the same


@dataclass(frozen=True)
class Controls:
    """What the overlap of a pair at one K is compared with; None: a run is not there."""

    k: int
    pair: Overlaps
    chance: float  # of edges
    step_0: Overlaps | None  # the ARM with the step-0 control
    mdm_with_step_0: Overlaps | None
    permuted_edges: Floor  # the ARM with the MDM whose heads are permuted within layers
    permuted_components: Floor
    arm_other_seed: Overlaps | None  # the ARM with itself on the prompts of another seed
    mdm_other_seed: Overlaps | None


def settings_of(spec: RunSpec) -> list[Setting]:
    """The question of a spec (of whichever of its models), then every other setting that it can have."""
    arm, mdm = (replace(spec, model=model) for model in ("arm", _mdm_of(spec)))
    settings = [Setting(DEFAULT, DEFAULT, arm, mdm)]
    for kind, name, value in _changes(mdm):
        both = kind not in ("order", "denoising steps")  # which an ARM does not have
        field = kind.replace(" ", "_")
        changed_mdm = _changed(mdm, field, value)
        changed_arm = _changed(arm, field, value) if both else arm
        if changed_arm and changed_mdm:
            settings.append(Setting(name, kind, changed_arm, changed_mdm))
    return settings


def overlaps(settings: Sequence[Setting], sizes: Sequence[int]) -> list[SettingRow]:
    """A row for every setting and K of `sizes`; the first setting is the question's own.

    Raises:
        UserError: a size is larger than the circuits.
    """
    reader = _Reader(max(sizes))
    own = settings[0]
    return [
        SettingRow(
            setting,
            k,
            pair=reader.overlaps(setting.arm, setting.mdm, k),
            arm=reader.overlaps(setting.arm, own.arm, k),
            mdm=reader.overlaps(setting.mdm, own.mdm, k),
            remark=" ".join(filter(None, map(reader.inability, (setting.arm, setting.mdm)))),
        )
        for setting in settings
        for k in sizes
    ]


def heat_map(rows: Sequence[SettingRow], k: int) -> HeatMap:
    """The rows of one K as arrays for a figure."""
    chosen = [row for row in rows if row.k == k]
    cells = [[row.pair, row.arm, row.mdm] for row in chosen]
    edges, components = (
        np.array([[np.nan if cell is None else getattr(cell, name) for cell in row] for row in cells], dtype=np.float64)
        for name in ("edges", "components")
    )
    shape = (len(chosen), len(COLUMNS))
    return HeatMap(tuple(row.setting.name for row in chosen), edges.reshape(shape), components.reshape(shape))


def missing(settings: Sequence[Setting]) -> list[RunSpec]:
    """The runs of settings that are not stored, each once, in the order of the settings."""
    wanted = dict.fromkeys(spec for setting in settings for spec in (setting.arm, setting.mdm))
    return [spec for spec in wanted if lifecycle.find(spec) is None]


def controls(spec: RunSpec, k: int) -> Controls | None:
    """What the overlap of a question is compared with; None where its ARM or MDM is not there.

    Raises:
        UserError: the circuits have fewer than `k` edges.
    """
    reader = _Reader(k)
    arm, mdm, control = (replace(spec, model=model) for model in ("arm", _mdm_of(spec), CONTROL))
    pair = reader.overlaps(arm, mdm, k)
    runs = [reader.run(side) for side in (arm, mdm)]
    if pair is None or runs[0] is None or runs[1] is None:
        return None
    graph, (of_arm, of_mdm) = runs[0].meta.graph, (reader.circuit(run, k) for run in runs if run)
    cores = [along_k.core(profiles.components(profiles.importance(graph, c.edge, c.score))) for c in (of_arm, of_mdm)]
    return Controls(
        k=k,
        pair=pair,
        chance=comparison.chance(k, graph.n_edges),
        step_0=reader.overlaps(arm, control, k),
        mdm_with_step_0=reader.overlaps(mdm, control, k),
        permuted_edges=permuted_overlap(graph, of_arm.edge, of_mdm.edge),
        permuted_components=permuted_component_overlap(graph, cores[0], cores[1]),
        arm_other_seed=_other_seed(reader, arm, k),
        mdm_other_seed=_other_seed(reader, mdm, k),
    )


def pair_redrawn(arm: Run, *others: Run, k: int) -> list[Redrawn]:
    """The overlap of a stored run with each of several on the same prompts, all on the same draws of the prompts.

    Raises:
        UserError: the circuits have fewer than `k` edges.
    """
    values = [read.overlap(arm.key, other.key, k) for other in others]
    return ranked_anew.pair_overlaps(
        values, [read.edge_blocks(other.key) for other in others], read.edge_blocks(arm.key), k
    )


def halves_redrawn(arm: Run, mdm: Run, k: int) -> SplitHalfRedrawn | None:
    """The split-half overlaps of two stored runs with draws; None where there are no halves."""
    values = read.split_half(arm, mdm, k)
    if values is None:
        return None
    return ranked_anew.split_half(values, read.edge_blocks(arm.key), read.edge_blocks(mdm.key), k)


class _Reader:
    """Reads each run and its strongest edges once."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._runs: dict[RunSpec, Run | None] = {}
        self._edges: dict[str, EdgeTable] = {}

    def run(self, spec: RunSpec) -> Run | None:
        if spec not in self._runs:
            self._runs[spec] = lifecycle.find(spec)
        return self._runs[spec]

    def inability(self, spec: RunSpec) -> str:
        """That a stored run's model cannot do its task; empty where it can, as far as it is measured."""
        run = self.run(spec)
        ability = can_do(task_named(spec.task), run.accuracy if run else None)
        return "" if ability.can else f"{model_title(spec.model)}: {ability.reason}"

    def circuit(self, run: Run, k: int) -> EdgeTable:
        if run.key not in self._edges:
            self._edges[run.key] = read.edge_table(run.key, limit=self.most)
        edges = self._edges[run.key]
        if k > len(edges.edge):
            raise UserError(f"K is {k}, but the circuit has {len(edges.edge)} edges. Choose at most so many.")
        return EdgeTable(edges.edge[:k], edges.score[:k])

    def overlaps(self, a: RunSpec, b: RunSpec, k: int) -> Overlaps | None:
        runs = self.run(a), self.run(b)
        if a == b or runs[0] is None or runs[1] is None:
            return None
        graph: Graph = runs[0].meta.graph
        first, second = (self.circuit(run, k) for run in runs if run)
        return Overlaps(
            comparison.overlap_of(first.edge, second.edge), along_k.core_overlap(graph, first, second)
        )  # fmt: skip


def _mdm_of(spec: RunSpec) -> str:
    """The model that stands for the MDM: a checkpoint or the control, where the spec is of one."""
    return "mdm" if spec.is_arm else spec.model


def _changes(spec: RunSpec) -> Iterator[tuple[str, str, Any]]:
    """Kind, name and value of every setting besides the spec's own."""
    task = task_named(spec.task)
    if not isinstance(task, Listed):  # whose prompts are the same for every seed
        yield from (("seed", f"seed {seed}", seed) for seed in SEEDS if seed != spec.seed)
    if spec.method.startswith("eap-ig"):
        yield from (("points", f"{points} points", points) for points in POINTS if points != spec.points)
    yield from (("method", method, method) for method in METHODS if method != spec.method)
    yield from (("metric", metric, metric) for metric in METRICS if metric != spec.metric)
    if not task.parallel:  # else there is one step only
        yield from (("order", order, order) for order in ORDERS if order != spec.order)
        for steps in fewer_steps(_answer_length(spec)):
            if steps == spec.denoising_steps:
                continue
            yield "denoising steps", f"{steps} denoising step{'s' * (steps > 1)}", steps
    for template in range(1, len(texts_of(task)) + 1):
        if template != spec.template:
            yield "template", f"template {template}", template


def fewer_steps(length: int) -> list[int]:
    """1, 2, 4, ... below the length of the answer, which is the number of steps by default."""
    return [2**power for power in range(length.bit_length()) if 2**power < length]


def _answer_length(spec: RunSpec) -> int:
    """Tokens of the longest answer in a stored run of the spec; 0 where there is none."""
    run = lifecycle.find(spec)
    if run is None:
        return 0
    return max(len(answer) for answer in read.table(run.key, "examples", ("answer",))["answer"].to_pylist())


def _changed(spec: RunSpec, field: str, value: Any) -> RunSpec | None:
    """The spec with another value of a field; None where it is refused so (eap with the KL divergence)."""
    try:
        return replace(spec, **{field: value})
    except UserError:
        return None


def _other_seed(reader: _Reader, spec: RunSpec, k: int) -> Overlaps | None:
    """A model with itself on the prompts of the first other seed that is there."""
    others = (reader.overlaps(spec, replace(spec, seed=seed), k) for seed in SEEDS if seed != spec.seed)
    return next((overlaps for overlaps in others if overlaps), None)
