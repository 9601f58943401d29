"""Models as llama.cpp writes them into GGUF files: its metadata keys, tensor names and row orders turned into ours.

Plain tensors (F32, F16, BF16) are used where they lie in the file; quantised ones are handed on in their blocks, to be
packed, or become numbers of the model's dtype. Invariant: a number that comes out is the one that the gguf package's
own dequantisation gives.
"""

import math
import re
from dataclasses import replace
from functools import partial
from types import NoneType
from typing import Any

import gguf
import torch
from gguf import GGML_QUANT_SIZES, GGMLQuantizationType

from quire import kernels
from quire.errors import ModelLoadError, shown
from quire.layers.rotary import (
    FactorScaling,
    LinearScaling,
    RopeConfig,
    RopeScaling,
    YarnScaling,
    yarn_magnitude,
)
from quire.models.config import ModelConfig, checked_kv_heads
from quire.models.gguf import GgufFile, GgufTensor
from quire.models.packing.rows import ROWS_AT_ONCE, BlockRows, Form, PlainRows, Rows
from quire.models.safetensors import give_back_pages

ARCHITECTURES = ("llama", "qwen2", "qwen3")
"""Mistral models are `llama` in llama.cpp."""

_PLAIN_DTYPES = {
    GGMLQuantizationType.F32: torch.float32,
    GGMLQuantizationType.F16: torch.float16,
    GGMLQuantizationType.BF16: torch.bfloat16,
}
_MODULES = {
    "token_embd": "model.embed_tokens",
    "output_norm": "model.norm",
    "output": "lm_head",
    "attn_norm": "input_layernorm",
    "ffn_norm": "post_attention_layernorm",
    "attn_q": "self_attn.q_proj",
    "attn_k": "self_attn.k_proj",
    "attn_v": "self_attn.v_proj",
    "attn_output": "self_attn.o_proj",
    "attn_q_norm": "self_attn.q_norm",
    "attn_k_norm": "self_attn.k_norm",
    "ffn_gate": "mlp.gate_proj",
    "ffn_up": "mlp.up_proj",
    "ffn_down": "mlp.down_proj",
}
_SHORT_NAMES = {module: short for short, module in _MODULES.items()}
_ROPE_FACTORS = "rope_freqs.weight"


def from_gguf(file: GgufFile, *, dtype: torch.dtype = torch.float32) -> ModelConfig:
    """The model that the metadata of `file` describes. Raises ModelLoadError that begins with the file's path."""
    architecture = file.metadata.get("general.architecture")
    if architecture not in ARCHITECTURES:
        raise ModelLoadError(
            f"{file.path}: the architecture is {shown(architecture)}; supported in GGUF: {', '.join(ARCHITECTURES)}."
        )
    num_parts = file.metadata.get("split.count", 1)
    if num_parts != 1:
        raise ModelLoadError(
            f"{file.path} is one of {shown(num_parts)} parts; join them with `llama-gguf-split --merge`."
        )
    if "token_embd.weight" not in file.tensors:
        raise ModelLoadError(f"{file.path}: the weights have no tensor token_embd.weight.")
    fields = _Fields(file, architecture)
    hidden_size, num_heads = fields.count("embedding_length"), fields.count("attention.head_count")
    head_dim = fields.count("attention.key_length", hidden_size // num_heads)
    num_layers = fields.count("block_count")
    return ModelConfig(
        architecture=architecture,
        vocab_size=file.tensors["token_embd.weight"].shape[0],
        hidden_size=hidden_size,
        intermediate_size=fields.count("feed_forward_length"),
        num_layers=num_layers,
        num_heads=num_heads,
        num_kv_heads=checked_kv_heads(fields.count("attention.head_count_kv", num_heads), num_heads, str(file.path)),
        head_dim=head_dim,
        max_model_len=fields.count("context_length"),
        rms_norm_eps=fields.number("attention.layer_norm_rms_epsilon"),
        tie_word_embeddings="output.weight" not in file.tensors,
        rope=_rope(file, fields, head_dim),
        windows=(fields.count("attention.sliding_window", 0) or None,) * num_layers,
        attention_bias="blk.0.attn_output.bias" in file.tensors,
        mlp_bias="blk.0.ffn_down.bias" in file.tensors,
        eos_token_ids=eos_token_ids(file),
        dtype=dtype,
    )


class _Fields:
    """The metadata of one architecture, read by type; a key that is missing or of another type is named."""

    def __init__(self, file: GgufFile, architecture: str) -> None:
        self._file = file
        self._architecture = architecture

    def count(self, key: str, default: int | None = None) -> int:
        return int(self._positive(key, int, default))

    def number(self, key: str, default: float | None = None) -> float:
        return float(self._positive(key, (int, float), default))

    def text(self, key: str, default: str) -> str:
        return str(self._file.metadata.get(f"{self._architecture}.{key}", default))

    def _positive(self, key: str, kind: type | tuple[type, ...], default: Any) -> Any:
        value: Any = self._file.metadata.get(f"{self._architecture}.{key}", default)
        if value is default and default is not None:
            return default
        is_number = isinstance(value, kind) and not isinstance(value, bool)
        if not is_number or value <= 0:
            raise self.error(f"{key} is {shown(value)}; expected a number above 0")
        return value

    def error(self, what: str) -> ModelLoadError:
        return ModelLoadError(f"{self._file.path}: {self._architecture}.{what}.")


def _rope(file: GgufFile, fields: _Fields, head_dim: int) -> RopeConfig:
    rotated = fields.count("rope.dimension_count", head_dim)
    if rotated != head_dim:
        raise fields.error(f"rope.dimension_count is {rotated}; supported: the whole head, {head_dim}")
    return RopeConfig(fields.number("rope.freq_base", 10_000.0), _scaling(file, fields))


def _scaling(file: GgufFile, fields: _Fields) -> RopeScaling | None:
    kind = fields.text("rope.scaling.type", "none")
    if _ROPE_FACTORS in file.tensors:
        if kind != "none":
            raise fields.error(f"rope.scaling.type is {shown(kind)} beside {_ROPE_FACTORS}; supported: one of the two")
        factors = file.rows(file.tensors[_ROPE_FACTORS]).view("<f4")
        return FactorScaling(tuple(factors[0].tolist()))
    if kind == "none":
        return None
    factor = fields.number("rope.scaling.factor")
    if kind == "linear":
        return LinearScaling(factor)
    if kind != "yarn" or fields.number("rope.scaling.yarn_ext_factor", 1.0) != 1:
        raise fields.error(f"rope.scaling.type is {shown(kind)}; supported: none, linear, and yarn with ext_factor 1")
    return YarnScaling(
        factor=factor,
        original_max_len=fields.number("rope.scaling.original_context_length"),
        beta_fast=fields.number("rope.scaling.yarn_beta_fast", 32.0),
        beta_slow=fields.number("rope.scaling.yarn_beta_slow", 1.0),
        magnitude=yarn_magnitude(factor) * fields.number("rope.scaling.yarn_attn_factor", 1.0),
    )


def eos_token_ids(file: GgufFile) -> tuple[int, ...]:
    """The ids that end a text, a turn or a message, each once."""
    found: dict[int, None] = {}
    for name in ("eos", "eot", "eom"):
        token_id = file.metadata.get(f"tokenizer.ggml.{name}_token_id")
        if type(token_id) not in (int, NoneType):
            raise ModelLoadError(f"{file.path}: tokenizer.ggml.{name}_token_id is {shown(token_id)}; expected an id.")
        if token_id is not None:
            found[token_id] = None
    return tuple(found)


class GgufCheckpoint:
    """The tensors of a GGUF file under the names of a Hugging Face checkpoint, in the row order of one."""

    def __init__(self, file: GgufFile, head_dim: int) -> None:
        self._file = file
        self._head_dim = head_dim
        self._is_interleaved = file.metadata["general.architecture"] == "llama"
        self._tensors = {_hf_name(t.name): t for t in file.tensors.values() if t.name != _ROPE_FACTORS}
        self.files = (file.path,)
        self.num_bytes = len(file.map)
        self.shapes = {name: t.shape for name, t in self._tensors.items()}

    @property
    def dtype(self) -> torch.dtype:
        """The one that most numbers are in; bfloat16 for a file that is mostly quantised."""
        numbers_in: dict[torch.dtype, int] = {}
        for tensor in self._tensors.values():
            dtype = _PLAIN_DTYPES.get(tensor.type, torch.bfloat16)
            numbers_in[dtype] = numbers_in.get(dtype, 0) + math.prod(tensor.shape)
        return max(numbers_in, key=numbers_in.__getitem__)

    def name_in_file(self, name: str) -> str:
        return _gguf_name(name)

    def tensor(self, name: str, dtype: torch.dtype) -> torch.Tensor:
        source = self._tensors[name]
        if source.type in _PLAIN_DTYPES:
            return self._in_our_order(name, self._plain(source))
        numbers = torch.empty(source.shape, dtype=dtype)
        blocks = self._blocks(source)
        for row in range(0, len(blocks), ROWS_AT_ONCE):
            numbers.view(-1, source.shape[-1])[row : row + ROWS_AT_ONCE] = blocks.numbers(row, row + ROWS_AT_ONCE)
        self.release(name)
        return self._in_our_order(name, numbers)

    def form(self, name: str) -> Form:
        kind = self._tensors[name].type
        if kind in _PLAIN_DTYPES:
            return Form.PLAIN
        return Form.Q4_0 if kind is GGMLQuantizationType.Q4_0 else Form.QUANTIZED

    def rows(self, name: str) -> Rows:
        source = self._tensors[name]
        if source.type in _PLAIN_DTYPES:
            return PlainRows(self._in_our_order(name, self._plain(source)))
        rows = self._blocks(source)
        return replace(rows, blocks=self._in_our_order(name, rows.blocks))

    def release(self, name: str) -> None:
        source = self._tensors[name]
        give_back_pages(self._file.map, source.begin, source.end)

    def _plain(self, source: GgufTensor) -> torch.Tensor:
        return torch.from_numpy(self._file.rows(source)).view(_PLAIN_DTYPES[source.type]).view(source.shape)

    def _blocks(self, source: GgufTensor) -> BlockRows:
        block_size, block_bytes = GGML_QUANT_SIZES[source.type]
        return BlockRows(
            torch.from_numpy(self._file.rows(source)),
            block_size,
            block_bytes,
            kernels.dequantize_q8_0 if source.type is GGMLQuantizationType.Q8_0 else partial(self._dequantize, source),
            is_q4_0=source.type is GGMLQuantizationType.Q4_0,
        )

    def _dequantize(self, source: GgufTensor, blocks: torch.Tensor) -> torch.Tensor:
        try:
            return torch.from_numpy(gguf.quants.dequantize(blocks.numpy(), source.type))
        except NotImplementedError as error:
            raise ModelLoadError(
                f"{self._file.path}: the tensor {source.name} is {source.type.name}, which cannot be read."
            ) from error

    def _in_our_order(self, name: str, rows: torch.Tensor) -> torch.Tensor:
        if self._is_interleaved and (".q_proj." in name or ".k_proj." in name):
            return _halves_apart(rows, self._head_dim)
        return rows


def _hf_name(name: str) -> str:
    """An unknown name stays as it is, and is then reported as left over."""
    stem, _, kind = name.rpartition(".")
    layer = re.fullmatch(r"blk\.(\d+)\.(\w+)", stem)
    if layer and layer[2] in _MODULES:
        return f"model.layers.{layer[1]}.{_MODULES[layer[2]]}.{kind}"
    return f"{_MODULES[stem]}.{kind}" if stem in _MODULES else name


def _gguf_name(name: str) -> str:
    """The inverse of `_hf_name`."""
    stem, _, kind = name.rpartition(".")
    layer = re.fullmatch(r"model\.layers\.(\d+)\.(.+)", stem)
    short = _SHORT_NAMES.get(layer[2] if layer else stem)
    if short is None:
        return name
    return f"blk.{layer[1]}.{short}.{kind}" if layer else f"{short}.{kind}"


def _halves_apart(rows: torch.Tensor, head_dim: int) -> torch.Tensor:
    """llama.cpp interleaves the two halves of each q and k head of a llama; this takes them apart again.

    rows of a head   [ 0 E/2 1 E/2+1 … ]  ->  [ 0 1 … | E/2 E/2+1 … ]
    """
    pairs = rows.view(-1, head_dim // 2, 2, *rows.shape[1:])
    return pairs.transpose(1, 2).reshape(rows.shape)
