"""Words: names say what they hold, and names and texts use the field's terms instead of a dialect of our own."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator

import pytest

from tests.sources import OURS, ROOT, existing, name_of, sources, tree

REFUSED_NAMES = {"found", "one", "said", "look", "walk", "walks", "tape", "twin", "twins", "surest", "listener"}

# What each is called instead: activation cache, corrupted example, most confident, observer, save_memory,
# copy_sharing_weights, apply_with_frozen_scale, vjp.
DIALECT = re.compile(
    r"(?<![a-z])(tapes?|twins?|surest|listeners?|make_lean|twin_of|freeze_at|pull_back)(?![a-z])"
    r"|task owes|doors of the house|\bgo(?:es)? down to\b|away with them|each with itself"
    r"|how often it is how active|length of what heads write",
    re.IGNORECASE,
)
OVERLAP_IS_NO_SHARE = re.compile(
    r"ceiling|shares? kept|kept share|agree more|as high as an overlap|the best to expect|has no circuit for it|"
    r"keeps? [^.\n]{0,40}of (the|its) circuit|circuit [^.\n]{0,20}(survived|the MDM keeps)|"
    r"with itself on other prompts",
    re.IGNORECASE,
)

CODE = sources(*existing(*(name for name in OURS if name != "app"), "app.py"))
DOCUMENTS = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    ROOT / "engine" / "METHOD.md",
    *sorted(ROOT.glob("docs/**/*.md")),
]
TEXTS = [*sources("engine", "cache", "pages", "app.py"), *DOCUMENTS]

NAMED = ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef | ast.ExceptHandler | ast.MatchAs | ast.MatchStar


def bindings(module: ast.Module) -> Iterator[tuple[int, str]]:
    """Line and name of everything that a module's code names: variables, parameters, functions, classes, imports."""
    for node in ast.walk(module):
        if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
            yield node.lineno, node.id
        elif isinstance(node, ast.arg):
            yield node.lineno, node.arg
        elif isinstance(node, NAMED) and node.name:
            yield node.lineno, node.name
        elif isinstance(node, ast.Import | ast.ImportFrom):
            yield from ((node.lineno, alias.asname) for alias in node.names if alias.asname)


def refused_names(module: ast.Module) -> list[str]:
    return [f"{line} binds {name}" for line, name in bindings(module) if name.lower().strip("_") in REFUSED_NAMES]


def test_names_say_what_they_hold() -> None:
    refused = [f"{name_of(path)}:{binding}" for path in CODE for binding in refused_names(tree(path))]
    assert not refused, "\n" + "\n".join(refused)


@pytest.mark.parametrize(
    "source",
    [
        "found = 1",
        "for one in range(3): pass",
        "def look(): pass",
        "def f(said): pass",
        "x = [twin for twin in ()]",
        "with open('x') as tape: pass",
        "if (walk := 1): pass",
        "class Listener: pass",
        "import os as walks",
        "a, *surest = 1, 2",
        "_found: int = 1",
        "lambda one: one",
    ],
)
def test_a_refused_name_is_noticed_wherever_it_is_bound(source: str) -> None:
    assert refused_names(ast.parse(source))


def test_english_words_in_sentences_are_fine() -> None:
    assert refused_names(ast.parse('raise ValueError("one was found")  # look\nprint(node.found)')) == []


def test_texts_and_names_use_the_fields_terms() -> None:
    places = [
        f"{name_of(path)}:{number}: {line.strip()}"
        for path in TEXTS
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if DIALECT.search(line)
    ]
    assert not places, "\n" + "\n".join(places)


def test_no_text_calls_an_overlap_a_share_or_a_split_half_a_bound() -> None:
    """Overlap is a Jaccard index, and halves of the prompts bound nothing (METHOD, "Circuits and comparison")."""
    for path in TEXTS:
        text = re.sub(r'"\s*\n\s*f?"|\s+', " ", path.read_text(encoding="utf-8"))  # as it is read, over line ends
        assert not OVERLAP_IS_NO_SHARE.search(text), name_of(path)
