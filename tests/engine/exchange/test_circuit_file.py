"""Circuits of other programs: what a literal writer of their format writes is read, and everything else is refused."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.circuits.graph import Graph
from engine.errors import LONGEST, UserError
from engine.exchange import circuit_file
from engine.exchange.circuit_file import CircuitFile, read_circuit
from engine.models.architecture import Shape

LAYERS, HEADS, WIDTH = 2, 2, 8
GRAPH = Graph(LAYERS, HEADS)
SHAPE = Shape(LAYERS, HEADS, 1, 4, WIDTH, 16, 64, tied=False)  # grouped queries: destinations are by query head
FIRST = "input->a0.h0<q>"

Content = dict[str, Any]
Change = Callable[[Content], object]


def names_of_edges() -> list[str]:
    """Written out from the definition, in EAP-IG's order: for every destination, what it reads."""
    before, names = ["input"], []
    for layer in range(LAYERS):
        heads = [f"a{layer}.h{head}" for head in range(HEADS)]
        names += [f"{source}->{head}<{read}>" for source in before for head in heads for read in "qkv"]
        before += heads
        names += [f"{source}->m{layer}" for source in before]
        before.append(f"m{layer}")
    return names + [f"{source}->logits" for source in before]


NAMES = names_of_edges()
SCORES = {name: round(float(np.sin(3 * place + 1)), 4) for place, name in enumerate(NAMES)}


def eap_ig(inside: int = 10) -> Content:
    """What Graph.to_json writes, of which the first `inside` edges by |score| are the circuit."""
    top = sorted(NAMES, key=lambda name: -abs(SCORES[name]))[:inside]
    nodes = ["input", *(f"a{layer}.h{head}" for layer in range(LAYERS) for head in range(HEADS)), "m0", "m1", "logits"]
    return {
        "cfg": {"n_layers": LAYERS, "n_heads": HEADS, "parallel_attn_mlp": False, "d_model": WIDTH},
        "nodes": {node: {"in_graph": True} for node in nodes},
        "edges": {name: {"score": SCORES[name], "in_graph": name in top} for name in NAMES},
    }


def written(folder: Path, content: object, name: str = "theirs.json") -> Path:
    path = folder / name
    path.write_text(content if isinstance(content, str) else json.dumps(content))
    return path


def taken(folder: Path, content: object) -> CircuitFile:
    return read_circuit(written(folder, content), GRAPH, SHAPE)


def test_the_references_file_is_read(tmp_path: Path) -> None:
    assert len(NAMES) == GRAPH.n_edges
    file = taken(tmp_path, eap_ig())
    assert {GRAPH.edge_name(edge): score for edge, score in enumerate(file.score.tolist())} == pytest.approx(SCORES)
    assert file.name == "theirs.json" and len(file.remarks) == 1 and "the file theirs.json" in file.remarks[0]


def test_a_list_of_importances_needs_no_membership(tmp_path: Path) -> None:
    """As MIB's evaluation reads it: it ranks the edges itself."""
    content = eap_ig()
    content["edges"] = {name: {"score": fields["score"]} for name, fields in content["edges"].items()}
    del content["cfg"]["d_model"]  # which our own exports cannot always say
    assert taken(tmp_path, content).source == taken(tmp_path, eap_ig()).source


def test_membership_alone_is_a_circuit_of_one_size(tmp_path: Path) -> None:
    """As MIB takes several circuits of one size each."""
    content = eap_ig(7)
    for fields in content["edges"].values():
        del fields["score"]
    file = taken(tmp_path, content)
    inside = {name for name, fields in content["edges"].items() if fields["in_graph"]}
    assert {GRAPH.edge_name(edge) for edge in np.flatnonzero(file.score == 1)} == inside and len(inside) == 7
    assert file.score.sum() == 7 and "only K = 7 is its circuit" in file.remarks[1]


@pytest.mark.parametrize("with_scores", [True, False])
def test_edges_that_are_left_out_rank_last(tmp_path: Path, with_scores: bool) -> None:
    content = eap_ig(9)
    content["edges"] = {name: fields for name, fields in content["edges"].items() if fields["in_graph"]}
    if not with_scores:
        content["edges"] = {name: {"in_graph": True} for name in content["edges"]}
    file = taken(tmp_path, content)
    assert np.count_nonzero(file.score) == 9
    assert f"leaves out {len(NAMES) - 9} edges: they have the score 0 and rank last" in file.remarks[1]


def test_another_circuit_than_the_strongest_edges_is_remarked(tmp_path: Path) -> None:
    content = eap_ig(0)
    for name in sorted(NAMES, key=lambda name: -SCORES[name])[:20]:  # signed, as MIB ranks for CPR
        content["edges"][name]["in_graph"] = True
    strongest = set(sorted(NAMES, key=lambda name: -abs(SCORES[name]))[:20])
    among = sum(content["edges"][name]["in_graph"] for name in strongest)
    assert 0 < among < 20 and f"{among} of them are among the 20" in taken(tmp_path, content).remarks[1]


def test_scores_of_nodes_are_not_used(tmp_path: Path) -> None:
    content = eap_ig()
    content["nodes"]["m0"]["score"] = 0.5
    assert taken(tmp_path, content).remarks[1:] == ("The file's scores of nodes are not used.",)


def test_the_source_is_that_of_the_scores(tmp_path: Path) -> None:
    """The order of edges, the size of the circuit and a zero's sign make no other circuit; a score does."""
    content, other = eap_ig(), eap_ig(3)
    content["edges"][FIRST]["score"], other["edges"][FIRST]["score"] = 0.0, -0.0
    other["edges"] = dict(reversed(other["edges"].items()))
    source = taken(tmp_path, content).source
    assert len(source) == 20 and taken(tmp_path, other).source == source
    other["edges"][FIRST]["score"] = 1e-6
    assert taken(tmp_path, other).source != source


def _set(*path: str, to: object) -> Change:
    def change(content: Content) -> None:
        for name in path[:-1]:
            content = content[name]
        content[path[-1]] = to

    return change


def _without(*path: str) -> Change:
    def change(content: Content) -> None:
        for name in path[:-1]:
            content = content[name]
        del content[path[-1]]

    return change


def _every_edge(fields: Content) -> Change:
    return lambda content: content.update(edges=dict.fromkeys(NAMES, fields))


MALFORMED: dict[str, tuple[Change, str]] = {
    "no cfg": (_without("cfg"), "lacks the field 'cfg'"),
    "no nodes": (_without("nodes"), "lacks the field 'nodes'"),
    "no edges at all": (_without("edges"), "lacks the field 'edges'"),
    "cfg is a list": (_set("cfg", to=[2, 2]), r"cfg in the circuit file 'theirs.json' is \[2, 2\]"),
    "edges are a list": (_set("edges", to=[FIRST]), "edges in the circuit .* must be a table"),
    "more layers": (_set("cfg", "n_layers", to=12), "its n_layers is 12, and this model's is 2"),
    "more heads": (_set("cfg", "n_heads", to=3), "its n_heads is 3, and this model's is 2"),
    "another width": (_set("cfg", "d_model", to=768), "its d_model is 768, and this model's is 8"),
    "no number of layers": (_without("cfg", "n_layers"), "n_layers in cfg .* is None"),
    "layers as text": (_set("cfg", "n_layers", to="2"), "n_layers in cfg .* is '2'"),
    "heads as a float": (_set("cfg", "n_heads", to=2.0), "n_heads in cfg .* is 2.0"),
    "parallel MLP": (_set("cfg", "parallel_attn_mlp", to=True), "attention and MLP of a layer read the same residual"),
    "parallel as text": (_set("cfg", "parallel_attn_mlp", to="no"), "parallel_attn_mlp in cfg .* is 'no'"),
    "unknown node": (_set("nodes", "m2", to={"in_graph": True}), "has a node 'm2', which this model has not"),
    "node as truth": (_set("nodes", "m0", to=True), "The node m0 .* is True. It must be a table"),
    "node without membership": (_set("nodes", "m0", to={}), "The node m0 .* has no in_graph"),
    "node membership as 1": (_set("nodes", "m0", "in_graph", to=1), "in_graph of the node m0 .* is 1"),
    "neurons": (_set("nodes", "m0", "neurons", to=[True] * 8), "chooses neurons within m0"),
    "unknown node of an edge": (_set("edges", "a2.h0->logits", to={}), "whose node 'a2.h0' this model has not"),
    "edge back": (_set("edges", "m1->m0", to={}), "'m1->m0', which this model has not: its end does not read"),
    "edge to a head without q": (_set("edges", "m0->a1.h0", to={}), "does not say whether q, k or v"),
    "edge to an MLP with q": (_set("edges", "m0->m1<q>", to={}), "'m0->m1<q>', which this model has not"),
    "no name of an edge": (_set("edges", "m0 to m1", to={}), "'m0 to m1', which is no name of an edge"),
    "edge as a number": (_set("edges", FIRST, to=0.5), "The edge input->a0.h0<q> .* is 0.5. It must be a table"),
    "score as text": (_set("edges", FIRST, "score", to="0.5"), "score of the edge input.* is '0.5'"),
    "score as truth": (_set("edges", FIRST, "score", to=True), "score of the edge .* is True. It must be a number"),
    "score of none": (_set("edges", FIRST, "score", to=None), "score of the edge .* is None"),
    "score too large": (_set("edges", FIRST, "score", to=1e30), r"is 1e\+30. It must be from -1e\+12 to 1e\+12"),
    "one edge without score": (_without("edges", FIRST, "score"), "input->a0.h0<q> .* has no score, and other edges"),
    "one edge without membership": (_without("edges", FIRST, "in_graph"), "has no in_graph, and other edges have"),
    "membership as text": (_set("edges", FIRST, "in_graph", to="yes"), "in_graph of the edge .* is 'yes'"),
    "neither": (_every_edge({}), "have neither score nor in_graph"),
    "all zero": (_every_edge({"score": 0.0, "in_graph": False}), "ranks nothing"),
    "zero in float32": (_every_edge({"score": 1e-60}), "ranks nothing"),
    "empty": (_set("edges", to={}), "has no edges"),
}


@pytest.mark.parametrize("case", MALFORMED)
def test_what_cannot_be_is_refused_in_a_sentence(case: str, tmp_path: Path) -> None:
    change, expected = MALFORMED[case]
    content = eap_ig()
    change(content)
    _refused(written(tmp_path, content), expected)


def test_edges_that_no_membership_excuses_are_missed(tmp_path: Path) -> None:
    content = eap_ig()
    content["edges"] = {name: {"score": SCORES[name]} for name in NAMES if name not in (FIRST, "m1->logits")}
    expected = f"lacks 2 of the model's {len(NAMES)} edges, the first is input->a0.h0<q>. Edges can only be left out"
    _refused(written(tmp_path, content), expected)


TEXTS = {
    "not JSON": ("edges: all", "is not valid JSON"),
    "cut off": (json.dumps(eap_ig())[:-20], "is not valid JSON"),
    "not a table": ("[]", "is not a table of fields"),
    "no number": (json.dumps(eap_ig()).replace(str(SCORES[FIRST]), "NaN", 1), "has NaN, which is no number"),
    "infinite": (json.dumps(eap_ig()).replace(str(SCORES[FIRST]), "-Infinity", 1), "has -Infinity"),
    "beyond all bounds": (json.dumps(eap_ig()).replace(str(SCORES[FIRST]), "1e999", 1), "beyond all bounds"),
    "name twice": (json.dumps(eap_ig()).replace("input->a0.h0<k>", FIRST, 1), "has the field 'input->a0.h0<q>' twice"),
    "nested too deep": ('{"cfg": ' + "[" * 5000 + "]" * 5000 + "}", "more than 100 deep"),
    "digits": (json.dumps(eap_ig()).replace(str(SCORES[FIRST]), "1" * 5000, 1), "a number of more than 100 digits"),
    "half a character": (json.dumps(eap_ig() | {"source": "\ud800"}), "half a character"),
}


@pytest.mark.parametrize("case", TEXTS)
def test_texts_that_are_no_circuit_are_refused(case: str, tmp_path: Path) -> None:
    text, expected = TEXTS[case]
    _refused(written(tmp_path, text), expected)


def test_files_that_cannot_be_read_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _refused(tmp_path / "none.json", "there is no such file")
    _refused(tmp_path, "it is no file")
    _refused(written(tmp_path, "PK", "graph.pt"), "one of PyTorch's, which can run code")
    (tmp_path / "latin.json").write_bytes(b'{"cfg": "\xe9"}')
    _refused(tmp_path / "latin.json", "is not UTF-8 text")
    monkeypatch.setattr(circuit_file, "MOST", 100)
    _refused(written(tmp_path, eap_ig()), "100 are the most that is read")


def test_a_long_name_is_cut(tmp_path: Path) -> None:
    file = read_circuit(written(tmp_path, eap_ig(), "x" * 200 + ".json"), GRAPH, SHAPE)
    assert file.name == "x" * 80 + "..."


def _refused(path: Path, expected: str) -> None:
    with pytest.raises(UserError, match=expected) as raised:
        read_circuit(path, GRAPH, SHAPE)
    sentence = str(raised.value)
    assert sentence.endswith(".") and path.name in sentence
    assert len(sentence) <= LONGEST + 50
