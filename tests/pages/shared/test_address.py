"""Links that cannot be honoured: every key of the address, on every page, says what it asked for and what there is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path
from urllib.parse import parse_qs

import pytest
from streamlit.testing.v1 import AppTest

from engine.circuits.graph import Graph
from engine.runs import lifecycle, read
from engine.runs.spec import RunSpec
from engine.sweeps.saved import save
from engine.sweeps.sweep_file import Sweep
from engine.tasks import own_prompts
from engine.tasks.prompt_checks import PromptRow
from pages.shared import state
from pages.shared.address_keys import COMPARING, KEYS, MAY_BE_EMPTY, NEEDED, cut, fault
from tests.fakes import GRAPH, fake_compute, tiny_compute
from tests.pages.payloads import overlap, payload_of
from tests.pages.test_pages import app, texts

PAGES = ("overview", "circuits", "evidence", "activations", "neurons", "denoising", "prompts", "runs")

ODD = (
    "", " ", "1e999", "-1", "-0", "007", "2.5", "+1", "1_000", "١٢", "²", "18446744073709551616", "9" * 5000, "0x10",
    "true", "TRUE", "null", "None", "NaN", "inf", "[1]", "%", "<script>alert(1)</script>", "`x` **y** [z](w)", "a\nb",
    "\x00", "\u202eabc", "🦑" * 100, "../../etc/passwd", "'; DROP TABLE runs;--", "own-doesnotexist", "a99.h3",
)  # fmt: skip
LESSER = [key for key in KEYS if key not in NEEDED]
FREE = (state.SEARCH, state.PINS)  # any text is one; what it names none of is said beside the field
BY_RUN = [key for key, known in KEYS.items() if not known.options and not known.bounds]

# A page on which a key is used, and what else the link has to say for it to be.
HOME: dict[str, tuple[str, dict[str, str]]] = {
    **dict.fromkeys(KEYS, ("circuits", {})),
    **dict.fromkeys(
        (state.READOUT, state.INPUT, state.INPUT_STEP), ("circuits", {"task": "countdown", "node": "a1.h1"})
    ),
    **dict.fromkeys(
        (state.REGION, state.EARLY, state.LAYER, state.BIN, state.VIEW, state.HEIGHTS, state.MEASURE),
        ("activations", {}),
    ),
    **dict.fromkeys((state.LINES, state.REPLACED, state.ESTIMATOR), ("evidence", {})),
    **dict.fromkeys((state.NEURON, state.SORT), ("neurons", {})),
    state.QUANTITY: ("neurons", {"layer": "0", "neuron": "0"}),
    **dict.fromkeys(
        (state.SWEEP, state.SWEEP_K, state.SWEEP_SHOWN, state.SWEEP_COLUMNS, state.SWEEP_MODEL), ("overview", {})
    ),
    **dict.fromkeys(
        (state.EXAMPLE, state.SAMPLER, state.AT, state.POSITION), ("denoising", {"task": "countdown"})
    ),
}  # fmt: skip


def open_link(page: str, query: Mapping[str, str | list[str]]) -> AppTest:
    return app(page, **query)  # type: ignore[arg-type]


def notes(page: AppTest) -> str:
    """What the page says of the link, and of nothing else."""
    return "\n".join(w.value.replace("\\", "") for w in page.warning if "The link" in w.value)


def metrics(page: AppTest) -> list[str]:
    return [metric.value for metric in page.metric]


@cache
def plain_metrics(page: str, **query: str) -> list[str]:
    """Those of a link without what is asked of it; every test has the same runs, so each such page is opened once."""
    return metrics(open_link(page, query))


@cache
def plain_overlap() -> float:
    return overlap(app("circuits"))


@pytest.mark.parametrize("key", KEYS)
def test_a_text_that_no_run_could_have_is_named_in_a_sentence(key: str) -> None:
    for text in ODD:
        sentence = fault(key, [text])
        if text == "":
            empty = key in MAY_BE_EMPTY
            assert sentence is None if empty else f"“{key}=”" in str(sentence)
        elif sentence is not None:
            assert cut(text) in sentence or key in NEEDED
            assert len(sentence) < 600
    numbers = {text for text in ODD if fault(key, [text]) is None}
    if KEYS[key].bounds:
        assert numbers == set()
    assert key in BY_RUN or len(numbers) <= 1 + (key in MAY_BE_EMPTY)


@pytest.mark.parametrize("key", [key for key in KEYS if not KEYS[key].several])
def test_a_key_that_comes_twice_says_so(key: str) -> None:
    assert "more than once: “1”, “2”" in str(fault(key, ["1", "2"]))
    assert "more than once" not in str(fault(key, ["1", "1"]))


def test_every_key_of_the_state_is_in_the_table() -> None:
    others = ("FINAL", "CONTROL", "TOTAL", "AUTO", "URL", "DEFAULT_TAU")
    named = {
        value for name, value in vars(state).items()
        if name.isupper() and isinstance(value, str) and name not in others
    }  # fmt: skip
    assert {key for key in named if not key.startswith("last ")} - {
        *state.VIEWS,
        *state.HEIGHTS_SHOWN,
        *state.TABS,
        *state.SWEEP_BY,
    } == set(KEYS)


@pytest.mark.parametrize("text", ["", "1e999", "-1", "2.5", "9" * 5000, "true", "inf", "[1]", "<b>`x`</b>", "\x00"])
@pytest.mark.parametrize("page", PAGES)
@pytest.mark.usefixtures("seeded", "queue_of")
def test_no_text_under_all_keys_at_once_takes_a_page_down(page: str, text: str) -> None:
    opened = open_link(page, dict.fromkeys(LESSER, text))
    assert not opened.exception
    sentence = notes(opened)
    for key in LESSER:
        problem = fault(key, [text])
        assert problem is None or problem.replace("\\", "") in sentence.replace("\\", "")
    if page in COMPARING:
        assert not opened.error


@pytest.mark.parametrize("key", [key for key in LESSER if key not in FREE])
@pytest.mark.usefixtures("seeded", "queue_of")
def test_a_link_that_asks_for_what_is_not_here_says_so_and_shows_the_rest(key: str) -> None:
    page, more = HOME[key]
    save(Sweep("grid", models=("arm", "mdm", "control"), seeds=(0, 1)))
    opened = open_link(page, {**more, key: "99999999"})
    assert f"asked for {KEYS[key].words} “99999999”" in notes(opened)
    assert "from" in notes(opened) or "Possible: " in notes(opened)
    assert key not in opened.query_params or opened.query_params[key] != "99999999"
    assert metrics(opened) == plain_metrics(page, **more)
    assert "“99999999”" in notes(opened.run())  # until something else is chosen, or it is hidden
    opened.button(key="hide notes").click().run()
    assert not notes(opened) and "hide notes" not in [button.key for button in opened.button]


@pytest.mark.parametrize(
    ("page", "key", "text", "offered"),
    [
        *((page, "pair", "nonsense", "embedded") for page in COMPARING),
        *((page, "task", "own-doesnotexist", "countdown") for page in COMPARING),
        *((page, "method", "foo", "eap-ig") for page in COMPARING),
        ("circuits", "pair", "", "embedded"), ("circuits", "pair", "<b>x</b>", "embedded"),
        ("circuits", "task", "", "countdown"), ("circuits", "task", "own-0123456789ab", "countdown"),
        ("circuits", "method", "EAP", "eap-ig"), ("circuits", "method", "9" * 5000, "eap-ig"),
    ],
)  # fmt: skip
@pytest.mark.usefixtures("seeded", "queue_of")
def test_no_circuit_is_shown_under_a_link_to_another(page: str, key: str, text: str, offered: str) -> None:
    opened = open_link(page, {key: text, "k": "50"})
    assert "something that is not here" in notes(opened)
    assert cut(text) in notes(opened)
    assert not opened.metric and not opened.get("plotly_chart") and not opened.dataframe
    assert opened.query_params[key] == text, "a copied address asks for the same again"
    opened.run()
    assert "something that is not here" in notes(opened) and not opened.metric
    opened.button(key=f"instead {key} {offered}").click().run()
    assert not notes(opened) and not opened.exception
    chosen = open_link(page, {key: offered, "k": "50"})
    assert metrics(opened) == metrics(chosen)
    assert opened.session_state[state.K] == 50
    assert opened.query_params == chosen.query_params


@pytest.mark.parametrize("page", ["overview", "prompts", "runs"])
@pytest.mark.parametrize(("key", "text"), [("pair", "nonsense"), ("task", "own-0123456789ab"), ("method", "foo")])
@pytest.mark.usefixtures("seeded", "queue_of")
def test_other_pages_say_so_and_go_on(page: str, key: str, text: str) -> None:
    opened = open_link(page, {key: text})
    assert text in notes(opened)
    assert opened.title and (opened.header or opened.expander or opened.selectbox)


@pytest.mark.usefixtures("seeded", "queue_of")
def test_what_is_not_here_is_not_here_on_the_next_page_either() -> None:
    opened = open_link("circuits", {"task": "own-0123456789ab", "k": "50"})
    opened.switch_page("pages/activations.py").run()
    assert "own-0123456789ab" in notes(opened) and not opened.get("plotly_chart")
    opened.button(key="instead task countdown").click().run()
    assert opened.session_state[state.K] == 50
    opened.switch_page("pages/circuits.py").run()
    assert opened.selectbox(key=state.TASK).value == "countdown"


@pytest.mark.usefixtures("seeded", "queue_of")
def test_own_prompts_that_are_deleted_while_they_are_looked_at_are_said_to_be_gone() -> None:
    kept = own_prompts.save([PromptRow("a b", "a c", (" d",), (" e",))], "Mine", "embedded")
    opened = open_link("circuits", {"task": kept.name, "n": "1"})
    assert "Not computed yet" in texts(opened)
    own_prompts.delete(kept.name)
    opened.run()
    assert kept.name in notes(opened) and not opened.metric
    assert kept.name in notes(opened.run())
    assert kept.name in opened.query_params["task"], "a reload asks for the same"


@pytest.mark.usefixtures("queue_of")
def test_a_pair_that_is_removed_while_it_is_looked_at_is_said_to_be_gone(
    pair_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    more = pair_file.with_name("more.toml")
    more.write_text(pair_file.read_text() + '\n[brief]\ntitle = "Brief pair"\narm = "gone/arm"\nmdm = "gone/mdm"\n')
    monkeypatch.setenv("CIRCUITS_PAIRS", str(more))
    opened = open_link("circuits", {"pair": "brief"})
    assert any("Brief pair" in title for title in opened.selectbox(key=state.PAIR).options) and not notes(opened)
    monkeypatch.setenv("CIRCUITS_PAIRS", str(pair_file))
    assert "There is no pair called 'brief'" in notes(opened.run())
    opened.switch_page("pages/neurons.py").run()
    assert "There is no pair called 'brief'" in notes(opened)


@pytest.mark.usefixtures("seeded", "queue_of")
def test_settings_that_are_none_of_ours_are_named() -> None:
    opened = open_link("circuits", {"tsk": "sudoku", "K": "50", "embed": "true"})
    assert "“tsk”, “K”" in notes(opened)
    assert overlap(opened) == plain_overlap()


@pytest.mark.parametrize("key", ["k", "sign", "seed", "node"])
@pytest.mark.usefixtures("seeded", "queue_of")
def test_a_key_given_twice_is_not_guessed(key: str) -> None:
    opened = open_link("circuits", {key: ["50", "60"]})
    assert "more than once: “50”, “60”" in notes(opened)
    assert overlap(opened) == plain_overlap()


VALID = {
    "circuits": {
        "task": "countdown", "k": "123", "node": "a2.h3", "sign": "positive", "show": "shared", "prune": "true",
        "kinds": ["q", "MLP"], "site": "site-01", "denoising": "step-02", "input_step": "step-10",
    },
    "activations": {
        "task": "countdown", "k": "123", "region": "answer", "early": "3", "layer": "5", "bin": "0.018 to 0.032",
        "view": "grouped", "heights": "shares", "measure": "Components: top-1",
    },
    "neurons": {
        "k": "77", "layer": "3", "neuron": "11", "sort": "MDM", "search": "Mary", "pins": "3:5,0:2", "step": "100",
        "quantity": "gate",
    },
    "denoising": {"task": "countdown", "example": "1", "sampler": "random", "at": "4", "position": "2", "k": "3628"},
    "overview": {"k": "123"},
    "prompts": {"pair": "embedded"},
    "runs": {},
}  # fmt: skip


@pytest.mark.parametrize("page", VALID)
@pytest.mark.usefixtures("seeded", "queue_of")
def test_a_link_that_can_be_honoured_is_and_gives_no_word(page: str) -> None:
    opened = open_link(page, VALID[page])
    assert not notes(opened)
    settings = {"n": "64", "seed": "0", "points": "5", "order": "confidence", "metric": "logit_diff", "dtype": "auto"}
    settings |= {"denoising_steps": "0", "template": "0"}
    again = open_link(page, {**settings, "pair": "embedded", "method": "eap-ig", **VALID[page]})
    assert not notes(again) and metrics(again) == metrics(opened)
    assert opened.query_params == VALID[page]
    assert not notes(open_link(page, opened.query_params))


def keys_of(task: str = "ioi") -> list[str]:
    runs = [lifecycle.find(RunSpec(task=task, model=model)) for model in ("arm", "mdm")]
    return [run.key for run in runs if run]


@pytest.mark.parametrize("k", [1, 7, 123, 3627, GRAPH.n_edges])
@pytest.mark.usefixtures("seeded", "queue_of")
def test_every_k_is_honoured_exactly(k: int) -> None:
    opened = open_link("circuits", {"k": str(k)})
    assert not notes(opened)
    assert payload_of(opened)[0]["chosen"]["k"] == k
    assert overlap(opened) == pytest.approx(read.overlap(*keys_of(), k), abs=1e-6)
    assert opened.query_params == {"k": str(k)}
    for page in ("activations", "neurons", "overview"):
        opened.switch_page(f"pages/{page}.py").run()
        assert not opened.exception and opened.number_input(key=state.K).value == k, page
    opened.switch_page("pages/circuits.py").run()
    assert payload_of(opened)[0]["chosen"]["k"] == k


@pytest.mark.parametrize(
    ("page", "k"),
    [
        *((page, "3629") for page in ("overview", *COMPARING)),
        *(("circuits", k) for k in ("0", "-5", "99999999999999999999", "1e3", "12.0", " 12", "")),
    ],
)
@pytest.mark.usefixtures("seeded", "queue_of")
def test_a_k_that_no_circuit_has_says_so(page: str, k: str) -> None:
    opened = open_link(page, {"k": k})
    assert (f"asked for K “{k}”" if k else "“k=”") in notes(opened)
    assert "Shown instead: 200." in notes(opened)
    assert opened.session_state[state.K] == 200


@pytest.mark.parametrize(
    ("query", "shown"),
    [({"kinds": "zzz"}, "q, k, v, MLP, logits"), ({"prune": "perhaps"}, "off"), ({"show": "zzz"}, "all")],
)
@pytest.mark.usefixtures("seeded", "queue_of")
def test_what_is_shown_instead_is_said_in_the_words_of_its_widget(query: dict[str, str], shown: str) -> None:
    assert f"Shown instead: {shown}." in notes(open_link("circuits", query))


@pytest.mark.usefixtures("seeded", "queue_of")
def test_field_and_address_hold_one_k() -> None:
    opened = open_link("activations", {"k": "123"})
    opened.number_input(key=state.K).set_value(1234).run()
    assert opened.query_params == {"k": "1234"}


@pytest.mark.usefixtures("seeded", "queue_of")
def test_a_k_that_a_smaller_model_does_not_have_is_said() -> None:
    for model in ("arm", "mdm"):
        lifecycle.run(RunSpec(model=model, task="sudoku"), compute=tiny_compute)
    opened = open_link("circuits", {"k": "3000"})
    opened.selectbox(key=state.TASK).set_value("sudoku").run()
    n_edges = Graph(2, 2).n_edges
    told = "".join(w.value.replace("\\", "") for w in opened.warning)
    assert f"K was 3,000; here it is from 1 to {n_edges}. Shown instead: {n_edges}." in told
    assert payload_of(opened)[0]["chosen"]["k"] == n_edges


@pytest.mark.usefixtures("seeded", "queue_of")
def test_the_link_to_an_mlps_neurons_asks_the_same_question() -> None:
    chosen = {"task": "ioi", "n": "8", "seed": "3", "method": "eap", "metric": "log_prob", "dtype": "bfloat16"}
    spec = RunSpec(n=8, seed=3, method="eap", metric="log_prob", dtype="bfloat16")
    for model in ("arm", "step:100"):
        lifecycle.run(replace(spec, model=model), compute=fake_compute)
    opened = open_link("circuits", {**chosen, "k": "123", "node": "m2", "tab": "Neurons", "step": "100"})
    (query,) = [parse_qs(link.proto.query_string) for link in opened.get("page_link")]
    told = {"pair": "embedded", **chosen, "k": "123", "layer": "2", "step": "100"}
    assert query == {key: [text] for key, text in told.items()}


@pytest.mark.parametrize(
    ("link", "shown"),
    [
        ({"pair": "embedded", "task": "ioi"}, {"task": "ioi", "n": 64, "method": "eap-ig", "step": "final"}),
        ({"task": "countdown", "n": "12"}, {"task": "countdown", "n": 12, "method": "eap-ig", "step": "final"}),
        ({"node": "a1.h1"}, {"task": "sudoku", "n": 8, "method": "eap", "step": "100"}),
        ({"k": "123"}, {"task": "sudoku", "n": 8, "method": "eap", "step": "100"}),
    ],
)
@pytest.mark.usefixtures("seeded", "queue_of")
def test_a_link_from_page_to_page_goes_before_what_was_chosen(link: dict[str, str], shown: dict[str, object]) -> None:
    """A link that names pair or task asks a whole question; another keeps the one that is asked."""
    opened = open_link("circuits", {"task": "sudoku", "n": "8", "method": "eap", "step": "100"})
    opened.switch_page("pages/runs.py").run()
    opened.switch_page("pages/circuits.py")
    opened.query_params.clear()
    opened.query_params.update(link)
    opened.run()
    assert not opened.exception
    boxes = {box.key: box.value for box in (*opened.selectbox, *opened.number_input, *opened.select_slider)}
    assert {key: boxes[key] for key in shown} == shown


@pytest.mark.usefixtures("seeded", "queue_of")
def test_a_link_says_another_value_of_what_the_page_before_has_in_its_address() -> None:
    opened = open_link("activations", {"task": "countdown", "k": "50"})
    opened.switch_page("pages/circuits.py")
    opened.query_params.clear()
    opened.query_params.update({"task": "greater_than", "k": "60"})
    opened.run()
    assert opened.selectbox(key=state.TASK).value == "greater_than"
    assert (opened.query_params["task"], opened.query_params["k"]) == ("greater_than", "60")


@pytest.mark.usefixtures("seeded", "queue_of")
def test_more_examples_than_own_prompts_have_rows_is_said() -> None:
    kept = own_prompts.save([PromptRow("a b", "a c", (" d",), (" e",))], "Mine", "embedded")
    assert "Mine has 1 example, so n = 1 instead of 50." in texts(open_link("circuits", {"task": kept.name, "n": "50"}))
    assert "instead of" not in texts(open_link("circuits", {"task": kept.name}))
