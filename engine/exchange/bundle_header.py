"""The header of a bundle: what made it, the pair and the own prompts and problems that its runs are about.

Written from what is known here; read as data of unknown origin, field by field.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from cache.layout import SCHEMA
from engine import settings
from engine.errors import UserError
from engine.exchange import bundle_checks as checks
from engine.files.reading import read_toml
from engine.models import pairs
from engine.models.gguf_files import is_gguf
from engine.models.hub import HUB_ID
from engine.models.pair import Pair, pair_of, toml_of
from engine.runs.provenance import LIBRARIES, library_version
from engine.tasks import own_prompts
from engine.tasks.countdown import problem_file, published_format
from engine.tasks.countdown.problem_file import ProblemFile
from engine.tasks.own_prompts import OwnPrompts, PromptRow

EARLIER_FIELDS = ("made", "program", "pair", "problems", "prompts")
FIELDS = ("schema", *EARLIER_FIELDS)
NOT_HERE = "not-here"  # where the folders of another machine's pair are said to be
LONGEST_PAIR = 20_000  # characters of its TOML
MOST_PROMPTS = 10_000  # rows of own prompts
LONGEST_PROMPT = 100_000  # characters


@dataclass(frozen=True)
class Header:
    """What a bundle says before its runs; `program`: the versions of what wrote it, by name."""

    made: str
    program: Mapping[str, str]
    pair: Pair
    prompts: tuple[OwnPrompts, ...]
    problems: tuple[ProblemFile, ...]

    @property
    def tasks(self) -> set[str]:
        """The tasks that came along."""
        return {task.name for task in (*self.prompts, *self.problems)}


def written_header(pair: str, tasks: Sequence[str]) -> str:
    """The header of a bundle of runs of a pair on these tasks, as JSON.

    Raises:
        UserError: there is no such pair, or a task's own prompts or problems cannot be read.
    """
    header = {
        "schema": SCHEMA,
        "made": datetime.now(UTC).isoformat(timespec="seconds"),
        "program": {name: library_version(name) for name in (*LIBRARIES, "duckdb")},
        "pair": toml_of(_without_paths(pairs.pair_named(pair))),
        "problems": [_problems_table(task) for task in tasks if problem_file.is_problem_file(task)],
        "prompts": [_prompts_table(task) for task in tasks if own_prompts.is_own(task)],
    }
    return json.dumps(header)


def read_header(text: str, earlier: bool = False) -> Header:
    """The header of a bundle, checked; `earlier`: of the versions that wrote a bundle as a database.

    Raises:
        UserError: a field is missing, too many, or not what it should be; or another version made the bundle.
    """
    fields = checks.json_of(text, "the header")
    if not earlier:
        checks.refuse_other_schema(fields.get("schema"))
    unknown = set(fields) ^ set(EARLIER_FIELDS if earlier else FIELDS)
    if unknown:
        raise UserError(f"the header lacks the field {min(unknown)[:40]!r}, or has it and should not")
    program, prompts, problems = fields["program"], fields["prompts"], fields["problems"]
    if not isinstance(program, dict) or not isinstance(prompts, list) or not isinstance(problems, list):
        raise UserError("the header does not say which program made it, or on which prompts")
    pair = _pair(checks.text(fields["pair"], "the pair", LONGEST_PAIR))
    return Header(
        made=checks.when(checks.text(fields["made"], "made")),
        program={checks.text(name, "a name"): checks.text(value, "a version") for name, value in program.items()},
        pair=pair,
        prompts=tuple(_prompts(content, pair.name) for content in prompts),
        problems=tuple(_problems(content) for content in problems),
    )


def _is_hub_id(source: str) -> bool:
    return HUB_ID.fullmatch(source) is not None and not is_gguf(source)


def _without_paths(pair: Pair) -> Pair:
    """A pair whose folders are told by their names alone: where they are is nobody else's matter."""
    arm, mdm = (
        Path(source).name if Path(pair.folder(model)).is_absolute() else source
        for model, source in (("arm", pair.arm), ("mdm", pair.mdm))
    )
    arm_adapter, mdm_adapter = (name and Path(name).name for name in (pair.arm_adapter, pair.mdm_adapter))
    steps_dir = "steps" if pair.steps else None
    return replace(pair, arm=arm, mdm=mdm, arm_adapter=arm_adapter, mdm_adapter=mdm_adapter, steps_dir=steps_dir)


def _pair(toml: str) -> Pair:
    """The pair of a bundle; what it names on the other machine is not looked for here."""
    tables = read_toml(toml, "its pair")
    if len(tables) != 1:
        raise UserError(f"it has {len(tables)} pairs, not one")
    ((name, table),) = tables.items()
    folder = settings.kept_pairs_dir()
    pair = pair_of(name, table, folder, Path("the bundle"))
    nowhere = f"{NOT_HERE}/{name}"
    return replace(
        pair,
        arm=pair.arm if _is_hub_id(pair.arm) else f"{nowhere}/arm",
        mdm=pair.mdm if _is_hub_id(pair.mdm) else f"{nowhere}/mdm",
        arm_adapter=pair.arm_adapter and f"{nowhere}/arm_adapter",
        mdm_adapter=pair.mdm_adapter and f"{nowhere}/mdm_adapter",
        steps_dir=f"{nowhere}/steps" if pair.steps else None,
        licence=None,
    )


def _prompts_table(task: str) -> dict[str, Any]:
    kept = own_prompts.load(task)
    return {"title": kept.title, "saved": kept.saved, "rows": [asdict(row) for row in kept.rows]}


def _prompts(content: Any, pair: str) -> OwnPrompts:
    """A set of own prompts; its name is made of its rows, so that another set cannot take its place."""
    wrong = UserError("its own prompts are not as they should be")
    if (
        not isinstance(content, dict)
        or set(content) != {"title", "saved", "rows"}
        or not isinstance(content["rows"], list)
    ):
        raise wrong
    if not 1 <= len(content["rows"]) <= MOST_PROMPTS:
        raise UserError(f"its own prompts have {len(content['rows'])} rows; 1 to {MOST_PROMPTS} can be")
    title = checks.text(content["title"], "the title of own prompts")
    return OwnPrompts(
        [_prompt(row) for row in content["rows"]], title, pair, checks.when(checks.text(content["saved"], "saved"))
    )


def _problems_table(task: str) -> dict[str, Any]:
    kept = problem_file.load(task)
    return {"title": kept.title, "saved": kept.saved, "lines": published_format.written(kept.rows)}


def _problems(content: Any) -> ProblemFile:
    """COUNTDOWN problems of a file; they name themselves as own prompts do."""
    if not isinstance(content, dict) or set(content) != {"title", "saved", "lines"}:
        raise UserError("its problems are not as they should be")
    lines = checks.text(content["lines"], "a file of problems", published_format.MOST_BYTES)
    title = checks.text(content["title"], "the title of problems")
    saved = checks.when(checks.text(content["saved"], "saved"))
    return ProblemFile(published_format.read(lines.encode(errors="replace"), "its file of problems"), title, saved)


def _prompt(row: Any) -> PromptRow:
    if not isinstance(row, dict) or set(row) != {"clean", "corrupted", "answers", "foils"}:
        raise UserError("a row of its own prompts has other fields than it should")
    lists = [row["answers"], row["foils"]]
    if not all(isinstance(texts, list) and texts for texts in lists):
        raise UserError("a row of its own prompts has no answer or no foil")
    answers, foils = (tuple(checks.text(text, "an answer", LONGEST_PROMPT) for text in texts) for texts in lists)
    clean, corrupted = (checks.text(row[name], "a prompt", LONGEST_PROMPT) for name in ("clean", "corrupted"))
    return PromptRow(clean, corrupted, answers, foils)
