"""The sources of this repository as tests read them: paths, syntax trees."""

from __future__ import annotations

import ast
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
OURS = ("engine", "cache", "pages", "tests", "tools", "benchmarks", "examples", "app")


def sources(*places: str) -> list[Path]:
    """The Python files of folders, and files by name, relative to the root."""
    paths = [file for place in places for file in [ROOT / place, *sorted((ROOT / place).rglob("*.py"))]]
    files = [path for path in paths if path.is_file() and "__pycache__" not in path.parts]
    assert files
    return files


def existing(*folders: str) -> tuple[str, ...]:
    """Those of the folders that there are."""
    return tuple(folder for folder in folders if (ROOT / folder).exists())


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@cache
def tree(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), str(path))
