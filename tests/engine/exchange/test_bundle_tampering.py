"""A bundle that was tampered with is refused in one sentence, and leaves nothing behind."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from engine import settings
from engine.errors import UserError
from engine.exchange import bundle
from engine.models import pairs
from engine.schema.tables import TABLES
from engine.tasks import own_prompts
from tests.bundles import kinds_in, zipped
from tests.engine.exchange.conftest import Changed, stored


def to(old: str, new: str) -> Callable[[str], str]:
    """A header with a text in the place of another."""
    return lambda header: header.replace(old, new)


def put(*place: str, value: object) -> Callable[[dict[str, Any]], None]:
    """A record with a value at a place."""

    def change(record: dict[str, Any]) -> None:
        for name in place[:-1]:
            record = record[name]
        record[place[-1]] = value

    return change


HEADERS: dict[str, tuple[Callable[[str], str], str]] = {
    "task": (lambda header: json.dumps({**json.loads(header), "prompts": []}), "a run is on the task 'own-"),
    "nothing": (lambda header: "{}", "does not say the version of its layout"),
    "pair": (to("shifted", "shiftet"), "unknown field 'shiftet'"),
    "prompts": (to("clean", "claen"), "other fields than it should"),
    "other pair": (to("[mine]", "[yours]"), "a run is of the pair 'mine', not of 'yours'"),
    "later": (to('"schema": 10', '"schema": 11'), "a later version of this program made it"),
    "nan": (to('"schema": 10', '"schema": NaN'), "the header has NaN, which is no number"),
}
RECORDS: dict[str, tuple[str, Callable[[dict[str, Any]], None], str]] = {
    "kind": ("circuit", put("kind", value="weights"), "names artifacts that belong to it, or lacks them"),
    "swapped kind": ("lens", put("kind", value="weights"), "is not of the kind lens, as its circuit says"),
    "another circuit": ("lens", put("kind", value="circuit"), "names artifacts that belong to it, or lacks them"),
    "key": ("lens", put("key", value="0" * 20), "is not that of what it was made with"),
    "made with": ("circuit", put("made_with", "weights", value="other"), "is not that of what it was made with"),
    "companion": ("circuit", put("companions", "lens", value="0" * 20), "names other artifacts than those"),
    "companions of a companion": ("lens", put("companions", "lens", value="0" * 20), "names artifacts that belong"),
    "layers": ("circuit", put("meta", "n_layers", value=0), "n_layers = 0"),
    "edges": ("circuit", lambda r: r["meta"].update(n_layers=500, n_heads=500), "edges, more than"),
    "remarks": ("circuit", put("meta", "remarks", value=[3]), "must be a list of texts"),
    "remark": ("circuit", put("meta", "remarks", value=["x" * 2000]), "meta has a very long text"),
    "many remarks": ("circuit", put("meta", "remarks", value=["x"] * 30), "meta has more than 20 remarks"),
    "part": ("circuit", put("meta", "parts", value=["step-<b>"]), "a part 'step-<b>'"),
    "no part": ("circuit", put("meta", "parts", value=[]), "meta has no parts"),
    "parts of an ARM": ("circuit", put("meta", "parts", value=["site-00"]), "which a run of mdm has not"),
    "nan": ("circuit", put("meta", "metric_clean", value=float("nan")), "has NaN, which is no number"),
    "large": ("circuit", put("meta", "metric_clean", value=1e300), "metric_clean = 1e"),
    "accuracy": ("ability", put("meta", "accuracy", value=7), "accuracy = 7"),
    "of no problems": ("ability", put("meta", "accuracy_n", value=0), "accuracy_n = 0"),
    "no accuracy": ("ability", put("meta", value={}), "meta lacks the field 'accuracy'"),
    "meta of weights": ("weights", put("meta", "more", value=1), "says what no weights artifact does"),
    "date": ("lens", put("created", value="<script>"), "'<script>' is no date"),
    "time": ("lens", put("seconds", value=-1), "-1 seconds"),
    "later": ("lens", put("schema", value=11), "a later version of this program made it"),
    "earlier": ("lens", put("schema", value=9), "an earlier version of this program made it"),
}
NO_RECORD = "ALTER TABLE artifact ALTER COLUMN record DROP NOT NULL; UPDATE artifact SET record = NULL"
TABLES_CHANGED = {
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
    "other neurons": ("UPDATE neurons SET neuron = 0, promoted = promoted", "numbers other rows in one artifact"),
    "other heads": ("UPDATE heads SET node = 2, copying = copying", "column node of heads numbers other rows"),
    "region": ("UPDATE activation_histograms SET region = 'x'", "column region of activation_histograms has 'x'"),
    "pattern": ("UPDATE attention_patterns SET pattern = [1]", "is not tokens x tokens"),
    "tokens": ("UPDATE neuron_tokens SET activations = [0.5], gates = [0.5]", "not one number a token"),
    "heads": ("DELETE FROM heads WHERE node = 1", "table heads has 3 rows, not 4"),
    "blocks": ("UPDATE edge_blocks SET scores = [1.0] WHERE edge = 3", "edge_blocks has lists that do not have 2"),
    "probability": ("UPDATE residual_lens SET answer_probability = 1.5", "answer_probability of residual_lens"),
    "of no problems": ("UPDATE accuracy_steps SET total = 0, correct = 0", "total of accuracy_steps"),
    "nan": ("UPDATE neurons SET active = 'nan'::FLOAT WHERE neuron = 3", "active of neurons"),
    "no words": ("UPDATE node_lens SET promoted = [], promoted_logit = []", "promoted of node_lens has a list of 0"),
    "a view": ("CREATE VIEW more AS SELECT 1", "a view 'more'"),
    "a table": ("CREATE TABLE more (a INTEGER)", "'more' has a column 'a'"),
    "a column": ("ALTER TABLE neurons ADD COLUMN more INTEGER", "'neurons' has a column 'more'"),
    "no column": ("ALTER TABLE neurons DROP COLUMN counts", "lacks the column 'counts'"),
    "two records": ("INSERT INTO artifact FROM artifact", "does not have one row"),
    "no record": ("DROP TABLE artifact", "it is not an artifact"),
    "a null": (NO_RECORD, "its record lacks a value"),
}  # fmt: skip


@pytest.mark.parametrize("what", HEADERS)
def test_another_header_leaves_nothing_behind(changed: Changed, elsewhere: Path, what: str) -> None:
    change, why = HEADERS[what]
    refused(changed(header=change), why)


@pytest.mark.parametrize("what", RECORDS)
def test_another_record_leaves_nothing_behind(changed: Changed, elsewhere: Path, what: str) -> None:
    kind, change, why = RECORDS[what]
    refused(changed(record=change, kind=kind), why)


@pytest.mark.parametrize("what", TABLES_CHANGED)
def test_another_value_leaves_nothing_behind(changed: Changed, elsewhere: Path, what: str) -> None:
    statement, why = TABLES_CHANGED[what]
    refused(changed(statement), why)


@pytest.mark.parametrize("table", TABLES)
def test_an_emptied_table_leaves_nothing_behind(changed: Changed, elsewhere: Path, table: str) -> None:
    refused(changed(f"DELETE FROM {table}"), f"the table {table} has (no|0) rows")  # noqa: S608


def test_an_artifact_of_no_circuit_leaves_nothing_behind(
    all_unpacked: Path, own_unpacked: Path, tmp_path: Path, elsewhere: Path
) -> None:
    shutil.copytree(own_unpacked, tmp_path / "copy")
    other = kinds_in(all_unpacked)["lens"]
    alone = next(file for file in other if not (tmp_path / "copy" / "artifacts" / file.name).exists())
    shutil.copy(alone, tmp_path / "copy" / "artifacts")
    refused(zipped(tmp_path / "copy", tmp_path / "changed.circuits.zip"), f"{alone.stem} belongs to no circuit in it")


def test_an_artifact_under_the_name_of_another_leaves_nothing_behind(
    own_unpacked: Path, tmp_path: Path, elsewhere: Path
) -> None:
    shutil.copytree(own_unpacked, tmp_path / "copy")
    (lens,), (weights,) = (kinds_in(own_unpacked)[kind] for kind in ("lens", "weights"))
    shutil.copy(lens, tmp_path / "copy" / "artifacts" / weights.name)
    file = zipped(tmp_path / "copy", tmp_path / "changed.circuits.zip")
    refused(file, f"the artifact {weights.stem} holds the record of another one")


def test_a_run_that_is_wrong_keeps_those_before_it_out(changed_of_all: Changed, elsewhere: Path) -> None:
    """The shared weights and the ARM's run are sound; the last circuit is not."""
    refused(changed_of_all("UPDATE reveals SET step = 7"), "reveals")


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


@pytest.mark.parametrize("what", TEXTS)
def test_texts_beyond_bounds_are_sentences(changed: Changed, elsewhere: Path, what: str) -> None:
    text, why = TEXTS[what]
    refused(changed(record=text), why)


@pytest.mark.parametrize("what", ["deep", "a field twice", "a number of 5,000 digits", "nothing"])
def test_headers_beyond_bounds_are_sentences(changed: Changed, elsewhere: Path, what: str) -> None:
    text, why = TEXTS[what]
    refused(changed(header=lambda header: text), why)


@pytest.mark.parametrize(
    "toml", ["steps = " + "[" * 9000 + "]" * 9000, "shifted = " + "9" * 5000, "a." * 900 + "b = 1"]
)
def test_a_pair_beyond_bounds_is_a_sentence(changed: Changed, elsewhere: Path, toml: str) -> None:
    refused(changed(header=to("shifted = true", toml)), "its pair|pair")


def refused(file: Path, why: str) -> None:
    """A bundle is refused in one short sentence, and nothing of it or of its reading stays, not even a folder."""
    with pytest.raises(UserError, match=why) as refusal:
        bundle.take(file)
    message = str(refusal.value)
    assert message.startswith("changed.circuits.zip cannot be imported: ")
    assert "\n" not in message and len(message) < 500 and message.endswith(".") and not message.endswith("..")
    assert not settings.cache_dir().exists()
    assert "mine" not in pairs.pairs() and not own_prompts.saved_sets() and stored() == []
