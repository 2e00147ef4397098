"""README, METHOD and docs against the code: links, commands, generated parts, and every number that is a constant."""

from __future__ import annotations

import argparse
import ast
import re
import tomllib
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from engine.__main__ import parser
from engine.circuits.graph import Graph
from engine.circuits.profiles import early_boundary
from engine.models.config_fields import SCORED
from engine.runs.spec import RunSpec
from engine.schema.vocabulary import SAMPLERS
from tests.conftest import WHOLE
from tests.sources import ROOT, name_of, sources, tree
from tools import architecture, glossary

LONGEST_README = 150  # lines
DOCUMENTS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "CHANGELOG.md", "engine/METHOD.md")),
    *sorted((ROOT / "docs").rglob("*.md")),
]
WORDS = {"four": 4, "eight": 8, "three": 3, "five": 5, "seven": 7, "ten": 10, "half": 0.5, "third": 3}


def read(name: str) -> str:
    """A document as it is read, over line ends."""
    return re.sub(r"\s+", " ", (ROOT / name).read_text(encoding="utf-8"))


def constant(name: str, room: str = "") -> object:
    """The value of a module-level constant of the engine (of a room or module): the same wherever it is defined."""
    values = []
    for path in sources("engine"):
        if not name_of(path).startswith(f"engine/{room}"):
            continue
        for node in tree(path).body:
            targets = (
                node.targets
                if isinstance(node, ast.Assign)
                else [node.target]
                if isinstance(node, ast.AnnAssign)
                else []
            )
            if any(isinstance(target, ast.Name) and target.id == name for target in targets):
                values.append(_value(node.value))  # type: ignore[attr-defined]
    assert values and all(value == values[0] for value in values), f"{name} in engine/{room}: {values}"
    return values[0]


def _value(node: ast.expr) -> object:
    """Literals, range(a, b), and the number that something is multiplied with."""
    if isinstance(node, ast.Call) and ast.unparse(node.func) == "range":
        return range(*(ast.literal_eval(argument) for argument in node.args))
    if isinstance(node, ast.BinOp):
        return ast.literal_eval(node.left)
    return ast.literal_eval(node)


def bounds(name: str, room: str) -> tuple[int, int]:
    numbers = constant(name, room)
    assert isinstance(numbers, range)
    return numbers[0], numbers[-1]


def number(text: str) -> float:
    return float(WORDS.get(text, text.replace(",", "")))  # type: ignore[arg-type]


def options(command: str) -> dict[str, argparse.Action]:
    """The flags of a command of the command line."""
    subparsers = next(a for a in parser()._actions if isinstance(a, argparse._SubParsersAction))
    return {flag: action for action in subparsers.choices[command]._actions for flag in action.option_strings}


def graph(n_layers: int, n_heads: int) -> tuple[int, int]:
    return Graph(n_layers, n_heads).n_sources, Graph(n_layers, n_heads).n_edges


def oldest_python() -> float:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    return number(project["requires-python"].removeprefix(">="))


def port() -> int:
    """The one of .streamlit/config.toml, else Streamlit's own default."""
    from streamlit import config

    return int(config.get_option("server.port"))


def published_pairs() -> int:
    return len(tomllib.loads((ROOT / "assets" / "pairs.toml").read_text()).keys() - {"embedded", "smollm2"})


def defaults() -> tuple[int, int, int]:
    return RunSpec().points, RunSpec().n, RunSpec().seed


# Document, what it says with its numbers in groups, and what the code has.
NUMBERS: list[tuple[str, str, Callable[[], object]]] = [
    ("engine/METHOD.md", r"alpha = k/m for k = 0 .. m-1 \(m = (\d+)\)", lambda: RunSpec().points),
    ("engine/METHOD.md", r"drawn again, at most (\d+) times", lambda: constant("TRIES", "tasks/natural")),
    ("engine/METHOD.md", r"a century needs (\d+) of them", lambda: constant("FEWEST_YEARS", "tasks")),
    ("engine/METHOD.md", r"and all together (\d+)\.", lambda: constant("FEWEST_IN_ALL", "tasks")),
    ("engine/METHOD.md", r"with (\w+) worked examples instead of eight", lambda: constant("SHOTS", "tasks")),
    ("engine/METHOD.md", r"operands from (\d+) to (\d+)", lambda: bounds("OPERANDS", "tasks/countdown")),
    ("engine/METHOD.md", r"a target from (\d+) to (\d+)", lambda: bounds("TARGETS", "tasks/countdown")),
    ("engine/METHOD.md", r"no number above (\d+)", lambda: constant("LARGEST", "tasks/countdown/problems")),
    ("engine/METHOD.md", r"Circuits of more than (\d+) examples", lambda: constant("EXAMPLES_AT_ONCE", "runs")),
    ("engine/METHOD.md", r"solves at least (half) of the problems", lambda: constant("ENOUGH", "runs")),
    ("engine/METHOD.md", r"drawn at every K up to (\d+)", lambda: constant("EVERY_K", "circuits")),
    ("engine/METHOD.md", r"about (\d+) K a decade", lambda: constant("A_DECADE", "circuits")),
    ("engine/METHOD.md", r"is at most (\d) e max\(1, M\)", lambda: constant("ROUNDING", "evidence")),
    ("engine/METHOD.md", r"differ by less than (\d+) % of the metric", lambda: 100 * constant("CLOSE", "evidence")),  # type: ignore[operator]
    ("engine/METHOD.md", r"random \((\w+) permutations", lambda: constant("RANDOM_DRAWS", "evidence")),
    ("engine/METHOD.md", r"one edge or (\d+) % of K wide", lambda: 100 * constant("WIDTH", "evidence")),  # type: ignore[operator]
    ("engine/METHOD.md", r"up to (\w+) sizes", lambda: constant("AT_ONCE", "evidence")),
    ("engine/METHOD.md", r"variance is below (1e-7) of the mean square", lambda: constant("VARIES", "inspection")),
    (
        "engine/METHOD.md",
        r"max\((\d+), (\d+) / layers\)",
        lambda: (constant("DETAILED_OF_LAYER"), constant("DETAILED_NEURONS")),
    ),
    ("engine/METHOD.md", r"Scores of the ([\d,]+) strongest edges", lambda: constant("BLOCK_EDGES")),
    ("engine/METHOD.md", r"block of examples \(example mod (\d+)\)", lambda: constant("BLOCKS")),
    ("engine/METHOD.md", r"(\d+) % intervals are basic bootstrap", lambda: 100 * constant("LEVEL", "circuits")),  # type: ignore[operator]
    ("engine/METHOD.md", r"over ([\d,]+) resamples", lambda: constant("RESAMPLES", "circuits")),
    ("engine/METHOD.md", r"none from fewer than (\d+) blocks", lambda: constant("FEWEST", "circuits")),
    ("engine/METHOD.md", r"timesteps t from 1 to ([\d.]+) in S steps", lambda: constant("LAST_TIME")),
    ("engine/METHOD.md", r"GPT-2 ([\d,]+) / ([\d,]+);", lambda: graph(12, 12)),
    ("engine/METHOD.md", r"Qwen2.5-7B ([\d,]+) / ([\d,]+);", lambda: graph(28, 28)),
    ("engine/METHOD.md", r"LLaMA-2-7B ([\d,]+) / ([\d,]+)\.", lambda: graph(32, 32)),
    ("engine/METHOD.md", r"adds up to at least ([\d.]+) of that of all", lambda: constant("SHARE", "circuits/along_k")),
    ("engine/METHOD.md", r"share in the first (third) of the layers, rounded up", lambda: 10 / early_boundary(28)),
    ("README.md", r"need Python (\d\.\d+) or later", oldest_python),
    ("README.md", r"app, at http://localhost:(\d+)", port),
    ("docs/usage.md", r"under (\w+) samplers", lambda: len(SAMPLERS)),
    ("docs/usage.md", r"At most (\d+) rows", lambda: constant("MOST_ROWS", "tasks/prompt_checks")),
    ("docs/usage.md", r"(\d+) tokens a prompt", lambda: constant("LONGEST_PROMPT", "tasks")),
    ("docs/usage.md", r"(\d+) an answer", lambda: constant("LONGEST_ANSWER", "tasks")),
    ("docs/usage.md", r"(\d+) MB a file", lambda: constant("MOST_BYTES", "exchange/prompts_csv") / 1e6),  # type: ignore[operator]
    ("docs/command_line.md", r"--k (\d+),(\d+),(\d+)\]", lambda: tuple(options("compare")["--k"].default)),
    ("docs/command_line.md", r"--operands \d --n (\d+)", lambda: options("countdown")["--n"].default),
    ("docs/command_line.md", r"with (\w+) to (\w+) operands", lambda: bounds("COUNTS", "tasks/countdown")),
    ("docs/command_line.md", r"key is printed with (\w+) characters", lambda: constant("SHOWN", "runs/records")),
    ("docs/models_and_pairs.md", r"embedded pair and (\w+) published ones", published_pairs),
    ("docs/embedded_results.md", r"m = (\d+), (\d+) held-out prompts, seed (\d+)", defaults),
    ("docs/benchmarks.md", r"7B pair \(([\d,]+) and", lambda: graph(28, 28)[1]),
    ("docs/benchmarks.md", r"and ([\d,]+) edges\)", lambda: graph(32, 32)[1]),
]


@pytest.mark.parametrize(("document", "saying", "value"), NUMBERS, ids=[saying for _, saying, _ in NUMBERS])
def test_numbers_are_those_of_the_code(document: str, saying: str, value: Callable[[], object]) -> None:
    match = re.search(saying, read(document))
    assert match, f"{document} no longer says so: change the pattern with the text"
    expected = value()
    numbers = expected if isinstance(expected, tuple) else (expected,)
    if "third" in match.groups():  # a third of 28 layers, rounded up, is 10
        assert numbers == (1,)
    else:
        assert [number(group) for group in match.groups()] == pytest.approx(list(numbers))


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_links_lead_somewhere(path: Path) -> None:
    links = re.findall(r"\]\((?!https?:)([^)#]+)(?:#[^)]*)?\)", path.read_text(encoding="utf-8"))
    assert [link for link in links if not (path.parent / link).exists()] == []


def test_the_readme_is_short_and_shows_the_app() -> None:
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= LONGEST_README
    assert "](assets/recording.webp)" in text
    assert (ROOT / "assets" / "recording.webp").stat().st_size <= 3_000_000


def test_every_document_is_reached_from_the_readme() -> None:
    text = (ROOT / "README.md").read_text() + (ROOT / "docs" / "decisions" / "README.md").read_text()
    for path in sorted((ROOT / "docs").rglob("*.md")):
        target = path.name if path.parent.name == "decisions" else name_of(path)
        assert f"({target})" in text or name_of(path) in text, f"nothing links {name_of(path)}"


def test_the_generated_parts_are_current() -> None:
    assert glossary.PAGE.read_text() == glossary.page(), "run python -m tools.glossary"
    assert architecture.unlisted() == []
    assert (ROOT / "docs" / "architecture.md").read_text() == architecture.document(), (
        "run python -m tools.architecture"
    )


@pytest.mark.parametrize("path", [path for path in DOCUMENTS if path.name != "METHOD.md"], ids=name_of)
def test_commands_of_the_documents_exist(path: Path) -> None:
    """Every `python -m engine COMMAND --flag` is one that the parser knows, and so is every `make TARGET`."""
    for line in path.read_text().splitlines():
        command = re.search(r"python -m engine ([\w-]+)([^`#]*)", line)
        if command:
            known = options(command[1])
            flags = re.findall(r"(?<![\w-])--[a-z-]+", command[2])
            assert [flag for flag in flags if flag not in known and command[1] != "pairs"] == [], line
    targets = set(re.findall(r"(?:^    |`)make ([a-z]+)\b", path.read_text(), re.MULTILINE))
    rules = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    assert targets <= rules


def test_the_names_it_answers_to_are_those_of_the_config() -> None:
    config = tomllib.loads((ROOT / ".streamlit" / "config.toml").read_text())
    named = re.search(r"names ((?:`[^`]+`(?:, | and )?)+)", read("README.md"))
    assert named and re.findall(r"`([^`]+)`", named[1]) == config["server"]["allowedHosts"]


def test_the_citation_names_both_papers() -> None:
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text())
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    assert citation["version"] == project["version"] and citation["license"] == project["license"]
    assert [reference["url"].rsplit("/", 1)[-1] for reference in citation["references"]] == ["2601.14758", "2403.17806"]


def test_python_versions_are_the_same_everywhere() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    prefix = "Programming Language :: Python :: 3."
    classified = [text.removeprefix(prefix) for text in project["classifiers"] if text.startswith(prefix)]
    workflow = yaml.safe_load((ROOT / ".github" / "workflows" / "test.yml").read_text())
    assert workflow["jobs"]["test"]["strategy"]["matrix"]["python"] == [f"3.{minor}" for minor in classified]
    assert workflow["jobs"]["test"]["steps"][-1]["run"] == ".ci/run"
    assert all(f"3.{minor}" in read("docs/installing.md") for minor in classified)


def test_the_architectures_named_are_those_that_can_be_scored() -> None:
    named = re.search(r"architectures that can be scored: ([^(]+?) \(", read("docs/models_and_pairs.md"))
    known = [name.removesuffix("ForCausalLM").removesuffix("LMHeadModel") for name in SCORED]
    assert named and re.split(r", | or ", named[1].replace("GPT-2", "GPT2")) == known


def test_what_make_check_leaves_out_is_there() -> None:
    assert [name for name in WHOLE if not (ROOT / "tests" / name).exists()] == []


PATH = re.compile(r"`((?:engine|cache|pages|tests|assets|tools|benchmarks|examples|docs)/[\w./-]+)`")
MADE = {"pages/NAME.py", "cache/circuits.duckdb", "artifacts/KEY.duckdb"}  # by whoever follows the text


@pytest.mark.parametrize("path", DOCUMENTS, ids=name_of)
def test_files_named_are_there(path: Path) -> None:
    named = set(PATH.findall(path.read_text(encoding="utf-8"))) - MADE
    assert [name for name in sorted(named) if not (ROOT / name).exists()] == []
