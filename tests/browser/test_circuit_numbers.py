"""What numbers.js says of two circuits at any K is what the engine says: the arithmetic exists twice."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from playwright.sync_api import Page

from engine.circuits import comparison, profiles
from engine.circuits.along_k import SHARE, core_overlap
from engine.circuits.comparison import order_of
from engine.circuits.edges import EdgeTable
from engine.circuits.filters import CLASSES, KINDS, SIGNS, Filters, choose
from engine.circuits.graph import Graph
from engine.circuits.pruning import prune
from engine.runs import read
from pages.components.circuit import component
from pages.components.circuit.payload import pack
from pages.panels import circuit_content
from pages.shared import cached_reads

SIZES = 50  # K at which the two are compared
CLOSE = 1e-6  # relative: scores have 24 bits
CHOICES = [
    Filters(kinds, sign, show, pruned)
    for kinds, sign, show, pruned in product([KINDS, ("q", "v"), ("mlp", "logits"), ()], SIGNS, CLASSES, [False, True])
][::5]
IN_BROWSER = """async ({ folder, packed, sizes, choices }) => {
    const load = (name) => import(`${folder}/${name}.js`);
    const [{ unpack }, numbers, { Axis }] = await Promise.all(["payload", "numbers", "curve"].map(load));
    const payload = unpack(Uint8Array.from(atob(packed), (c) => c.charCodeAt(0)));
    const { edges, header } = payload;
    const nodes = numbers.nodesOf(header.shape);
    const axis = new Axis(payload);
    return sizes.map((k) => {
        const all = numbers.numbersAt(payload, k);
        const line = axis.value(0, k);
        const here = Math.min(k, edges.arm.score.length);
        const text = (flags) => flags.join("");
        const by = (model, choice) => text(numbers.kept(edges[model], here, k, choice, nodes));
        return {
            numbers: all && { ...all, profile: all.profile.map((shares) => Array.from(shares)) },
            line: line === undefined ? null : line,
            importance: ["arm", "mdm"].map((model) => Array.from(numbers.importance(edges[model], here, nodes))),
            pruned: ["arm", "mdm"].map((model) => text(numbers.pruned(edges[model], here, nodes))),
            kept: choices.map((choice) => ["arm", "mdm"].map((model) => by(model, choice))),
        };
    });
}"""


@dataclass(frozen=True)
class Tables:
    """Two models' edges, all of them, strongest first."""

    graph: Graph
    arm: EdgeTable
    mdm: EdgeTable

    def top(self, model: str, k: int) -> EdgeTable:
        table = self.arm if model == "arm" else self.mdm
        return EdgeTable(table.edge[:k], table.score[:k])


@pytest.fixture
def modules(page: Page, address: str) -> Page:
    """A page of the app's server that shows nothing, so that importing modules is all that it does."""
    page.goto(address + "_stcore/health")
    return page


@pytest.mark.parametrize("seed", range(6))
def test_all_numbers_of_random_tables_are_those_of_the_engine(
    modules: Page, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    tables = _random_tables(seed)
    n = tables.graph.n_edges
    sizes = sorted({1, n, *np.random.default_rng(seed).integers(1, n + 1, SIZES).tolist()})
    for k, told in zip(sizes, _told(modules, tables, monkeypatch, sizes, here=n), strict=True):
        _compare_numbers(tables, k, told)
        for at, model in enumerate(("arm", "mdm")):
            top = tables.top(model, k)
            by_node = profiles.importance(tables.graph, top.edge, top.score)
            assert told["importance"][at] == pytest.approx(by_node, rel=CLOSE, abs=1e-12)
            assert told["pruned"][at] == _text(prune(tables.graph, top.edge))
        for filters, flags in zip(CHOICES, told["kept"], strict=True):
            expected = [_kept(tables, model, k, filters) for model in ("arm", "mdm")]
            assert flags == expected, (k, filters)


@pytest.mark.parametrize("seed", [10, 11])
def test_above_the_edges_that_are_here_numbers_are_exact_at_the_stops_and_missing_between(
    modules: Page, monkeypatch: pytest.MonkeyPatch, seed: int
) -> None:
    tables = _random_tables(seed, Graph(3, 4))
    n, here = tables.graph.n_edges, 60
    monkeypatch.setattr(circuit_content, "HERE", here)
    chosen = here + 1  # is a stop because it is chosen
    stops = circuit_content.stops_of(n, chosen).tolist()
    assert chosen in stops and stops[-1] == n and len(stops) < n - here
    sizes = [1, 7, here, *range(here + 1, n + 1)]
    negative = Filters(sign="negative", show="only")
    answers = _told(modules, tables, monkeypatch, sizes, here, chosen, choices=[negative])
    for k, told in zip(sizes, answers, strict=True):
        if k <= here or k in stops:
            _compare_numbers(tables, k, told)
            expected = [_kept(tables, model, k, negative)[:here] for model in ("arm", "mdm")]
            assert told["kept"] == [expected]
        else:
            assert told["numbers"] is None and told["line"] is None


def test_without_what_is_above_them_the_edges_that_are_here_have_all_their_numbers(
    modules: Page, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first message of a page holds no stops: they take longer to read."""
    tables = _random_tables(20, Graph(3, 4))
    here = 60
    sizes = [1, 30, here, here + 1, tables.graph.n_edges]
    answers = _told(modules, tables, monkeypatch, sizes, here, whole=False)
    for k, told in zip(sizes, answers, strict=True):
        if k <= here:
            _compare_numbers(tables, k, told)
        else:
            assert told["numbers"] is None


def test_tables_without_any_score_have_no_shares(modules: Page, monkeypatch: pytest.MonkeyPatch) -> None:
    graph = Graph(2, 2)
    zero = np.zeros(graph.n_edges, dtype=np.float32)
    tables = Tables(graph, _table(zero), _table(zero))
    sizes = [1, 10, graph.n_edges]
    for k, told in zip(sizes, _told(modules, tables, monkeypatch, sizes, graph.n_edges), strict=True):
        _compare_numbers(tables, k, told)
        assert told["numbers"]["effective"] == [0, 0]


def _compare_numbers(tables: Tables, k: int, told: dict[str, Any]) -> None:
    expected = comparison.compare(tables.graph, tables.arm, tables.mdm, k)
    numbers = told["numbers"]
    assert numbers["shared"] == expected.shared
    tops = [tables.top(model, k) for model in ("arm", "mdm")]
    pairs = {
        "jaccard": expected.jaccard,
        "chance": expected.chance,
        "components": core_overlap(tables.graph, *tops),
        "early": [expected.arm.early_share, expected.mdm.early_share],
        "ratio": expected.early_ratio,
        "effective": [expected.arm.effective_number, expected.mdm.effective_number],
    }
    for name, value in pairs.items():
        assert numbers[name] == pytest.approx(value, rel=CLOSE, abs=1e-12, nan_ok=True), (k, name)
    assert told["line"] == pytest.approx(expected.jaccard, rel=CLOSE)
    for shares, top in zip(numbers["profile"], tops, strict=True):
        by_node = profiles.importance(tables.graph, top.edge, top.score)
        assert shares == pytest.approx(profiles.layer_profile(tables.graph, by_node), rel=CLOSE, abs=1e-7)


def _kept(tables: Tables, model: str, k: int, filters: Filters) -> str:
    """A 1 for every edge of a model's circuit that the filters keep, a 0 for every other, by rank."""
    own, other = (tables.top(some, k) for some in (("arm", "mdm") if model == "arm" else ("mdm", "arm")))
    shared = np.isin(own.edge, other.edge)
    return _text(choose(tables.graph, own.edge, own.score, filters, shared).keep)


def _text(flags: NDArray[np.bool_]) -> str:
    return "".join(map(str, flags.astype(int)))


def _random_tables(seed: int, graph: Graph | None = None) -> Tables:
    """A random graph with scores of both signs, of which many are equal and some are zero."""
    rng = np.random.default_rng(seed)
    graph = graph or Graph(int(rng.integers(1, 7)), int(rng.integers(1, 7)))
    base, *own = rng.standard_normal((3, graph.n_edges)) * np.exp(rng.standard_normal((3, graph.n_edges)))
    grain = [0.0, 0.05, 0.5][seed % 3]  # equal scores are ranked by the edge's index
    scores = [0.6 * base + 0.4 * noise for noise in own]
    if grain:
        scores = [grain * np.round(score / grain) for score in scores]
    return Tables(graph, *(_table(score.astype(np.float32)) for score in scores))


def _table(scores: NDArray[np.float32]) -> EdgeTable:
    order = order_of(scores)
    return EdgeTable(order, scores[order])


def _told(
    page: Page,
    tables: Tables,
    monkeypatch: pytest.MonkeyPatch,
    sizes: list[int],
    here: int,
    chosen: int = 0,
    whole: bool = True,
    choices: Sequence[Filters] = CHOICES,
) -> list[dict[str, Any]]:
    """What the browser says at every K, of arrays that the app itself makes of the tables."""
    monkeypatch.setattr(circuit_content, "HERE", here)
    monkeypatch.setattr(cached_reads, "graph_of", lambda _: tables.graph)
    monkeypatch.setattr(cached_reads, "edges", lambda key, _, k: tables.top(key, k))
    monkeypatch.setattr(read, "edge_table", lambda key, _: tables.top(key, tables.graph.n_edges))
    monkeypatch.setattr(read, "shared_counts", lambda *_: _shared_counts(tables))
    make = circuit_content.arrays_of.__wrapped__  # what is kept is kept by key, and these tables have none
    arrays = make(("arm", ""), ("mdm", ""), ((("arm", "", "mdm", ""),),), chosen, whole)
    graph = tables.graph
    shape = {
        "layers": graph.n_layers,
        "heads": graph.n_heads,
        "edges": graph.n_edges,
        "early": profiles.early_boundary(graph.n_layers),
        "core": SHARE,
    }
    told: list[dict[str, Any]] = page.evaluate(
        IN_BROWSER,
        {
            "folder": component.route().path,
            "packed": base64.b64encode(pack({"shape": shape}, arrays)).decode(),
            "sizes": sizes,
            "choices": [
                {
                    "kinds": [kind in filters.kinds for kind in KINDS],
                    "sign": filters.sign,
                    "show": filters.show,
                    "prune": filters.pruned,
                }
                for filters in choices
            ],
        },
    )
    return told


def _shared_counts(tables: Tables) -> NDArray[np.int32]:
    return comparison.shared_counts(tables.arm.edge, tables.mdm.edge)
