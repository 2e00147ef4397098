"""A bundle made in one place opens in another; a bundle that was tampered with leaves nothing behind."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from engine import settings
from engine.__main__ import main
from engine.errors import UserError
from engine.exchange import bundle
from engine.models import pairs
from engine.runs import cache_connection, lifecycle, provenance, read
from engine.runs.records import TABLES
from engine.runs.rows import ExampleRow
from engine.runs.spec import RunSpec
from engine.tasks import own_prompts, task_named
from engine.tasks.countdown import problem_file
from engine.tasks.countdown.text import PublishedProblem
from engine.tasks.own_prompts import PromptRow
from tests.fakes import register_fake_pair, tiny_compute

SPEC = RunSpec(pair="mine", n=4)
ARM = replace(SPEC, model="arm")
CONTROL = replace(SPEC, model="control")
ROWS = [PromptRow("a b c", "a x c", ("d",), ("e",)), PromptRow("a b f", "a x f", ("d",), ("e",))]

PROBLEMS = [PublishedProblem((9, 5, 3), 24, "5*3=15,15+9=24"), PublishedProblem((40, 20, 4), 64, "40+20=60,60+4=64")]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A bundle of a pair `mine`: IOI with the control, the MDM on own prompts, made where the weights are."""
    there = tmp_path_factory.mktemp("there")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CIRCUITS_DB", str(there / "circuits.duckdb"))
        patch.setenv("CIRCUITS_PAIRS", str(register_fake_pair(there / "models", "mine")))
        prompts = own_prompts.save(ROWS, "Of my own", "mine")
        for spec in (ARM, SPEC, CONTROL, replace(SPEC, task=prompts.name, n=2)):
            lifecycle.run(spec, compute=tiny_compute)
        bundle.write(there / "all.duckdb", "mine")
        cache_connection.close()
    return there / "all.duckdb"


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache on a machine that does not know the pair."""
    monkeypatch.setenv("CIRCUITS_DB", str(tmp_path / "here" / "circuits.duckdb"))
    monkeypatch.delenv("CIRCUITS_PAIRS", raising=False)
    return tmp_path / "here"


@pytest.fixture
def changed(made: Path, tmp_path: Path) -> Callable[..., Path]:
    """A copy of the bundle in which one statement was run."""

    def change(statement: str, *values: object) -> Path:
        file = tmp_path / "changed.duckdb"
        file.write_bytes(made.read_bytes())
        with duckdb.connect(str(file)) as db:
            db.execute(statement, list(values))
        return file

    return change


def stored() -> dict[str, int]:
    """Rows of every table of the cache."""
    db = cache_connection.store()._cursor
    return {name: len(db.table(name).fetchall()) for name in ("runs", "overlap_curves", *TABLES)}


@pytest.mark.usefixtures("elsewhere")
def test_a_bundle_opens_where_there_is_no_model(made: Path) -> None:
    assert bundle.take(made) == bundle.Taken("mine", added=4, known=0)
    with pytest.raises(UserError, match="There is no model at"):
        provenance.key_of(SPEC)
    run, arm = lifecycle.find(SPEC), lifecycle.find(ARM)
    assert run and arm and run.imported and run.method_version == provenance.METHOD_VERSION
    assert (run.spec, arm.spec) == (SPEC, ARM)
    computed = tiny_compute(SPEC, lifecycle.ignore)
    assert replace(run.meta, stored_bytes=0) == computed.meta
    for part in ("total", *run.meta.parts):
        rows = [row for row in computed.tables["edges"].to_pylist() if row["part"] == part]
        assert read.edge_table(run.key, part).edge.tolist() == [row["edge"] for row in rows]
    assert [row.prompt for row in read.rows(ExampleRow, run.key)] == [
        tuple(row["prompt"]) for row in computed.tables["examples"].to_pylist()
    ]
    pair = pairs.pair_named("mine")
    assert (pair.title, pair.mask_token, pair.shifted, pair.steps) == ("Fake pair", "<mask>", True, (0, 100))


@pytest.mark.usefixtures("elsewhere")
def test_remarks_come_along(changed: Callable[..., Path]) -> None:
    bundle.take(changed("UPDATE runs SET meta = replace(meta, 'remarks\": []', 'remarks\": [\"All zero.\"]')"))
    assert {run.meta.remarks for run in lifecycle.list_runs()} == {("All zero.",)}


@pytest.mark.usefixtures("elsewhere")
def test_own_prompts_come_along(made: Path) -> None:
    bundle.take(made)
    (kept,) = own_prompts.saved_sets()
    assert (kept.title, kept.pair, list(kept.rows)) == ("Of my own", "mine", ROWS)
    assert task_named(kept.name).title == "Of my own"
    assert lifecycle.find(replace(SPEC, task=kept.name, n=2))


@pytest.fixture
def with_problems(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A bundle with a run on COUNTDOWN problems of a file."""
    there = tmp_path / "problems"
    monkeypatch.setenv("CIRCUITS_DB", str(there / "circuits.duckdb"))
    monkeypatch.setenv("CIRCUITS_PAIRS", str(register_fake_pair(there / "models", "mine")))
    kept = problem_file.save(PROBLEMS, "Of a file")
    lifecycle.run(replace(SPEC, task=kept.name, n=2), compute=tiny_compute)
    bundle.write(there / "all.duckdb", "mine")
    cache_connection.close()
    return there / "all.duckdb"


def test_problems_of_a_file_come_along(with_problems: Path, elsewhere: Path) -> None:
    bundle.take(with_problems)
    (kept,) = problem_file.saved_files()
    assert (kept.title, list(kept.rows)) == ("Of a file", PROBLEMS)
    assert lifecycle.find(replace(SPEC, task=kept.name, n=2))
    assert bundle.take(with_problems).known == 1


def test_wrong_problems_are_refused_and_leave_nothing(with_problems: Path, elsewhere: Path) -> None:
    with duckdb.connect(str(with_problems)) as db:
        db.execute("UPDATE bundle SET header = replace(header, '15+9=24', '15+9=25')")
    with pytest.raises(UserError, match=r"its file of problems cannot be used\. line 1: the output"):
        bundle.take(with_problems)
    assert not problem_file.saved_files() and not lifecycle.list_runs()


@pytest.mark.usefixtures("elsewhere")
def test_the_curves_that_pages_need_first_come_along(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle.take(made)
    run, arm = lifecycle.find(SPEC), lifecycle.find(ARM)
    assert run and arm
    monkeypatch.setattr("engine.circuits.comparison.shared_counts_of_ranks", None)
    assert read.overlap_curve(arm.key, run.key).k[-1] == run.meta.graph.n_edges
    control = lifecycle.find(CONTROL)
    assert control and read.overlap_curve(arm.key, control.key).k[0] == 1
    read.overlap_curve(run.key, run.key, "half-a", "half-b")
    for way in (("half-a", "half-b"), ("half-b", "half-a")):
        read.overlap_curve(arm.key, run.key, *way)


@pytest.mark.usefixtures("elsewhere")
def test_importing_twice_changes_nothing(made: Path) -> None:
    bundle.take(made)
    before, runs = stored(), lifecycle.list_runs()
    assert bundle.take(made) == bundle.Taken("mine", added=0, known=4)
    assert (stored(), lifecycle.list_runs()) == (before, runs)


def test_what_was_imported_can_be_handed_on(made: Path, elsewhere: Path) -> None:
    bundle.take(made)
    written = bundle.write(elsewhere / "ioi.duckdb", "mine", "ioi")
    assert (written.runs, written.left_out) == (3, 0)
    assert written.size == (elsewhere / "ioi.duckdb").stat().st_size
    keys = {run.key for run in lifecycle.list_runs() if run.spec.task == "ioi"}
    for key in keys:
        lifecycle.delete(key)
    assert bundle.take(elsewhere / "ioi.duckdb").added == 3
    assert {run.key for run in lifecycle.list_runs() if run.spec.task == "ioi"} == keys


def test_a_pair_that_is_known_here_stays_what_it_is(
    made: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    here = register_fake_pair(elsewhere / "models", "mine")
    here.write_text(here.read_text().replace("Fake pair", "My pair"))
    monkeypatch.setenv("CIRCUITS_PAIRS", str(here))
    bundle.take(made)
    assert pairs.pair_named("mine").title == "My pair"
    assert not settings.kept_pairs_dir().exists()
    run = lifecycle.find(SPEC)
    assert run and run.imported, "the weights are the same, so the key is"


def test_paths_of_the_other_machine_stay_there(made: Path, elsewhere: Path) -> None:
    with duckdb.connect(str(made), read_only=True) as db:
        ((header,),) = db.execute("SELECT header FROM bundle").fetchall()
    assert str(made.parent) not in header
    bundle.take(made)
    assert Path(pairs.pair_named("mine").folder("arm")) == elsewhere / "pairs" / "not-here" / "mine" / "arm"


def test_runs_whose_prompts_are_gone_are_left_out(made: Path, elsewhere: Path) -> None:
    bundle.take(made)
    (kept,) = own_prompts.saved_sets()
    own_prompts.delete(kept.name)
    written = bundle.write(elsewhere / "rest.duckdb", "mine")
    assert (written.runs, written.left_out) == (3, 1)


def test_nothing_to_write_is_said(elsewhere: Path) -> None:
    with pytest.raises(UserError, match="no runs of the pair embedded on ioi"):
        bundle.write(elsewhere / "x.duckdb", "embedded", "ioi")
    assert not (elsewhere / "x.duckdb").exists()


TAMPERED = {
    "json": ("UPDATE runs SET spec = '{'", "spec is not valid JSON"),
    "nan": ("UPDATE runs SET meta = replace(meta, '4.5', 'NaN')", "meta has NaN, which is no number"),
    "half a character": ("UPDATE runs SET meta = replace(meta, 'Fake', '\\ud800')", "meta is not valid JSON"),
    "unknown field": ("UPDATE runs SET spec = replace(spec, 'seed', 'sed')", "unknown field 'sed'"),
    "type": ("UPDATE runs SET spec = replace(spec, 'seed\": 0', 'seed\": \"0\"')", "seed in spec is a str"),
    "value": ("UPDATE runs SET spec = replace(spec, 'eap-ig', 'magic')", "method is 'magic'"),
    "number": ("UPDATE runs SET spec = replace(spec, 'seed\": 0', 'seed\": 9' || repeat('0', 30))", "very large"),
    "other pair": ("UPDATE runs SET spec = replace(spec, 'mine', 'yours')", "of the pair 'yours', not of 'mine'"),
    "edges": ("UPDATE runs SET meta = regexp_replace(meta, '(n_layers|n_heads)\": 2', '\\1\": 500', 'g')", "edges"),
    "no layers": ("UPDATE runs SET meta = replace(meta, 'n_layers\": 2', 'n_layers\": 0')", "n_layers = 0"),
    "accuracy": ("UPDATE runs SET meta = replace(meta, 'accuracy\": 0', 'accuracy\": 7')", "accuracy = 7"),
    "remarks": ("UPDATE runs SET meta = replace(meta, 'remarks\": []', 'remarks\": [3]')", "remarks are no texts"),
    "remark": (
        "UPDATE runs SET meta = replace(meta, 'remarks\": []', 'remarks\": [\"' || repeat('x', 2000) || '\"]')",
        "meta has a very long text",
    ),
    "many remarks": (
        "UPDATE runs SET meta = replace(meta, 'remarks\": []', 'remarks\": [\"x\"' || repeat(', \"x\"', 30) || ']')",
        "or more than 20",
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


@pytest.mark.usefixtures("elsewhere")
def test_a_later_method_is_refused(made: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(provenance, "METHOD_VERSION", provenance.METHOD_VERSION - 1)
    with pytest.raises(UserError, match="later version of this program computed it"):
        bundle.take(made)


@pytest.mark.parametrize("source", ["/etc", "~", "../../.."])
@pytest.mark.usefixtures("elsewhere")
def test_a_bundle_cannot_name_a_folder_of_this_machine(changed: Callable[..., Path], source: str) -> None:
    file = changed("UPDATE bundle SET header = replace(header, ?, ?)", 'arm = \\"arm\\"', f"arm = '{source}'")
    bundle.take(file)
    folder = Path(pairs.pair_named("mine").folder("arm"))
    assert folder == settings.kept_pairs_dir() / "not-here" / "mine" / "arm"


def test_the_commands_write_and_take_a_bundle(made: Path, elsewhere: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["import", str(made)]) == 0
    assert "4 runs of the pair mine added." in capsys.readouterr().out
    assert main(["import", str(made)]) == 0
    assert "0 runs of the pair mine added, 4 were here before." in capsys.readouterr().out
    assert main(["compare", "--pair", "mine", "--n", "4", "--k", "10"]) == 0, "from the cache, with no model here"
    assert capsys.readouterr().out.count("  imported\n") == 3
    out = elsewhere / "again.duckdb"
    assert main(["bundle", str(out), "--pair", "mine", "--task", "ioi"]) == 0
    assert f"{out}: 3 runs" in capsys.readouterr().out
    assert main(["bundle", str(out), "--pair", "mine"]) == 2
    assert "already" in capsys.readouterr().err
    assert main(["import", str(elsewhere / "none.duckdb")]) == 2
    assert capsys.readouterr().err == "error: none.duckdb cannot be imported: there is no such file.\n"


@pytest.mark.parametrize("table", TABLES)
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
    "deep": (DEEP, "too deep|more than 50 deep|not valid JSON"),
    "deep with a bracket left open": ("[" * 100_000, "too deep|not valid JSON"),
    "rather deep": (f'{{"a": {"[" * 60}{"]" * 60}}}', "more than 50 deep"),
    "a number of 5,000 digits": (f'{{"a": {"9" * 5000}}}', "a number of 5,000 digits"),
    "a number of 4,000 digits": (f'{{"a": {"9" * 4000}}}', "a number of 4,000 digits"),
    "NaN": ('{"a": NaN}', "NaN, which is no number"),
    "Infinity": ('{"a": -Infinity}', "-Infinity, which is no number"),
    "beyond all bounds": ('{"a": 1e999}', "beyond all bounds"),
    "a field twice": ('{"made": 1, "made": 2}', "the field 'made' twice"),
    "a list": ("[1]", "is not a table of fields"),
    "nothing": ("", "is not valid JSON"),
    "half a character": ('{"a": "\\ud800"}', "is not valid JSON"),
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


def test_no_temporary_file_stays(made: Path, elsewhere: Path) -> None:
    bundle.take(made)
    bundle.take_bytes(made.read_bytes(), "This file")
    bundle.packed("mine")
    assert sorted(file.name for file in elsewhere.iterdir()) == [
        "circuits.duckdb",
        "circuits.duckdb.wal",
        "pairs",
        "prompts",
    ]


def test_what_is_wrong_with_the_cache_is_no_fault_of_the_bundle(
    made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "notes").write_text("mine")
    monkeypatch.setenv("CIRCUITS_DB", str(tmp_path / "notes"))
    with pytest.raises(UserError, match=r"^The file .*/notes is no cache"):
        bundle.take(made)


@pytest.mark.parametrize("command", ["import", "bundle"])
@pytest.mark.parametrize(
    "name", ["x" * 300, "{folder}", "{folder}/pipe", "{folder}/loop", "{folder}/text/x", "~nouser/x"]
)
def test_files_that_cannot_be_are_sentences(
    made: Path, elsewhere: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], command: str, name: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    bundle.take(made)
    folder = tmp_path / "named"
    folder.mkdir()
    monkeypatch.chdir(folder)
    (folder / "text").write_text("mine")
    (folder / "loop").symlink_to(folder / "loop")
    os.mkfifo(folder / "pipe")
    before = sorted(folder.rglob("*"))
    assert main([command, name.format(folder=folder), *(["--pair", "mine"] if command == "bundle" else [])]) == 2
    output = capsys.readouterr().err
    assert output.startswith("error: ") and output.count("\n") == 1
    assert sorted(folder.rglob("*")) == before


def test_prompts_of_an_earlier_version_with_a_row_twice_do_not_spoil_a_bundle(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They are kept under a name that counts both, under which no other machine would find them."""
    monkeypatch.setenv("CIRCUITS_PAIRS", str(register_fake_pair(tmp_path / "models", "mine")))
    name = own_prompts.PREFIX + own_prompts.digest_of([ROWS[0], ROWS[0]])
    rows = [{"clean": "a b c", "corrupted": "a x c", "answers": ["d"], "foils": ["e"]}] * 2
    settings.prompts_dir().mkdir(parents=True, exist_ok=True)
    own_prompts.file_of(name).write_text(
        json.dumps({"title": "Old", "pair": "mine", "saved": "2026-01-01", "rows": rows})
    )
    for spec in (SPEC, replace(SPEC, task=name, n=1)):
        lifecycle.run(spec, compute=tiny_compute)
    written = bundle.write(tmp_path / "all.duckdb", "mine")
    assert (written.runs, written.left_out) == (1, 1)
    cache_connection.close()
    monkeypatch.setenv("CIRCUITS_DB", str(tmp_path / "here" / "circuits.duckdb"))
    assert bundle.take(tmp_path / "all.duckdb").added == 1
    cache_connection.close()
