"""A bundle that was tampered with is refused in one sentence, and leaves nothing behind."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from cache.layout import SORTED_BY
from engine import settings
from engine.errors import UserError
from engine.exchange import bundle
from engine.models import pairs
from engine.tasks import own_prompts
from tests.engine.exchange.conftest import stored

TAMPERED = {
    "json": ("UPDATE runs SET spec = '{'", "spec is not valid JSON"),
    "nan": ("UPDATE runs SET meta = replace(meta, '4.5', 'NaN')", "meta has NaN, which is no number"),
    "half a character": ("UPDATE runs SET meta = replace(meta, 'Fake', '\\ud800')", "meta has half a character"),
    "unknown field": ("UPDATE runs SET spec = replace(spec, 'seed', 'sed')", "unknown field 'sed'"),
    "type": ("UPDATE runs SET spec = replace(spec, 'seed\": 0', 'seed\": \"0\"')", "'0'. It must be a whole"),
    "value": ("UPDATE runs SET spec = replace(spec, 'eap-ig', 'magic')", "method is 'magic'"),
    "number": ("UPDATE runs SET spec = replace(spec, 'seed\": 0', 'seed\": 9' || repeat('0', 30))", "very large"),
    "other pair": ("UPDATE runs SET spec = replace(spec, 'mine', 'yours')", "of the pair 'yours', not of 'mine'"),
    "edges": ("UPDATE runs SET meta = regexp_replace(meta, '(n_layers|n_heads)\": 2', '\\1\": 500', 'g')", "edges"),
    "no layers": ("UPDATE runs SET meta = replace(meta, 'n_layers\": 2', 'n_layers\": 0')", "n_layers = 0"),
    "accuracy": ("UPDATE runs SET meta = replace(meta, 'accuracy\": 0', 'accuracy\": 7')", "accuracy = 7"),
    "remarks": ("UPDATE runs SET meta = replace(meta, 'remarks\": []', 'remarks\": [3]')", "must be a list of texts"),
    "remark": (
        "UPDATE runs SET meta = replace(meta, 'remarks\": []', 'remarks\": [\"' || repeat('x', 2000) || '\"]')",
        "meta has a very long text",
    ),
    "many remarks": (
        "UPDATE runs SET meta = replace(meta, 'remarks\": []', 'remarks\": [\"x\"' || repeat(', \"x\"', 30) || ']')",
        "meta has more than 20 remarks",
    ),
    "part": ("UPDATE runs SET meta = replace(meta, 'site-00', 'site-<b>')", "a part 'site-<b>'"),
    "key": ("UPDATE runs SET key = reverse(key)", "is not that of what it was made with"),
    "made with": ("UPDATE runs SET made_with = NULL", "made_with is not valid JSON"),
    "weights": ("UPDATE runs SET made_with = replace(made_with, 'weights', 'wights')", "does not say its weights"),
    "libraries": ("UPDATE runs SET made_with = replace(made_with, 'libraries', 'lib')", "does not say its libraries"),
    "date": ("UPDATE runs SET created = '<script>'", "'<script>' is no date"),
    "time": ("UPDATE runs SET seconds = 'nan'::DOUBLE", "nan seconds"),
    "task": ("UPDATE bundle SET header = regexp_replace(header, 'prompts\": .*', 'prompts\": []}')", "task 'own-"),
    "header": ("UPDATE bundle SET header = '{}'", "the header lacks the field"),
    "two headers": ("INSERT INTO bundle FROM bundle", "does not have one row"),
    "pair": ("UPDATE bundle SET header = replace(header, 'shifted', 'shiftet')", "unknown field 'shiftet'"),
    "prompts": ("UPDATE bundle SET header = replace(header, 'clean', 'claen')", "other fields than it should"),
    "edge": ("UPDATE edges SET edge = 9999 WHERE rank = 3", "column edge of edges has numbers from 0 to 9,999"),
    "edge twice": ("UPDATE edges SET edge = 0", "has an edge of .* twice"),
    "rank": ("UPDATE edges SET rank = 1", "has a rank of .* twice"),
    "score": ("UPDATE edges SET score = 'nan'::FLOAT WHERE rank = 5", "column score of edges has .* one that is none"),
    "order": ("UPDATE edges SET score = 1e9 WHERE rank = 5", "scores of .* that are not in order"),
    "infinite": ("UPDATE heads SET copying = 'inf'::FLOAT", "copying of heads has an infinite number"),
    "fewer edges": ("DELETE FROM edges WHERE rank = 0", "table edges has .* rows, not "),
    "foreign part": ("UPDATE readouts SET part = '<b>'", "column part of readouts has '<b>'"),
    "null": ("UPDATE examples SET correct = NULL", "column correct of examples lacks values"),
    "null in a list": ("UPDATE examples SET answer = [NULL]", "column answer of examples lacks values"),
    "long text": ("UPDATE examples SET prompt = [repeat('x', 5000)]", "prompt of examples has a very long text"),
    "node": ("UPDATE node_lens SET node = -1 WHERE node = 3", "node of node_lens has numbers from -1"),
    "node twice": ("UPDATE node_lens SET node = 3 WHERE node = 4", "node_lens has a row twice"),
    "lists": ("UPDATE residual_lens SET tokens = ['x']", "tokens, probabilities are not equally long"),
    "bins": ("UPDATE neurons SET counts = [1]", "counts of neurons has a list of 1 entries, not 41"),
    "neuron": ("DELETE FROM neurons WHERE layer = 1 AND neuron = 2", "neurons has 47 rows, not 48"),
    "region": ("UPDATE activation_histograms SET region = 'x'", "column region of activation_histograms has 'x'"),
    "pattern": ("UPDATE attention_patterns SET pattern = [1]", "is not tokens x tokens"),
    "tokens": ("UPDATE neuron_tokens SET activations = [0.5], gates = [0.5]", "not one number a token"),
    "heads": ("DELETE FROM heads WHERE node = 1", "table heads has 3 rows, not 4"),
    "blocks": ("UPDATE edge_blocks SET scores = [1.0] WHERE edge = 3", "edge_blocks has lists that do not have 4"),
    "curve": ("UPDATE overlap_curves SET shared = 1", "no two circuits can have in common"),
    "curve at other sizes": ("UPDATE overlap_curves SET k = k + 1", "not of the K that are kept"),
    "curve of nothing": ("UPDATE overlap_curves SET run_a = 99", "a run that is not there"),
    "curve of a part": ("UPDATE overlap_curves SET part_a = 'x'", "of the part 'x'"),
}  # fmt: skip


@pytest.mark.parametrize("what", TAMPERED)
def test_what_was_tampered_with_leaves_nothing_behind(changed: Callable[..., Path], elsewhere: Path, what: str) -> None:
    statement, why = TAMPERED[what]
    with pytest.raises(UserError, match=why) as refusal:
        bundle.take(changed(statement))
    assert str(refusal.value).startswith("changed.duckdb cannot be imported: ")
    assert set(stored().values()) == {0}
    assert "mine" not in pairs.pairs() and not own_prompts.saved_sets()


@pytest.mark.parametrize("table", SORTED_BY)
def test_an_emptied_table_leaves_nothing_behind(changed: Callable[..., Path], elsewhere: Path, table: str) -> None:
    refused(changed(f"DELETE FROM {table}"), f"the table {table} has (no|0) rows")  # noqa: S608


@pytest.mark.parametrize(
    ("statement", "why"),
    [
        ("UPDATE residual_lens SET answer_probability = 1.5", "answer_probability of residual_lens"),
        ("UPDATE accuracy_steps SET total = 0, correct = 0", "total of accuracy_steps"),
        ("UPDATE neurons SET active = 'nan'::FLOAT WHERE neuron = 3", "active of neurons"),
        ("UPDATE node_lens SET promoted = [], promoted_logit = []", "promoted of node_lens has a list of 0 entries"),
        ("UPDATE runs SET meta = replace(meta, 'accuracy_n\": 200', 'accuracy_n\": 0')", "meta says accuracy_n = 0"),
        ("UPDATE runs SET meta = regexp_replace(meta, 'parts\": .[^]]*]', 'parts\": []')", "meta has no parts"),
        ("UPDATE runs SET meta = replace(meta, 'site-', 'step-')", "which a run of arm has not"),
        ("UPDATE runs SET meta = replace(meta, '4.5', '1e999')", "1e999, which is beyond all bounds"),
        ("UPDATE runs SET meta = replace(meta, '4.5', '1e300')", "metric_clean = 1e"),
        ("UPDATE heads SET run = 77 WHERE node = 1", "'heads' has rows of a run that is not there"),
        ("INSERT INTO heads SELECT NULL, * EXCLUDE run FROM heads LIMIT 1", "'heads' has rows of a run that is not"),
        ("UPDATE overlap_curves SET shared = NULL", "an overlap curve lacks values"),
        ("UPDATE overlap_curves SET part_a = NULL", "an overlap curve in it lacks a value"),
        ("UPDATE bundle SET header = NULL", "its header lacks a value"),
    ],
)  # fmt: skip
def test_values_that_no_run_has_leave_nothing_behind(
    changed: Callable[..., Path], elsewhere: Path, statement: str, why: str
) -> None:
    refused(changed(statement), why)


DEEP = "[" * 100_000 + "]" * 100_000


TEXTS = {
    "deep": (DEEP, "more than 100 deep"),
    "deep with a bracket left open": ("[" * 100_000, "more than 100 deep|not valid JSON"),
    "rather deep": (f'{{"a": {"[" * 110}{"]" * 110}}}', "more than 100 deep"),
    "a number of 5,000 digits": (f'{{"a": {"9" * 5000}}}', "a number of more than 100 digits"),
    "a number of 4,000 digits": (f'{{"a": {"9" * 4000}}}', "a number of more than 100 digits"),
    "NaN": ('{"a": NaN}', "NaN, which is no number"),
    "Infinity": ('{"a": -Infinity}', "-Infinity, which is no number"),
    "beyond all bounds": ('{"a": 1e999}', "beyond all bounds"),
    "a field twice": ('{"made": 1, "made": 2}', "the field 'made' twice"),
    "a list": ("[1]", "is not a table of fields"),
    "nothing": ("", "is not valid JSON"),
    "half a character": ('{"a": "\\ud800"}', "half a character"),
}


@pytest.mark.parametrize("place", ["bundle SET header", "runs SET spec", "runs SET meta", "runs SET made_with"])
@pytest.mark.parametrize("what", TEXTS)
def test_texts_beyond_bounds_are_sentences(
    changed: Callable[..., Path], elsewhere: Path, place: str, what: str
) -> None:
    text, why = TEXTS[what]
    refused(changed(f"UPDATE {place} = ?", text), why)


@pytest.mark.parametrize(
    "toml", ["steps = " + "[" * 9000 + "]" * 9000, "shifted = " + "9" * 5000, "a." * 900 + "b = 1"]
)
def test_a_pair_beyond_bounds_is_a_sentence(changed: Callable[..., Path], elsewhere: Path, toml: str) -> None:
    change = "UPDATE bundle SET header = replace(header, 'shifted = true', ?)"
    refused(changed(change, toml), "its pair|pair")


def refused(file: Path, why: str) -> None:
    """A bundle is refused in one short sentence, and nothing of it or of its reading stays."""
    before = stored()
    with pytest.raises(UserError, match=why) as refusal:
        bundle.take(file)
    message = str(refusal.value)
    assert message.startswith("changed.duckdb cannot be imported: ") and "\n" not in message and len(message) < 500
    assert message.endswith(".") and not message.endswith("..")
    assert stored() == before == dict.fromkeys(before, 0)
    assert "mine" not in pairs.pairs() and not own_prompts.saved_sets()
    assert not settings.scratch_dir().exists()
