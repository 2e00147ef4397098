"""What a run spends beside its attribution, on a random pair of the shape of SmolLM2-135M.

    python -m benchmarks --only artifacts

IOI, n = 32, on the CPU. Bars are ratios to the attribution of the same runs, taken in the same process. The listing of
a thousand artifacts is timed as a process of its own, from its start to its end.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import time
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks.table import Figure
from engine.runs import execution, lifecycle
from engine.runs.cache_connection import close, store
from engine.runs.provenance import resolve
from engine.runs.records import ArtifactTables, Progress
from engine.runs.spec import RunSpec
from engine.runs.steps import Step
from engine.schema.artifacts import KIND_TITLES, KINDS, Kind

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

PAIR, SPEC = "smollm2-shape", RunSpec(pair="smollm2-shape", task="ioi", n=32)
VOCABULARY = 49_152
CONFIG = {  # of SmolLM2-135M
    "hidden_size": 576, "intermediate_size": 1536, "num_hidden_layers": 30,
    "num_attention_heads": 9, "num_key_value_heads": 3, "max_position_embeddings": 2048, "tie_word_embeddings": True,
    "rope_theta": 100_000.0, "rms_norm_eps": 1e-5,
}  # fmt: skip
ATTRIBUTION, LOADING = "edge scores", "loading the model"  # stages of progress
CIRCUITS, REST, WHOLE, SECOND, LISTING = 1.3, 2.0, 3.0, 1.2, 200.0  # bars: ratios, milliseconds
LISTED = 1_000


def rows() -> list[Figure]:
    with tempfile.TemporaryDirectory() as folder:
        before = dict(os.environ)
        os.environ |= {"CIRCUITS_CACHE": f"{folder}/cache", "CIRCUITS_PAIRS": str(make_pair(Path(folder)))}
        try:
            return [*_times(), *_listing()]
        finally:
            close()
            os.environ.clear()
            os.environ |= before


def make_pair(folder: Path) -> Path:
    """Write two random models and the pairs file that names them, which is returned."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = _tokenizer()
    ids = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": None, "pad_token_id": tokenizer.pad_token_id}
    for number, model in enumerate(("arm", "mdm")):
        torch.manual_seed(number)
        made = LlamaForCausalLM(LlamaConfig(vocab_size=VOCABULARY, **CONFIG, **ids))  # type: ignore[arg-type]
        with torch.no_grad():
            made.model.embed_tokens.weight.mul_(5)  # logits of some size, so that scores are no rounding errors
        made.save_pretrained(folder / model)
        tokenizer.save_pretrained(folder / model)
    file = folder / "pairs.toml"
    file.write_text(
        f'[{PAIR}]\ntitle = "SmolLM2 shape"\narm = "arm"\nmdm = "mdm"\nmask_token = "<mask>"\nshifted = true\n'
        'prompts = "words"\n'
    )
    return file


def _tokenizer() -> PreTrainedTokenizerFast:
    """The words of the tasks, and as many others as it takes."""
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    from engine.training.word_tokenizer import build_tokenizer

    small = build_tokenizer()
    core = json.loads(small.backend_tokenizer.to_str())
    words = core["model"]["vocab"]
    words |= {f"word{number}": number for number in range(len(words), VOCABULARY)}
    names = {name: str(getattr(small, name)) for name in ("pad_token", "bos_token", "unk_token", "mask_token")}
    return PreTrainedTokenizerFast(tokenizer_object=Tokenizer.from_str(json.dumps(core)), **names)


class Timed:
    """Computes artifacts and keeps the seconds of every artifact, and of every stage of it."""

    def __init__(self) -> None:
        from engine.runs.compute import Computing

        self._computing = Computing()
        self.artifacts: dict[tuple[str, Kind], float] = {}
        self.stages: defaultdict[str, float] = defaultdict(float)
        self.by_model: defaultdict[tuple[str, str], float] = defaultdict(float)
        self.circuits_after = 0.0
        self._began = time.perf_counter()

    def __call__(self, spec: RunSpec, kind: Kind, on_progress: execution.OnProgress) -> ArtifactTables:
        began = last = time.perf_counter()
        current = "preparing"

        def close_stage() -> None:
            nonlocal last
            now = time.perf_counter()
            self.stages[f"{KIND_TITLES[kind]}: {current}"] += now - last
            self.by_model[spec.model, current] += now - last
            last = now

        def report(progress: Progress) -> None:
            nonlocal current
            stage = LOADING if progress.stage.startswith(LOADING) else progress.stage
            if stage != current:
                close_stage()
                current = stage

        made = self._computing(spec, kind, report)
        close_stage()
        self.artifacts[spec.model, kind] = time.perf_counter() - began
        return made

    def run(self, *specs: RunSpec) -> float:
        """Compute what these runs lack; the seconds it took. The model is loaded anew."""
        self.circuits_after, self._began = 0.0, time.perf_counter()
        self._computing.close()
        execution.carry_out(
            execution.plan([resolve(spec) for spec in specs]), self, lifecycle.ignore, on_stored=self._stored
        )
        return time.perf_counter() - self._began

    def _stored(self, step: Step, seconds: float) -> None:
        if step.kind == "circuit":
            self.circuits_after = time.perf_counter() - self._began


def _times() -> Iterator[Figure]:
    arm, mdm = replace(SPEC, model="arm"), replace(SPEC, model="mdm")
    Timed().run(replace(arm, n=2))  # libraries are imported, kernels chosen
    _forget()

    timed = Timed()
    both = timed.run(arm, mdm)
    needed = sum(timed.by_model[model, stage] for model in ("arm", "mdm") for stage in (ATTRIBUTION, LOADING))
    yield Figure(
        "both circuits can be looked at / (attribution of both + loading)", timed.circuits_after / needed, "x", CIRCUITS
    )
    yield Figure("two whole runs", both, "s")
    for stage, seconds in sorted(timed.stages.items(), key=lambda item: -item[1]):
        yield Figure(f"  {stage}", seconds, "s")
    for spec in (arm, mdm):
        yield from _of_one(spec)


def _of_one(spec: RunSpec) -> Iterator[Figure]:
    _forget()
    timed, name = Timed(), spec.model.upper()
    whole = timed.run(spec)
    attribution = timed.by_model[spec.model, ATTRIBUTION]
    yield Figure(f"whole run with weights / its attribution, {name}", whole / attribution, "x", WHOLE, f"{whole:.1f} s")

    _forget(keep="weights")
    timed = Timed()
    whole = timed.run(spec)
    attribution = timed.by_model[spec.model, ATTRIBUTION]
    yield Figure(
        f"whole run, weights there / its attribution, {name}", whole / attribution, "x", REST, f"{whole:.1f} s"
    )

    timed = Timed()
    second = timed.run(replace(spec, method="eap"))
    attribution, loading = (timed.by_model[spec.model, stage] for stage in (ATTRIBUTION, LOADING))
    allowed = SECOND * attribution + loading
    yield Figure(
        f"second method / (its attribution + loading / {SECOND:g}), {name}",
        SECOND * second / allowed,
        "x",
        SECOND,
        f"{second:.1f} s",
    )
    _forget()


def _forget(keep: str = "") -> None:
    for record in store().records():
        if record.kind != keep:
            store().delete(record.key)


def _listing() -> Iterator[Figure]:
    """A thousand records, of two hundred runs that never were."""
    _forget()
    example = lifecycle.run(replace(SPEC, model="arm", n=2))
    records = [record for key in (example.key, *example.companions.values()) if (record := store().record(key))]
    for number in range(LISTED // len(KINDS)):
        names = {record.key: f"{number:04x}{record.key[4:]}" for record in records}
        for record in records:
            companions = {kind: names[key] for kind, key in record.companions.items()}
            copy = replace(record, key=names[record.key], companions=companions)
            store().record_file_of(copy.key).write_text(copy.as_text())
    code = "from engine.runs import stored; print(len(stored.list_runs()))"
    for what, command in {"list_runs()": ["-c", code], "python -m engine list": ["-m", "engine", "list"]}.items():
        spent = []
        for _ in range(5):
            began = time.perf_counter()
            subprocess.run([sys.executable, *command], check=True, capture_output=True)
            spent.append(1000 * (time.perf_counter() - began))
        yield Figure(
            f"listing {LISTED:,} artifacts, cold process, {what}", min(spent), "ms", LISTING if "(" in what else None
        )


if __name__ == "__main__":
    print(json.dumps([row.__dict__ for row in rows()], indent=1))
