"""Write docs/architecture.md: the rooms, the import rules and every module with the first line of its docstring.

python -m tools.architecture
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

ROOT = Path(__file__).parent.parent
FILE = ROOT / "docs" / "architecture.md"

# Folder -> what is in it, in the order of the document. A folder of code that is not listed here is an error.
FOLDERS = {
    ".": "The app's entry",
    "pages": "Pages: what comes after what; nothing is computed or drawn in them",
    "pages/panels": "Panels: one piece of a page each",
    "pages/shared": "What pages share: state and address, reading from the cache, downloads, widgets",
    "pages/figures": "Figures: pure functions, arrays in, a Plotly figure out",
    "pages/components/circuit": "pages/components/circuit/: the circuit component, whose JavaScript lies beside",
    "pages/components": "Components with a JavaScript side",
    "engine": "The command line, the doctor, errors and settings",
    "engine/circuits": "Circuits as arrays, numpy only",
    "engine/models": "From a pair's name to a forward pass",
    "engine/tasks": "What is asked, and whether it is solved",
    "engine/tasks/countdown": "COUNTDOWN, as the embedded pair and as base models are asked",
    "engine/attribution": "Edge and neuron scores",
    "engine/evidence": "Tests of whether a circuit is what it seems: patching, knockouts, stability",
    "engine/inspection": "What components do: lenses, activations, neurons, heads",
    "engine/runs": "From a spec to a stored run",
    "engine/sweeps": "Grids of runs on several processes, GPUs and machines",
    "engine/exchange": "Files in and out",
    "engine/training": "How the embedded pair was made",
    "engine/files": "Reading and writing files within bounds; any module may import it",
    "engine/schema": "Every stored table; any module may import it",
    "cache": "The cache: keys, the database, bundles as files",
    "tools": "Scripts that write what the repository shows",
    "benchmarks": "Measurements of speed, memory and size",
    "examples": "The library used from a script",
}

HEAD = """# Architecture

<!-- Written by `python -m tools.architecture` from the docstrings of the modules; a test compares it with them. -->

The engine computes, the cache remembers, the pages show; each can be read without the other two.

## Imports go one way

```
circuits <- models <- tasks <- attribution <- (evidence,) inspection <- runs <- sweeps <- exchange <- doctor <- commands
page -> panels -> figures, shared
```

- `evidence` tests whether a circuit is what it seems: it runs the model with nothing else. No run keeps it yet.
- `engine/errors.py`, `engine/settings.py`, `engine/files` and `engine/schema` are leaves: any module may import them.
- `engine/training` reads circuits, models and tasks; only `engine/commands.py` imports it.
- Only `engine/runs`, `engine/sweeps` and `engine/exchange` import `cache`; `cache` imports nothing of ours.
- No streamlit or plotly in `engine` and `cache`. Figures import no streamlit.
- Pages never import attribution, evidence or inspection (but the bins of histograms), nor training.
- `pages/shared` imports no panels, panels import no pages.
- No `__init__.py` imports eagerly; importing `engine` or any page imports no torch.
- Benchmarks, tools and examples import nothing of tests.

tests/import_rules.py holds these rules, and tests/test_imports.py breaks each on purpose. Tests mirror the folders:
every engine module has a test file of its name. [engine/METHOD.md](../engine/METHOD.md) defines every number.
"""


def modules(folder: str) -> list[Path]:
    place = ROOT / folder
    return sorted(path for path in place.glob("*.py") if path.stem != "__init__") if place.is_dir() else []


def first_line(path: Path) -> str:
    """The first line of a module's docstring, without the full stop at its end."""
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    if not docstring:
        raise SystemExit(f"{path.relative_to(ROOT)} has no docstring.")
    return docstring.splitlines()[0].strip().rstrip(".").replace("|", "\\|")


def document() -> str:
    parts = [HEAD]
    for folder, heading in FOLDERS.items():
        rows = [f"| `{path.relative_to(ROOT).as_posix()}` | {first_line(path)} |" for path in modules(folder)]
        if rows:
            parts.append("\n".join([f"## {heading}\n", "| Module | |", "|---|---|", *rows]) + "\n")
    return "\n".join(parts)


def unlisted() -> list[str]:
    """Folders with modules that FOLDERS does not name."""
    tops = {folder.split("/")[0] for folder in FOLDERS} - {"."}
    folders = {path.parent for top in tops for path in (ROOT / top).rglob("*.py") if path.stem != "__init__"}
    return sorted(str(p.relative_to(ROOT).as_posix()) for p in folders if p.relative_to(ROOT).as_posix() not in FOLDERS)


def main() -> None:
    if unlisted():
        sys.exit(f"FOLDERS of tools/architecture.py has no heading for {', '.join(unlisted())}.")
    FILE.write_text(document(), encoding="utf-8")


if __name__ == "__main__":
    main()
