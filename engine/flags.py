"""The flags of `python -m engine`: which there are, what they take, and what each says in the help."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import NoReturn

from engine import flag_values as values
from engine.circuits.filters import CLASSES, KINDS, SIGNS
from engine.errors import cut
from engine.exchange.circuit_formats import FORMATS
from engine.models.pair import DTYPES
from engine.runs.spec import METHODS, METRICS, ORDERS, RunSpec
from engine.tasks.countdown.problems import COUNTS
from engine.tasks.registry import TASKS

DESCRIPTION = """The command line: python -m engine run | compare | evidence | report | sweep | list | prune |
export | pairs | countdown | bundle | import | import-circuit | doctor | train.

Flags are checked before anything heavy is imported; an answer from the cache never imports torch. What a command keeps
(a pair, prompts, problems) is put back when it is refused.
"""
DEFAULTS = RunSpec()
MODELS = ["arm", "mdm"]
RECIPES = {  # of training, with the flags that each takes
    "embedded": ("seed", "arm_steps", "mdm_steps", "precision", "compile"),
    "smollm2": ("seed", "arm_tokens", "mdm_tokens", "arm_minutes", "mdm_minutes", "release"),
}

Add = Callable[..., argparse.ArgumentParser]


def parser() -> argparse.ArgumentParser:
    """All commands with their flags, in the order in which help lists them."""
    top = _Parser(prog="python -m engine", description=DESCRIPTION, allow_abbrev=False)
    add: Add = top.add_subparsers(dest="command", required=True, metavar="COMMAND").add_parser
    _add_runs(add)
    _add_evidence(add)
    _add_sweep(add)
    add("list", help="the runs in the cache, and what they take of the disk", allow_abbrev=False)
    _add_prune(add)
    _add_export(add)
    _add_pairs(add("pairs", help="the pairs that were kept here", allow_abbrev=False))
    _add_countdown(add)
    _add_bundles(add)
    _add_import_circuit(add)
    check = add("doctor", help="what this machine has, and what a pair would take of it", allow_abbrev=False)
    _add_pair(check)
    _add_train(add)
    return top


def _add_runs(add: Add) -> None:
    run = add("run", help="compute circuits, or find them in the cache", allow_abbrev=False)
    _add_spec(run)
    run.add_argument("--model", type=values.models, default=MODELS, help="arm, mdm, control, step:N; default arm,mdm")

    compare = add("compare", help="overlap of the ARM's and the MDM's circuit", allow_abbrev=False)
    _add_spec(compare)
    compare.add_argument("--k", type=values.numbers, default=[50, 200, 1000], help="circuit sizes; default 50,200,1000")
    compare.add_argument("--steps", action="store_true", help="also the checkpoints along post-training")
    compare.add_argument(
        "--run", type=values.text, metavar="RUN",
        help="a stored run, such as a circuit from elsewhere, in place of the ARM's or the MDM's; by its key",
    )  # fmt: skip
    compare.add_argument(
        "--no-control", action="store_false", dest="control",
        help="without the step-0 control: the ARM's own weights read as the MDM is, which is one run more",
    )  # fmt: skip
    compare.add_argument("--sweep", type=values.text, metavar="FILE.toml", help="instead: all stored runs of a sweep")
    compare.add_argument("--out", type=values.text, metavar="FILE", help="of --sweep: the .parquet or .csv to write")


def _add_evidence(add: Add) -> None:
    evidence = add(
        "evidence", help="test circuits: run the models with nothing else, or without parts", allow_abbrev=False
    )
    _add_spec(evidence)
    evidence.add_argument("--model", type=values.models, default=MODELS, help="arm, mdm, step:N; default arm,mdm")
    evidence.add_argument(
        "--only", type=values.evidence, metavar="KINDS",
        help=f"of {', '.join(values.EVIDENCE)}; default all, of stability what can be told from stored circuits",
    )  # fmt: skip
    evidence.add_argument("--k", type=values.number, help="instead, the faithfulness of circuits of this one size")

    report = add("report", help="write what is stored of a pair to one page", allow_abbrev=False)
    report.add_argument("--pair", type=values.text, default=DEFAULTS.pair, help=f"default {DEFAULTS.pair}")
    report.add_argument(
        "--out",
        type=values.text,
        required=True,
        metavar="FILE",
        help="FILE.html, or FILE.md with pictures beside it",
    )
    report.add_argument(
        "--task", type=values.words, metavar="TASKS", help="default every task of which both circuits are stored"
    )
    _add_settings(report)


def _add_sweep(add: Add) -> None:
    sweep = add("sweep", help="compute a grid of runs, by several processes or machines", allow_abbrev=False)
    sweep.add_argument(
        "file", type=values.text, metavar="SWEEP.toml", help="the grid; docs/cluster.md says what it can hold"
    )
    sweep.add_argument(
        "--ray", type=values.text, metavar="ADDRESS",
        help="on a Ray cluster: its address, auto for the one this machine is in, local for one that is started here",
    )  # fmt: skip
    sweep.add_argument(
        "--workers",
        type=values.number,
        help="how many processes compute; default one a GPU, without GPUs one a core",
    )
    sweep.add_argument(
        "--shard",
        type=values.shard,
        metavar="I/N",
        help="compute share I of N, counted from 1, and nothing of the others'",
    )
    sweep.add_argument("--dry-run", action="store_true", help="list what is missing, with estimated minutes and memory")


def _add_prune(add: Add) -> None:
    prune = add("prune", help="delete old runs to free space", allow_abbrev=False)
    prune.add_argument(
        "--older-than", type=values.age, required=True, metavar="AGE", help="as in 30d, 12h: what was made before"
    )
    prune.add_argument("--keep-bundles", action="store_true", help="leave what a bundle brought")


def _add_export(add: Add) -> None:
    export = add("export", help="write a circuit to a file", allow_abbrev=False)
    export.add_argument("key", type=values.text, help="the run's key, as run, compare and list print it")
    export.add_argument("--k", type=values.number, default=200, help="how many edges; default 200")
    export.add_argument("--format", choices=tuple(FORMATS), default="json")
    export.add_argument(
        "--part", type=values.text, default="total", help="total, half-a, half-b, or a site or step; default total"
    )
    export.add_argument(
        "--sign", choices=SIGNS, default="both", help="only edges that push towards, or away; default both"
    )
    export.add_argument(
        "--kinds",
        type=values.words,
        default=list(KINDS),
        help=f"what edges are read by; default {','.join(KINDS)}",
    )
    export.add_argument("--prune", action="store_true", help="leave out edges on no path from input to logits")
    export.add_argument(
        "--other", type=values.text, metavar="RUN", help="another run: which edges its circuit has as well"
    )
    export.add_argument("--other-part", type=values.text, default="total", help="of the other run; default total")
    export.add_argument(
        "--show", choices=CLASSES, default="all", help="only edges shared with the other run, or not; default all"
    )
    export.add_argument("--out", type=values.text, help="the file to write; default a name made from the run")


def _add_countdown(add: Add) -> None:
    countdown = add("countdown", help="write COUNTDOWN problems in the published format", allow_abbrev=False)
    countdown.add_argument("out", type=values.text, metavar="FILE.jsonl", help="the file to write")
    countdown.add_argument("--operands", type=int, choices=tuple(COUNTS), default=3, help="default 3")
    countdown.add_argument("--n", type=values.number, default=1000, help="problems; default 1000")
    countdown.add_argument("--seed", type=values.seed, default=0)


def _add_bundles(add: Add) -> None:
    bundle = add("bundle", help="write a pair's runs to a file for another machine", allow_abbrev=False)
    bundle.add_argument("file", type=values.text, help="the file to write, as in mine.circuits.zip")
    bundle.add_argument("--pair", type=values.text, default=DEFAULTS.pair, help=f"default {DEFAULTS.pair}")
    bundle.add_argument("--task", type=values.text, help="default every task")

    take = add("import", help="take the runs of a bundle into the cache", allow_abbrev=False)
    take.add_argument(
        "file", type=values.text,
        help="a bundle, or the bundle or cache of an earlier version; no model is needed to show what is in it",
    )  # fmt: skip


def _add_import_circuit(add: Add) -> None:
    take = add("import-circuit", help="take a circuit that another program found into the cache", allow_abbrev=False)
    take.add_argument(
        "file", type=values.text, metavar="FILE.json", help="EAP-IG's JSON, which MIB and export write as well"
    )
    take.add_argument(
        "--model", type=values.model, required=True, help="whose circuit it is: arm, mdm, control, step:N"
    )
    take.add_argument("--pair", type=values.text, default=DEFAULTS.pair, help=f"default {DEFAULTS.pair}")
    take.add_argument("--task", type=values.text, required=True, help="on what it was found; it is evaluated on that")
    take.add_argument(
        "--n", type=values.number, default=DEFAULTS.n, help=f"examples to evaluate it on; default {DEFAULTS.n}"
    )
    take.add_argument("--seed", type=values.seed, default=DEFAULTS.seed, help=f"of these; default {DEFAULTS.seed}")
    take.add_argument("--metric", choices=METRICS, default=DEFAULTS.metric)
    take.add_argument("--order", choices=ORDERS, default=DEFAULTS.order, help="in which the MDM reveals")
    take.add_argument("--dtype", choices=DTYPES, help="default: what the pair prefers, of what fits this machine")


def _add_train(add: Add) -> None:
    train = add("train", help="make the embedded pair again, or the adapters of smollm2", allow_abbrev=False)
    train.add_argument(
        "--out", type=values.text, required=True, help="the folder to write, or with adapters to go on with or to ship"
    )
    train.add_argument("--recipe", choices=tuple(RECIPES), default="embedded")
    train.add_argument("--seed", type=values.seed)
    for model in MODELS:
        train.add_argument(f"--{model}-tokens", type=values.number, help="of smollm2: tokens of training, in all")
        train.add_argument(f"--{model}-minutes", type=values.number, help="of smollm2: how long now at most")
    about = "of smollm2: instead of training, write the adapters of --out to ship, with checkpoints and model cards"
    train.add_argument("--release", type=values.text, metavar="FOLDER", help=about)
    train.add_argument("--arm-steps", type=values.number, help="optimiser steps of the ARM")
    train.add_argument("--mdm-steps", type=values.number, help="optimiser steps of post-training")
    train.add_argument("--precision", choices=("fp32", "bf16"))
    train.add_argument("--compile", action="store_true", default=None, help="use torch.compile")


class _Parser(argparse.ArgumentParser):
    """A parser whose errors stay readable, whatever value they quote."""

    def error(self, message: str) -> NoReturn:
        super().error(cut(message))


def _add_spec(command: argparse.ArgumentParser) -> None:
    _add_pair(command)
    command.add_argument(
        "--task",
        type=values.text,
        help=f"{', '.join(TASKS)}, or kept ones (own-..., countdown-...); default {DEFAULTS.task}",
    )
    command.add_argument(
        "--prompts",
        type=values.text,
        metavar="FILE.csv",
        help="own prompts instead of a task; --n takes the first rows",
    )
    command.add_argument(
        "--problems", type=values.text, metavar="FILE.jsonl", help="COUNTDOWN problems in the published format"
    )
    _add_settings(command)


def _add_settings(command: argparse.ArgumentParser) -> None:
    command.add_argument("--n", type=values.number, help=f"examples; default {DEFAULTS.n}, of own prompts all rows")
    command.add_argument(
        "--seed", type=values.seed, default=DEFAULTS.seed, help=f"of the examples; default {DEFAULTS.seed}"
    )
    command.add_argument("--method", choices=METHODS, default=DEFAULTS.method)
    command.add_argument("--points", type=values.number, default=DEFAULTS.points, help="integration points")
    command.add_argument("--metric", choices=METRICS, default=DEFAULTS.metric)
    command.add_argument("--order", choices=ORDERS, default=DEFAULTS.order, help="in which the MDM reveals")
    command.add_argument(
        "--denoising-steps", type=values.whole, default=DEFAULTS.denoising_steps, metavar="S",
        help="in how many steps the MDM reveals its answer, from 1 to its length; default 0: the task's usual number",
    )  # fmt: skip
    command.add_argument(
        "--template", type=values.whole, default=DEFAULTS.template, metavar="NUMBER",
        help="prompts of this template only (ioi, greater_than), from 1; default 0: the task's usual ones",
    )  # fmt: skip
    command.add_argument("--dtype", choices=DTYPES, help="default: what the pair prefers, of what fits this machine")


def _add_pair(command: argparse.ArgumentParser) -> None:
    command.add_argument("--pair", type=values.text, help=f"default {DEFAULTS.pair}")
    command.add_argument(
        "--arm",
        type=values.text,
        metavar="FOLDER",
        help="a model that no pair names, or a hub id; goes with --mdm",
    )
    command.add_argument("--mdm", type=values.text, metavar="FOLDER", help="the diffusion model made from it")
    mask = command.add_mutually_exclusive_group()
    mask.add_argument("--mask-token", type=values.text, help="the MDM's mask, where its files don't say it")
    mask.add_argument("--mask-id", type=values.whole, help="its number, where it has no text")
    shift = command.add_mutually_exclusive_group()
    shift.add_argument("--shifted", action="store_true", default=None, help="the MDM predicts from the position before")
    shift.add_argument("--not-shifted", action="store_false", dest="shifted", help="or from the masked one itself")


def _add_pairs(command: argparse.ArgumentParser) -> None:
    add = command.add_subparsers(dest="action", required=True, metavar="ACTION").add_parser
    add("list", help="their names, models, and how the MDM is read", allow_abbrev=False)
    rename = add("rename", help="give one another title; its name stays, as its runs go by it", allow_abbrev=False)
    rename.add_argument("name", type=values.text, help="as pairs list prints it")
    rename.add_argument("title", type=values.text)
    remove = add("remove", help="forget one; its models stay where they are", allow_abbrev=False)
    remove.add_argument("name", type=values.text, help="as pairs list prints it")
    remove.add_argument("--with-runs", action="store_true", help="delete its runs as well")
