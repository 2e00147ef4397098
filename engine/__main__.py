"""The command line: `python -m engine run | compare | list | export | countdown | bundle | import | doctor | train`.

Flags are checked before anything heavy is imported; an answer from the cache never imports torch.
"""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, NoReturn

from engine import commands, doctor, pipeline
from engine.errors import UserError, cut
from engine.export import FORMATS
from engine.filters import KINDS, SIGNS, Filters
from engine.memory import fitting_dtype
from engine.pairs import keep, pair_named, pair_of_two
from engine.spec import DTYPES, METHODS, METRICS, ORDERS, RunSpec
from engine.tasks import TASKS, Listed, OwnPrompts, Task, available, task_named
from engine.tasks.countdown_text import COUNTS

DEFAULTS = RunSpec()


def main(argv: Sequence[str] | None = None, compute: pipeline.Compute | None = None) -> int:
    """Run one command and return the exit code; `compute` replaces engine.compute.compute."""
    given = parser().parse_args(argv)
    try:
        for line in _lines(given, compute):
            print(line)
        return 0
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # whoever read the lines has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        print("Interrupted. Runs that were finished are kept.", file=sys.stderr)
        return 130


def _lines(given: argparse.Namespace, compute: pipeline.Compute | None) -> Iterator[str]:
    chosen: dict[str, Callable[[], Iterator[str]]] = {
        "run": lambda: commands.run(_spec(given), given.model, compute),
        "compare": lambda: commands.compare(_spec(given), given.k, given.steps, compute),
        "list": commands.list_runs,
        "export": lambda: commands.export(given.key, given.k, given.format, given.part, _filters(given), given.out),
        "countdown": lambda: commands.write_problems(given.out, given.operands, given.n, given.seed),
        "bundle": lambda: commands.bundle(given.file, given.pair, given.task),
        "import": lambda: commands.take(given.file),
        "doctor": lambda: _doctor(given),
        "train": lambda: commands.train(given.out, _training(given)),
    }
    return chosen[given.command]()


def _doctor(given: argparse.Namespace) -> Iterator[str]:
    name = _pair_name(given)
    return doctor.machine() if name is None else doctor.pair(name)


def _filters(given: argparse.Namespace) -> Filters:
    return Filters(tuple(given.kinds), given.sign, pruned=given.prune)


def _training(given: argparse.Namespace) -> dict[str, Any]:
    fields = ("seed", "arm_steps", "mdm_steps", "precision", "compile")
    return {field: getattr(given, field) for field in fields if getattr(given, field) is not None}


def parser() -> argparse.ArgumentParser:
    top = _Parser(prog="python -m engine", description=__doc__, allow_abbrev=False)
    add = top.add_subparsers(dest="command", required=True, metavar="COMMAND").add_parser

    run = add("run", help="compute circuits, or find them in the cache", allow_abbrev=False)
    _add_spec(run)
    run.add_argument("--model", type=_words, default=["arm", "mdm"], help="arm, mdm, step:N; default arm,mdm")

    compare = add("compare", help="how much of the ARM's circuit the MDM keeps", allow_abbrev=False)
    _add_spec(compare)
    compare.add_argument("--k", type=_numbers, default=[50, 200, 1000], help="circuit sizes; default 50,200,1000")
    compare.add_argument("--steps", action="store_true", help="also the checkpoints along post-training")

    add("list", help="the runs in the cache", allow_abbrev=False)

    export = add("export", help="write a circuit to a file", allow_abbrev=False)
    export.add_argument("key", help="the run's key, as run, compare and list print it")
    export.add_argument("--k", type=_number, default=200, help="how many edges; default 200")
    export.add_argument("--format", choices=tuple(FORMATS), default="json")
    export.add_argument("--part", default="total", help="total, half-a, half-b, or a site or step; default total")
    export.add_argument(
        "--sign", choices=SIGNS, default="both", help="only edges that push towards, or away; default both"
    )
    export.add_argument(
        "--kinds", type=_words, default=list(KINDS), help=f"what edges are read by; default {','.join(KINDS)}"
    )
    export.add_argument("--prune", action="store_true", help="leave out edges on no path from input to logits")
    export.add_argument("--out", help="the file to write; default a name made from the run")

    countdown = add("countdown", help="write COUNTDOWN problems in the published format", allow_abbrev=False)
    countdown.add_argument("out", metavar="FILE.jsonl", help="the file to write")
    countdown.add_argument("--operands", type=int, choices=tuple(COUNTS), default=3, help="default 3")
    countdown.add_argument("--n", type=_number, default=1000, help="problems; default 1000")
    countdown.add_argument("--seed", type=int, default=0)

    bundle = add("bundle", help="write a pair's runs to a file for another machine", allow_abbrev=False)
    bundle.add_argument("file", help="the file to write, as in out.duckdb")
    bundle.add_argument("--pair", default=DEFAULTS.pair, help=f"default {DEFAULTS.pair}")
    bundle.add_argument("--task", help="default every task")

    take = add("import", help="take the runs of a bundle into the cache", allow_abbrev=False)
    take.add_argument("file", help="a bundle; no model is needed to show what is in it")

    check = add("doctor", help="what this machine has, and what a pair would take of it", allow_abbrev=False)
    _add_pair(check)

    train = add("train", help="make the embedded pair again", allow_abbrev=False)
    train.add_argument("--out", required=True, help="the folder to write")
    train.add_argument("--seed", type=int)
    train.add_argument("--arm-steps", type=_number, help="optimiser steps of the ARM")
    train.add_argument("--mdm-steps", type=_number, help="optimiser steps of post-training")
    train.add_argument("--precision", choices=("fp32", "bf16"))
    train.add_argument("--compile", action="store_true", default=None, help="use torch.compile")
    return top


class _Parser(argparse.ArgumentParser):
    """A parser whose errors stay readable, whatever value they quote."""

    def error(self, message: str) -> NoReturn:
        super().error(cut(message))


def _add_spec(command: argparse.ArgumentParser) -> None:
    _add_pair(command)
    command.add_argument(
        "--task", help=f"{', '.join(TASKS)}, or kept ones (own-..., countdown-...); default {DEFAULTS.task}"
    )
    command.add_argument(
        "--prompts", metavar="FILE.csv", help="own prompts instead of a task; --n takes the first rows"
    )
    command.add_argument("--problems", metavar="FILE.jsonl", help="COUNTDOWN problems in the published format")
    command.add_argument("--n", type=_number, help=f"examples; default {DEFAULTS.n}, of own prompts all rows")
    command.add_argument("--seed", type=int, default=DEFAULTS.seed, help=f"of the examples; default {DEFAULTS.seed}")
    command.add_argument("--method", choices=METHODS, default=DEFAULTS.method)
    command.add_argument("--points", type=_number, default=DEFAULTS.points, help="integration points")
    command.add_argument("--metric", choices=METRICS, default=DEFAULTS.metric)
    command.add_argument("--order", choices=ORDERS, default=DEFAULTS.order, help="in which the MDM reveals")
    command.add_argument("--dtype", choices=DTYPES, help="default: what the pair prefers, of what fits this machine")


def _add_pair(command: argparse.ArgumentParser) -> None:
    command.add_argument("--pair", help=f"default {DEFAULTS.pair}")
    command.add_argument("--arm", metavar="FOLDER", help="a model that no pair names, or a hub id; goes with --mdm")
    command.add_argument("--mdm", metavar="FOLDER", help="the diffusion model made from it")
    mask = command.add_mutually_exclusive_group()
    mask.add_argument("--mask-token", help="the MDM's mask, where its files don't say it")
    mask.add_argument("--mask-id", type=_id, help="its number, where it has no text")
    shift = command.add_mutually_exclusive_group()
    shift.add_argument("--shifted", action="store_true", default=None, help="the MDM predicts from the position before")
    shift.add_argument("--not-shifted", action="store_false", dest="shifted", help="or from the masked one itself")


def _spec(given: argparse.Namespace) -> RunSpec:
    _refuse_together(given)
    fields = ("seed", "method", "points", "metric", "order")
    chosen = {field: getattr(given, field) for field in fields}
    pair = _pair_name(given) or DEFAULTS.pair
    if given.arm is not None and given.shifted is None:
        pair, known = commands.read_rightly(pair, given.task or DEFAULTS.task, given.dtype)
        if known:
            print(known, file=sys.stderr)
    dtype = given.dtype or fitting_dtype(pair_named(pair))
    spec = RunSpec(**chosen, pair=pair, dtype=dtype, n=given.n or DEFAULTS.n)  # refuses before prompts are saved
    task = _task(given, spec.pair)
    asked = None if given.prompts is not None else given.n  # of a file's rows: those that are kept, each once
    n = asked or (len(task) if isinstance(task, OwnPrompts) else available(task, DEFAULTS.n))
    if isinstance(task, Listed):
        task.refuse_more(n)
        for remark in task.remarks if given.prompts is None else ():  # of a file more was told when it was read
            print(remark, file=sys.stderr)
    return replace(spec, task=task.name, n=n)


def _refuse_together(given: argparse.Namespace) -> None:
    if given.prompts is not None and given.task is not None:
        raise UserError("--prompts cannot go with --task: the file's rows are the task.")
    if given.problems is not None and (given.task is not None or given.prompts is not None):
        flag = "--task" if given.task is not None else "--prompts"
        raise UserError(f"--problems cannot go with {flag}: the file's problems are the task.")


def _task(given: argparse.Namespace, pair: str) -> Task:
    if given.prompts is not None:
        own, notes = commands.save_prompts(given.prompts, pair, given.n)
        for note in notes:
            print(note, file=sys.stderr)
        return own
    if given.problems is not None:
        kept = commands.save_problems(given.problems)
        if kept.left_out:
            without = f"{kept.left_out} of {len(kept) + kept.left_out} problems were left out"
            print(f"{without}: nothing else of the same shape can be reached with their numbers.", file=sys.stderr)
        return kept
    return task_named(given.task or DEFAULTS.task)


def _pair_name(given: argparse.Namespace) -> str | None:
    """The pair that is meant; two folders become one that is kept under a name of its own."""
    told = {flag: getattr(given, flag) for flag in ("arm", "mdm", "mask_token", "mask_id", "shifted")}
    if given.arm is None and given.mdm is None:
        extra = next((flag for flag, value in told.items() if value is not None), None)
        if extra:
            raise UserError(f"--{extra.replace('_', '-')} only goes with --arm and --mdm: a pair's table says it.")
        return given.pair
    if given.pair is not None or given.arm is None or given.mdm is None:
        raise UserError("--arm and --mdm go together and without --pair: they are the pair.")
    mask = given.mask_token if given.mask_id is None else given.mask_id
    return keep(pair_of_two(given.arm, given.mdm, mask, given.shifted)).name


def _words(text: str) -> list[str]:
    return [word.strip() for word in text.split(",")]


def _number(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text!r} is not a whole number from 1 up")
    return int(text)


def _id(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is not a token's number")
    return int(text)


def _numbers(text: str) -> list[int]:
    return [_number(word) for word in _words(text)]


if __name__ == "__main__":
    sys.exit(main())
