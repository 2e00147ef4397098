"""What this machine has, and what of it a pair would take: `python -m engine doctor`."""

from __future__ import annotations

import os
import platform
from collections.abc import Generator, Iterator, Sequence
from contextlib import suppress

from engine import settings
from engine.circuits.graph import Graph
from engine.errors import UserError
from engine.models.architecture import Shape
from engine.models.encoding import encode
from engine.models.hub import weight_files
from engine.models.light_tokenizer import words_of
from engine.models.pair import DTYPES
from engine.models.pairs import Pair, pairs, same_weights, weights_id
from engine.models.scorable import mask_of, refuse_unscorable
from engine.models.sources import snapshot
from engine.runs import cache_connection, device_plan, provenance, stored
from engine.runs.folder_pair import settled
from engine.runs.records import size_text
from engine.runs.spec import RunSpec
from engine.tasks.natural import variant_for
from engine.tasks.registry import TASKS, examples

GIB = 2**30
TRIED = 16  # examples of a task
OTHERS = ("duckdb", "pyarrow", "numpy", "networkx", "streamlit", "plotly")


def machine() -> Iterator[str]:
    """Device, memory, versions, cache, pairs.

    Raises:
        UserError: the cache cannot be used; at the end, when everything else is told.
    """
    yield f"python      {platform.python_version()} on {platform.system()} {platform.machine()}, {os.cpu_count()} cores"
    total, free = device_plan.cpu_memory()
    yield f"memory      {total / GIB:.1f} GiB, {free / GIB:.1f} GiB free"
    for name in (*provenance.LIBRARIES, *OTHERS):
        yield f"version     {name} {provenance.library_version(name)}"
    yield f"device      {_device()}"
    refused = yield from _cache_lines()
    for pair in pairs().values():
        yield f"pair        {pair.name} ({pair.title}): {_folders(pair)}"
    if refused:
        raise refused


def two_models(named: Pair, shifted: bool | None) -> Iterator[str]:
    """As `pair`, of two models that `run` would make a pair of: with how it would find its MDM to be read."""
    try:
        taken, undecided = settled(named, shifted, RunSpec.task), ""
    except UserError as error:
        taken, undecided = named, str(error)
    yield from pair(taken, undecided)


def pair(asked: Pair, undecided: str = "") -> Iterator[str]:
    """One pair: where its models are or how to get them, what they need, and how they would be loaded here.

    `undecided`: why it is not known how its MDM is read, in a sentence.
    """
    yield f"pair        {asked.name}: {asked.title}"
    if asked.note:
        yield f"            {asked.note}"
    for model in ("arm", "mdm"):
        yield f"{model:<12}{_model(asked, model)}"
    if note := same_weights(asked):
        yield f"            {note}"
    read = "undecided whether shifted" if undecided else "shifted" if asked.shifted else "not shifted"
    yield f"mask        {_mask(asked)}, {read}"
    if undecided or asked.how_read:
        yield f"            {undecided or asked.how_read}"
    if asked.licence:
        yield f"licence     accepted at {asked.licence}"
    refused = list(_refused(asked))
    yield from refused
    if refused:
        return
    yield from _tasks(asked)
    shape = device_plan.shape_of(asked)
    if shape is None:
        yield "memory      unknown: no config.json is here, and the pair's table has no shape"
        return
    yield from _needs(asked, shape)


def _refused(asked: Pair) -> Iterator[str]:
    """Why models that are here can't be scored."""
    for model in ("arm", "mdm", *(f"step:{step}" for step in asked.steps)):
        with suppress(UserError):
            weights_id(asked.folder(model))
            try:
                refuse_unscorable(asked, model)
            except UserError as error:
                yield f"refused     {error}"


def _needs(asked: Pair, shape: Shape) -> Iterator[str]:
    edges = Graph(shape.layers, shape.heads).n_edges
    yield (
        f"model       {asked.architecture or 'the class that its config names'}, {shape.layers} layers of "
        f"{shape.heads} heads, {shape.parameters / 1e6:,.0f} million parameters, {edges:,} edges"
    )
    for dtype in DTYPES:
        chosen = device_plan.plan(shape, (dtype,))
        yield (
            f"{dtype:<12}weights {chosen.weights / GIB:.1f} GiB, work about {chosen.work / GIB:.1f} GiB: "
            f"{'fits' if chosen.fits else 'does not fit'} on this machine's {chosen.device.name}"
        )
    chosen = device_plan.plan(shape, device_plan.formats(asked))
    yield f"here        {chosen}"
    if not chosen.fits:
        yield "            Compute it on a larger machine, and bring the numbers here as a bundle."


def _tasks(asked: Pair) -> Iterator[str]:
    """Which tasks can be put to the pair, where its tokenizer is here."""
    from engine.models.model import load_tokenizer

    try:
        tokenizer = load_tokenizer(asked.tokenizer("mdm"))
    except UserError:
        return
    for task in TASKS.values():
        try:
            put = variant_for(task, asked.prompts, tokenizer)
            encoded = [encode(example, tokenizer) for example in examples(put, TRIED, seed=0)]
        except UserError as error:
            yield f"task        {task.name} cannot be asked: {error}"
            continue
        prompts, answers = (
            [len(ids) for ids in side] for side in zip(*((e.prompt, e.answer) for e in encoded), strict=True)
        )
        form = "in words" if put is task else "natural text"
        yield f"task        {task.name}: {form}, prompts of {_span(prompts)} tokens, answers of {_span(answers)}"


def _span(lengths: Sequence[int]) -> str:
    return str(min(lengths)) if min(lengths) == max(lengths) else f"{min(lengths)} to {max(lengths)}"


def _model(asked: Pair, model: str) -> str:
    """Where a model is and how large, or the sentence that helps."""
    source = asked.folder(model)
    try:
        folder = snapshot(source)
        size = sum(file.stat().st_size for file in weight_files(folder))
    except UserError as error:
        return f"missing: {error}"
    return f"{source}: {size / GIB:.1f} GiB in {folder}"


def _mask(asked: Pair) -> str:
    """The mask as the pair or the MDM's files name it, with its number or its text where the tokenizer is here."""
    try:
        mask = mask_of(asked, snapshot(asked.folder("mdm")))
    except UserError:
        if asked.mask is None:
            return "what the MDM's files say"
        mask = asked.mask
    source = "" if asked.mask is not None else ", as the MDM's files say"
    try:
        words = words_of(asked.tokenizer("mdm"))
    except UserError:
        return f"token {mask!r}{source}"
    if isinstance(mask, str):
        number = words.id_of(mask)
        return f"token {mask!r}" + (" (the tokenizer does not have it)" if number is None else f" ({number})") + source
    if not words.knows(mask):
        return f"token {mask}{source}"
    ordinary = "" if words.is_special(mask) else ", an ordinary token: prompts that hold it are refused"
    return f"token {mask} ({words.shown(mask)!r}{ordinary}){source}"


def _cache_lines() -> Generator[str, None, UserError | None]:
    """What is to say of the cache; why it cannot be used, or None."""
    try:
        path, store = settings.cache_dir(), cache_connection.store()
    except UserError as error:
        yield f"cache       {error}"
        return error
    yield f"cache       {path}: {len(stored.list_runs())} runs, {size_text(store.size())}"
    notice = stored.notice()
    if notice:
        yield f"            {notice}"
    return None


def _folders(asked: Pair) -> str:
    parts = []
    for model in ("arm", "mdm", *(f"step:{step}" for step in asked.steps)):
        try:
            known = weights_id(asked.folder(model)).rpartition("@")[2][:8]
        except UserError:
            parts.append(f"{model} missing")
            continue
        try:
            refuse_unscorable(asked, model)
            parts.append(f"{model} {known}")
        except UserError:
            parts.append(f"{model} refused")
    return ", ".join(parts)


def _device() -> str:
    try:
        import torch
    except ImportError as error:
        return f"none: torch cannot be imported ({error}); stored runs can still be explored"
    if torch.cuda.is_available():
        properties = [torch.cuda.get_device_properties(i) for i in range(torch.cuda.device_count())]
        return "cuda: " + ", ".join(f"{gpu.name}, {gpu.total_memory / GIB:.1f} GiB" for gpu in properties)
    return f"cpu, {torch.get_num_threads()} threads"
