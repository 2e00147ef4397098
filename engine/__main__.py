"""The command line: runs the command that its flags name (engine/flags.py says which there are)."""

from __future__ import annotations

import argparse
import os
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from io import TextIOWrapper
from typing import Any

from engine import commands, doctor, evidence_commands, sweep_commands
from engine.circuits.filters import Filters
from engine.errors import Incomplete, UserError
from engine.exchange import kept_inputs
from engine.exchange.circuit import Other
from engine.flags import DEFAULTS, RECIPES, parser
from engine.models.pair import Pair
from engine.models.pairs import pair_named
from engine.runs import folder_pair
from engine.runs.device_plan import fitting_dtype
from engine.runs.execution import Compute
from engine.runs.spec import RunSpec
from engine.sweeps import collected_table
from engine.tasks.base import Listed, Task
from engine.tasks.own_prompts import OwnPrompts
from engine.tasks.registry import available, task_named
from engine.terminal import shown_progress


def main(argv: Sequence[str] | None = None, compute: Compute | None = None) -> int:
    """Run one command and return the exit code; `compute` replaces engine.runs.compute.Computing."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a name that the terminal cannot show is no reason to fail
            stream.reconfigure(errors="backslashreplace")
    words = sys.argv[1:] if argv is None else argv
    given = parser().parse_args(words)
    try:
        for line in _lines(given, words, compute):
            print(line)
        sys.stdout.flush()
        return 0
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except Incomplete as error:
        print(error, file=sys.stderr)
        return 1
    except BrokenPipeError:  # whoever read the lines has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # a file or folder in the way that no command foresaw
        print(f"error: {error.filename or 'a file'} cannot be used: {error.strerror or error}.", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Interrupted. What was finished is kept.", file=sys.stderr)
        return 130


def _lines(given: argparse.Namespace, words: Sequence[str], compute: Compute | None) -> Iterator[str]:
    chosen: dict[str, Callable[[], Iterator[str]]] = {
        "run": lambda: _put_back_unless_used(given, lambda spec: commands.run(spec, given.model, compute)),
        "compare": lambda: _compare(given, words, compute),
        "evidence": lambda: _put_back_unless_used(
            given, lambda spec: evidence_commands.evidence(spec, given.model, given.only, given.k, compute)
        ),
        "report": lambda: evidence_commands.report(given.out, given.pair, given.task, _settings(given)),
        "sweep": lambda: sweep_commands.sweep(given.file, given.ray, given.workers, given.shard, given.dry_run),
        "list": commands.list_runs,
        "prune": lambda: commands.prune(given.older_than, given.keep_bundles),
        "export": lambda: commands.export(
            given.key, given.k, given.format, given.part, _filters(given), _other(given), given.out
        ),
        "pairs": lambda: _pairs(given),
        "countdown": lambda: commands.write_problems(given.out, given.operands, given.n, given.seed),
        "bundle": lambda: commands.bundle(given.file, given.pair, given.task),
        "import": lambda: commands.take(given.file),
        "import-circuit": lambda: commands.take_circuit(given.file, _circuit_spec(given)),
        "doctor": lambda: _doctor(given),
        "train": lambda: commands.train(given.out, given.recipe, _training(given)),
    }
    return chosen[given.command]()


def _compare(given: argparse.Namespace, words: Sequence[str], compute: Compute | None) -> Iterator[str]:
    """The two circuits that flags name, or all of a sweep, whose file then says everything but the sizes."""
    if given.sweep is None and given.out is None:
        return _put_back_unless_used(
            given, lambda spec: commands.compare(spec, given.k, given.steps, compute, given.control, given.run)
        )
    if given.sweep is None:
        raise UserError("--out only goes with --sweep.")
    if given.out is None:
        raise UserError("--sweep needs --out: the table to write, as in table.parquet or table.csv.")
    flags = [word.partition("=")[0] for word in words if word.startswith("--")]
    other = next((flag for flag in flags if flag not in ("--sweep", "--out", "--k")), None)
    if other is not None:
        raise UserError(f"{other} cannot go with --sweep: the sweep's file says which runs are compared.")
    return _collect(given.sweep, given.out, given.k)


def _collect(file: str, out: str, sizes: Sequence[int]) -> Iterator[str]:
    with shown_progress(out) as show:
        collected = collected_table.collect(file, out, sizes, show)
    yield from collected_table.lines(collected)


def _circuit_spec(given: argparse.Namespace) -> RunSpec:
    """The model, task and examples that a circuit from elsewhere is said to be of."""
    pair, task = pair_named(given.pair), task_named(given.task)
    fields = {name: getattr(given, name) for name in ("model", "seed", "metric", "order")}
    dtype = given.dtype or fitting_dtype(pair)
    return RunSpec(**fields, pair=pair.name, task=task.name, n=available(task, given.n), dtype=dtype)


def _put_back_unless_used(given: argparse.Namespace, command: Callable[[RunSpec], Iterator[str]]) -> Iterator[str]:
    """A command on runs; what was kept for it goes again unless a run came of it."""
    with ExitStack() as undo:
        for line in command(_spec(given, undo)):
            undo.pop_all()
            yield line


def _doctor(given: argparse.Namespace) -> Iterator[str]:
    pair = _pair(given)
    if pair is None:
        return doctor.machine()
    return doctor.pair(pair) if given.arm is None else doctor.two_models(pair, given.shifted)


def _pairs(given: argparse.Namespace) -> Iterator[str]:
    chosen: dict[str, Callable[[], Iterator[str]]] = {
        "list": commands.list_pairs,
        "rename": lambda: commands.rename_pair(given.name, given.title),
        "remove": lambda: commands.remove_pair(given.name, given.with_runs),
    }
    return chosen[given.action]()


def _filters(given: argparse.Namespace) -> Filters:
    return Filters(tuple(given.kinds), given.sign, given.show, given.prune)


def _other(given: argparse.Namespace) -> Other | None:
    return None if given.other is None else Other(given.other, given.other_part)


def _training(given: argparse.Namespace) -> dict[str, Any]:
    every = dict.fromkeys(field for fields in RECIPES.values() for field in fields)
    chosen = {field: getattr(given, field) for field in every if getattr(given, field) is not None}
    for field in chosen.keys() - set(RECIPES[given.recipe]):
        raise UserError(f"--{field.replace('_', '-')} is no flag of the recipe {given.recipe}. Leave it out.")
    return chosen


def _settings(given: argparse.Namespace) -> dict[str, Any]:
    """Which of several stored runs are meant; n and number format only where they are given."""
    fields = ("n", "seed", "method", "points", "metric", "order", "denoising_steps", "template", "dtype")
    return {field: getattr(given, field) for field in fields if getattr(given, field) is not None}


def _spec(given: argparse.Namespace, undo: ExitStack) -> RunSpec:
    """The spec that is meant; what has to be kept for it is, and `undo` puts it back."""
    _refuse_together(given)
    fields = ("seed", "method", "points", "metric", "order", "denoising_steps", "template")
    chosen = {field: getattr(given, field) for field in fields}
    pair = _pair(given) or pair_named(DEFAULTS.pair)
    dtype = given.dtype or fitting_dtype(pair)
    spec = RunSpec(**chosen, pair=pair.name, dtype=dtype, n=given.n or DEFAULTS.n)  # refuses before anything is kept
    if given.arm is not None or pair.shift_evidence is not None:
        kept_inputs.keep_pair(_settled(pair, given), undo)
    task = _task(given, spec.pair, undo)
    asked = None if given.prompts is not None else given.n  # of a file's rows: those that are kept, each once
    n = asked or (len(task) if isinstance(task, OwnPrompts) else available(task, DEFAULTS.n))
    if isinstance(task, Listed):
        task.refuse_more(n)
        for remark in task.remarks if given.prompts is None else ():  # of a file more was told when it was read
            print(remark, file=sys.stderr)
    return replace(spec, task=task.name, n=n)


def _settled(pair: Pair, given: argparse.Namespace) -> Pair:
    """A kept pair with how its MDM is read, which is values at every run."""
    task = DEFAULTS.task if given.task is None else given.task
    if given.arm is None:
        pair = folder_pair.refreshed(pair, task, given.dtype)
    else:
        pair = folder_pair.settled(pair, given.shifted, task, given.dtype)
    print(pair.how_read, file=sys.stderr)
    return pair


def _refuse_together(given: argparse.Namespace) -> None:
    if given.prompts is not None and given.task is not None:
        raise UserError("--prompts cannot go with --task: the file's rows are the task.")
    if given.problems is not None and (given.task is not None or given.prompts is not None):
        flag = "--task" if given.task is not None else "--prompts"
        raise UserError(f"--problems cannot go with {flag}: the file's problems are the task.")


def _task(given: argparse.Namespace, pair: str, undo: ExitStack) -> Task:
    if given.prompts is not None:
        own, notes = kept_inputs.save_prompts(given.prompts, pair, given.n, undo)
        for note in notes:
            print(note, file=sys.stderr)
        return own
    if given.problems is not None:
        kept = kept_inputs.save_problems(given.problems, undo)
        if kept.left_out:
            without = f"{kept.left_out} of {len(kept) + kept.left_out} problems were left out"
            print(f"{without}: nothing else of the same shape can be reached with their numbers.", file=sys.stderr)
        return kept
    return task_named(DEFAULTS.task if given.task is None else given.task)


def _pair(given: argparse.Namespace) -> Pair | None:
    """The pair that is meant, that of two folders not yet kept nor settled; None: none is named."""
    values = {flag: getattr(given, flag) for flag in ("arm", "mdm", "mask_token", "mask_id", "shifted")}
    if given.arm is None and given.mdm is None:
        extra = next((flag for flag, value in values.items() if value is not None), None)
        if extra:
            raise UserError(f"--{extra.replace('_', '-')} only goes with --arm and --mdm: a pair's table says it.")
        return None if given.pair is None else pair_named(given.pair)
    if given.pair is not None or given.arm is None or given.mdm is None:
        raise UserError("--arm and --mdm go together and without --pair: they are the pair.")
    mask = given.mask_token if given.mask_id is None else given.mask_id
    return folder_pair.pair_of_two(given.arm, given.mdm, mask)


def interrupt(signum: int, frame: object) -> None:
    """Being ended is like Ctrl-C: what was kept for the command goes again."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, interrupt)
    sys.exit(main())
