"""The command line: python -m engine run | compare | list | export | pairs | countdown | bundle | import | doctor |
train.

Flags are checked before anything heavy is imported; an answer from the cache never imports torch. What a command keeps
(a pair, prompts, problems) is put back when it is refused.
"""

from __future__ import annotations

import argparse
import os
import re
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import replace
from io import TextIOWrapper
from typing import Any, NoReturn

from engine import commands, doctor
from engine.circuits.filters import KINDS, SIGNS, Filters
from engine.errors import UserError, cut
from engine.exchange.export import FORMATS
from engine.models.pair import DTYPES, Pair
from engine.models.pairs import pair_named
from engine.runs import folder_pair, lifecycle
from engine.runs.device_plan import fitting_dtype
from engine.runs.spec import LARGEST_SEED, METHODS, METRICS, ORDERS, RunSpec
from engine.tasks import TASKS, Listed, OwnPrompts, Task, available, task_named
from engine.tasks.countdown.problems import COUNTS

DEFAULTS = RunSpec()
WHOLE = re.compile(r"[0-9]{1,18}")
MODELS = ["arm", "mdm"]


def main(argv: Sequence[str] | None = None, compute: lifecycle.Compute | None = None) -> int:
    """Run one command and return the exit code; `compute` replaces engine.compute.compute."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, TextIOWrapper):  # a name that the terminal cannot show is no reason to fail
            stream.reconfigure(errors="backslashreplace")
    given = parser().parse_args(argv)
    try:
        for line in _lines(given, compute):
            print(line)
        sys.stdout.flush()
        return 0
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except BrokenPipeError:  # whoever read the lines has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except OSError as error:  # a file or folder in the way that no command foresaw
        print(f"error: {error.filename or 'a file'} cannot be used: {error.strerror or error}.", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("Interrupted. Runs that were finished are kept.", file=sys.stderr)
        return 130


def _lines(given: argparse.Namespace, compute: lifecycle.Compute | None) -> Iterator[str]:
    chosen: dict[str, Callable[[], Iterator[str]]] = {
        "run": lambda: _put_back_unless_used(given, lambda spec: commands.run(spec, given.model, compute)),
        "compare": lambda: _put_back_unless_used(
            given, lambda spec: commands.compare(spec, given.k, given.steps, compute, given.control)
        ),
        "list": commands.list_runs,
        "export": lambda: commands.export(given.key, given.k, given.format, given.part, _filters(given), given.out),
        "pairs": lambda: _pairs(given),
        "countdown": lambda: commands.write_problems(given.out, given.operands, given.n, given.seed),
        "bundle": lambda: commands.bundle(given.file, given.pair, given.task),
        "import": lambda: commands.take(given.file),
        "doctor": lambda: _doctor(given),
        "train": lambda: commands.train(given.out, _training(given)),
    }
    return chosen[given.command]()


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
    return Filters(tuple(given.kinds), given.sign, pruned=given.prune)


def _training(given: argparse.Namespace) -> dict[str, Any]:
    fields = ("seed", "arm_steps", "mdm_steps", "precision", "compile")
    return {field: getattr(given, field) for field in fields if getattr(given, field) is not None}


def parser() -> argparse.ArgumentParser:
    top = _Parser(prog="python -m engine", description=__doc__, allow_abbrev=False)
    add = top.add_subparsers(dest="command", required=True, metavar="COMMAND").add_parser

    run = add("run", help="compute circuits, or find them in the cache", allow_abbrev=False)
    _add_spec(run)
    run.add_argument("--model", type=_models, default=MODELS, help="arm, mdm, control, step:N; default arm,mdm")

    compare = add("compare", help="overlap of the ARM's and the MDM's circuit", allow_abbrev=False)
    _add_spec(compare)
    compare.add_argument("--k", type=_numbers, default=[50, 200, 1000], help="circuit sizes; default 50,200,1000")
    compare.add_argument("--steps", action="store_true", help="also the checkpoints along post-training")
    compare.add_argument(
        "--no-control", action="store_false", dest="control",
        help="without the step-0 control: the ARM's own weights read as the MDM is, which is one run more",
    )  # fmt: skip

    add("list", help="the runs in the cache", allow_abbrev=False)

    export = add("export", help="write a circuit to a file", allow_abbrev=False)
    export.add_argument("key", type=_text, help="the run's key, as run, compare and list print it")
    export.add_argument("--k", type=_number, default=200, help="how many edges; default 200")
    export.add_argument("--format", choices=tuple(FORMATS), default="json")
    export.add_argument(
        "--part", type=_text, default="total", help="total, half-a, half-b, or a site or step; default total"
    )
    export.add_argument(
        "--sign", choices=SIGNS, default="both", help="only edges that push towards, or away; default both"
    )
    export.add_argument(
        "--kinds", type=_words, default=list(KINDS), help=f"what edges are read by; default {','.join(KINDS)}"
    )
    export.add_argument("--prune", action="store_true", help="leave out edges on no path from input to logits")
    export.add_argument("--out", type=_text, help="the file to write; default a name made from the run")

    _add_pairs(add("pairs", help="the pairs that were kept here", allow_abbrev=False))

    countdown = add("countdown", help="write COUNTDOWN problems in the published format", allow_abbrev=False)
    countdown.add_argument("out", type=_text, metavar="FILE.jsonl", help="the file to write")
    countdown.add_argument("--operands", type=int, choices=tuple(COUNTS), default=3, help="default 3")
    countdown.add_argument("--n", type=_number, default=1000, help="problems; default 1000")
    countdown.add_argument("--seed", type=_seed, default=0)

    bundle = add("bundle", help="write a pair's runs to a file for another machine", allow_abbrev=False)
    bundle.add_argument("file", type=_text, help="the file to write, as in out.duckdb")
    bundle.add_argument("--pair", type=_text, default=DEFAULTS.pair, help=f"default {DEFAULTS.pair}")
    bundle.add_argument("--task", type=_text, help="default every task")

    take = add("import", help="take the runs of a bundle into the cache", allow_abbrev=False)
    take.add_argument("file", type=_text, help="a bundle; no model is needed to show what is in it")

    check = add("doctor", help="what this machine has, and what a pair would take of it", allow_abbrev=False)
    _add_pair(check)

    train = add("train", help="make the embedded pair again", allow_abbrev=False)
    train.add_argument("--out", type=_text, required=True, help="the folder to write")
    train.add_argument("--seed", type=_seed)
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
        "--task", type=_text, help=f"{', '.join(TASKS)}, or kept ones (own-..., countdown-...); default {DEFAULTS.task}"
    )
    command.add_argument(
        "--prompts", type=_text, metavar="FILE.csv", help="own prompts instead of a task; --n takes the first rows"
    )
    command.add_argument(
        "--problems", type=_text, metavar="FILE.jsonl", help="COUNTDOWN problems in the published format"
    )
    command.add_argument("--n", type=_number, help=f"examples; default {DEFAULTS.n}, of own prompts all rows")
    command.add_argument("--seed", type=_seed, default=DEFAULTS.seed, help=f"of the examples; default {DEFAULTS.seed}")
    command.add_argument("--method", choices=METHODS, default=DEFAULTS.method)
    command.add_argument("--points", type=_number, default=DEFAULTS.points, help="integration points")
    command.add_argument("--metric", choices=METRICS, default=DEFAULTS.metric)
    command.add_argument("--order", choices=ORDERS, default=DEFAULTS.order, help="in which the MDM reveals")
    command.add_argument("--dtype", choices=DTYPES, help="default: what the pair prefers, of what fits this machine")


def _add_pair(command: argparse.ArgumentParser) -> None:
    command.add_argument("--pair", type=_text, help=f"default {DEFAULTS.pair}")
    command.add_argument(
        "--arm", type=_text, metavar="FOLDER", help="a model that no pair names, or a hub id; goes with --mdm"
    )
    command.add_argument("--mdm", type=_text, metavar="FOLDER", help="the diffusion model made from it")
    mask = command.add_mutually_exclusive_group()
    mask.add_argument("--mask-token", type=_text, help="the MDM's mask, where its files don't say it")
    mask.add_argument("--mask-id", type=_whole, help="its number, where it has no text")
    shift = command.add_mutually_exclusive_group()
    shift.add_argument("--shifted", action="store_true", default=None, help="the MDM predicts from the position before")
    shift.add_argument("--not-shifted", action="store_false", dest="shifted", help="or from the masked one itself")


def _spec(given: argparse.Namespace, undo: ExitStack) -> RunSpec:
    """The spec that is meant; what has to be kept for it is, and `undo` puts it back."""
    _refuse_together(given)
    fields = ("seed", "method", "points", "metric", "order")
    chosen = {field: getattr(given, field) for field in fields}
    pair = _pair(given) or pair_named(DEFAULTS.pair)
    dtype = given.dtype or fitting_dtype(pair)
    spec = RunSpec(**chosen, pair=pair.name, dtype=dtype, n=given.n or DEFAULTS.n)  # refuses before anything is kept
    if given.arm is not None or pair.shift_evidence is not None:
        commands.keep_pair(_settled(pair, given), undo)
    task = _task(given, spec.pair, undo)
    asked = None if given.prompts is not None else given.n  # of a file's rows: those that are kept, each once
    n = asked or (len(task) if isinstance(task, OwnPrompts) else available(task, DEFAULTS.n))
    if isinstance(task, Listed):
        task.refuse_more(n)
        for remark in task.remarks if given.prompts is None else ():  # of a file more was told when it was read
            print(remark, file=sys.stderr)
    return replace(spec, task=task.name, n=n)


def _settled(pair: Pair, given: argparse.Namespace) -> Pair:
    """A kept pair with how its MDM is read, which is told at every run."""
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
        own, notes = commands.save_prompts(given.prompts, pair, given.n, undo)
        for note in notes:
            print(note, file=sys.stderr)
        return own
    if given.problems is not None:
        kept = commands.save_problems(given.problems, undo)
        if kept.left_out:
            without = f"{kept.left_out} of {len(kept) + kept.left_out} problems were left out"
            print(f"{without}: nothing else of the same shape can be reached with their numbers.", file=sys.stderr)
        return kept
    return task_named(DEFAULTS.task if given.task is None else given.task)


def _pair(given: argparse.Namespace) -> Pair | None:
    """The pair that is meant, that of two folders not yet kept nor settled; None: none is named."""
    told = {flag: getattr(given, flag) for flag in ("arm", "mdm", "mask_token", "mask_id", "shifted")}
    if given.arm is None and given.mdm is None:
        extra = next((flag for flag, value in told.items() if value is not None), None)
        if extra:
            raise UserError(f"--{extra.replace('_', '-')} only goes with --arm and --mdm: a pair's table says it.")
        return None if given.pair is None else pair_named(given.pair)
    if given.pair is not None or given.arm is None or given.mdm is None:
        raise UserError("--arm and --mdm go together and without --pair: they are the pair.")
    mask = given.mask_token if given.mask_id is None else given.mask_id
    return folder_pair.pair_of_two(given.arm, given.mdm, mask)


def _add_pairs(command: argparse.ArgumentParser) -> None:
    add = command.add_subparsers(dest="action", required=True, metavar="ACTION").add_parser
    add("list", help="their names, models, and how the MDM is read", allow_abbrev=False)
    rename = add("rename", help="give one another title; its name stays, as its runs go by it", allow_abbrev=False)
    rename.add_argument("name", type=_text, help="as pairs list prints it")
    rename.add_argument("title", type=_text)
    remove = add("remove", help="forget one; its models stay where they are", allow_abbrev=False)
    remove.add_argument("name", type=_text, help="as pairs list prints it")
    remove.add_argument("--with-runs", action="store_true", help="delete its runs as well")


def _text(text: str) -> str:
    if not text.strip():
        raise argparse.ArgumentTypeError(f"{text!r} is empty")
    return text


def _words(text: str) -> list[str]:
    """What commas separate, each once."""
    words = [word.strip() for word in text.split(",")]
    if not all(words):
        raise argparse.ArgumentTypeError(f"{text!r} has an empty entry")
    return list(dict.fromkeys(words))


def _models(text: str) -> list[str]:
    try:
        return list(dict.fromkeys(RunSpec(model=word).model for word in _words(text)))
    except UserError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def _whole(text: str) -> int:
    if not WHOLE.fullmatch(text.strip()):
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a whole number from 0 up, of at most 18 digits")
    return int(text)


def _number(text: str) -> int:
    if not WHOLE.fullmatch(text.strip()) or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a whole number from 1 up, of at most 18 digits")
    return int(text)


def _seed(text: str) -> int:
    if not WHOLE.fullmatch(text.strip()) or int(text) > LARGEST_SEED:
        raise argparse.ArgumentTypeError(f"{text[:40]!r} is not a whole number from 0 to {LARGEST_SEED}")
    return int(text)


def _numbers(text: str) -> list[int]:
    return list(dict.fromkeys(_number(word) for word in _words(text)))


def interrupt(signum: int, frame: object) -> None:
    """Being ended is like Ctrl-C: what was kept for the command goes again."""
    raise KeyboardInterrupt


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, interrupt)
    sys.exit(main())
