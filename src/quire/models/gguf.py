"""Models in GGUF files: metadata, tensor names and row orders of llama.cpp turned into ours.

Knows nothing of tokenizers, which read their part of the metadata from `open_gguf` themselves. Tensors are mapped into
memory; plain ones (F32, F16, BF16) are used where they lie, quantised ones become numbers of the model's dtype when
they are loaded. Invariant: a number that comes out is the one that the gguf package's own dequantisation gives.
"""

import mmap
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import numpy.typing as npt
import torch
from gguf import GGMLQuantizationType, GGUFReader, ReaderTensor

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
_ROPE_FACTORS = "rope_freqs.weight"
_NUMBERS_AT_ONCE = 1 << 22
"""Dequantised together: enough to keep numpy busy, little beside the model."""


class _BoundedReader(GGUFReader):
    """GGUFReader takes what numpy gives it past the end of the file, which is nothing, and goes on; this one stops."""

    def _get(self, offset: int, dtype: npt.DTypeLike, count: int = 1, override_order: Any = None) -> npt.NDArray[Any]:
        end = int(offset) + np.dtype(dtype).itemsize * int(count)
        if end > len(self.data):
            raise ValueError(f"a field or tensor reaches to byte {end} of {len(self.data)}")
        return super()._get(int(offset), dtype, count, override_order)


def open_gguf(path: str | Path) -> GGUFReader:
    """The reader of the file at `path`. Raises ModelLoadError where it is missing, cut short or no GGUF file."""
    path = Path(path)
    if not path.is_file():
        raise ModelLoadError(f"{path} is not a file; give the path of a .gguf file.")
    try:
        # Copy-on-write, so that numpy and torch take the pages for writable; nobody writes to them.
        return _BoundedReader(path, mode="c")
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, UnicodeDecodeError) as error:
        raise ModelLoadError(f"{path} is not a whole GGUF file ({error}); download it again.") from error


def metadata_value(reader: GGUFReader, key: str, default: Any = None) -> Any:
    """The value of a metadata key as Python sees it (str, int, float, bool, list), or `default`."""
    field = reader.get_field(key)
    return default if field is None else field.contents()


def from_gguf(reader: GGUFReader, *, dtype: torch.dtype = torch.float32, where: str = "GGUF metadata") -> ModelConfig:
    """The model that the metadata describes; `where` begins the messages of ModelLoadError."""
    architecture = metadata_value(reader, "general.architecture")
    if architecture not in ARCHITECTURES:
        raise ModelLoadError(
            f"{where}: the architecture is {shown(architecture)}; supported in GGUF: {', '.join(ARCHITECTURES)}."
        )
    fields = _Metadata(reader, architecture, where)
    shapes = {tensor.name: _shape(tensor) for tensor in reader.tensors}
    if "token_embd.weight" not in shapes:
        raise ModelLoadError(f"{where}: the weights have no tensor token_embd.weight.")
    num_layers, num_heads = fields.required("block_count"), fields.required("attention.head_count")
    hidden_size = fields.required("embedding_length")
    head_dim = fields.get("attention.key_length", hidden_size // num_heads)
    return ModelConfig(
        architecture=architecture,
        vocab_size=shapes["token_embd.weight"][0],
        hidden_size=hidden_size,
        intermediate_size=fields.required("feed_forward_length"),
        num_layers=num_layers,
        num_heads=num_heads,
        num_kv_heads=checked_kv_heads(fields.get("attention.head_count_kv", num_heads), num_heads, where),
        head_dim=head_dim,
        max_model_len=fields.required("context_length"),
        rms_norm_eps=fields.required("attention.layer_norm_rms_epsilon"),
        tie_word_embeddings="output.weight" not in shapes,
        rope=_rope(reader, fields, head_dim),
        windows=(fields.get("attention.sliding_window"),) * num_layers,
        attention_bias="blk.0.attn_output.bias" in shapes,
        mlp_bias="blk.0.ffn_down.bias" in shapes,
        eos_token_ids=_eos_token_ids(reader),
        dtype=dtype,
    )


class _Metadata:
    """The metadata keys of one architecture."""

    def __init__(self, reader: GGUFReader, architecture: str, where: str) -> None:
        self._reader = reader
        self._architecture = architecture
        self.where = where

    def get(self, key: str, default: Any = None) -> Any:
        return metadata_value(self._reader, f"{self._architecture}.{key}", default)

    def required(self, key: str) -> Any:
        value = self.get(key)
        if isinstance(value, bool) or not isinstance(value, (int, float)) or value <= 0:
            raise ModelLoadError(
                f"{self.where}: {self._architecture}.{key} is {shown(value)}; expected a number above 0."
            )
        return value


def _rope(reader: GGUFReader, fields: _Metadata, head_dim: int) -> RopeConfig:
    rotated = fields.get("rope.dimension_count", head_dim)
    if rotated != head_dim:
        raise ModelLoadError(f"{fields.where}: {rotated} of {head_dim} dimensions are rotated; supported: all of them.")
    return RopeConfig(fields.get("rope.freq_base", 10_000.0), _scaling(reader, fields))


def _scaling(reader: GGUFReader, fields: _Metadata) -> RopeScaling | None:
    factors = [tensor.data for tensor in reader.tensors if tensor.name == _ROPE_FACTORS]
    kind = fields.get("rope.scaling.type", "none")
    if factors and kind == "none":
        return FactorScaling(tuple(factors[0].tolist()))
    if kind == "none":
        return None
    if kind not in ("linear", "yarn") or factors or fields.get("rope.scaling.yarn_ext_factor", 1.0) not in (-1.0, 1.0):
        raise ModelLoadError(
            f"{fields.where}: rope scaling {shown(kind)}{' with rope_freqs' if factors else ''} is not supported; "
            "supported: none, linear, yarn, or rope_freqs alone."
        )
    factor = fields.required("rope.scaling.factor")
    if kind == "linear":
        return LinearScaling(factor)
    return YarnScaling(
        factor=factor,
        original_max_len=fields.required("rope.scaling.original_context_length"),
        beta_fast=fields.get("rope.scaling.yarn_beta_fast", 32.0),
        beta_slow=fields.get("rope.scaling.yarn_beta_slow", 1.0),
        magnitude=yarn_magnitude(factor) * fields.get("rope.scaling.yarn_attn_factor", 1.0),
    )


def _eos_token_ids(reader: GGUFReader) -> tuple[int, ...]:
    ids = (metadata_value(reader, f"tokenizer.ggml.{name}_token_id") for name in ("eos", "eot"))
    return tuple(dict.fromkeys(token_id for token_id in ids if token_id is not None))


class GgufCheckpoint:
    """The tensors of a GGUF file under the names of a Hugging Face checkpoint, in the row order of one."""

    def __init__(self, reader: GGUFReader, path: Path, head_dim: int) -> None:
        self._reader = reader
        self._head_dim = head_dim
        self._is_interleaved = metadata_value(reader, "general.architecture") == "llama"
        self._tensors = {_hf_name(t.name): t for t in reader.tensors if t.name != _ROPE_FACTORS}
        self.files = (path,)
        self.shapes: Mapping[str, tuple[int, ...]] = {name: _shape(t) for name, t in self._tensors.items()}

    @property
    def num_bytes(self) -> int:
        return len(self._reader.data)

    @property
    def dtype(self) -> torch.dtype:
        """The one that most numbers are in; bfloat16 for a file that is mostly quantised."""
        numbers_in: dict[torch.dtype, int] = {}
        for tensor in self._tensors.values():
            dtype = _PLAIN_DTYPES.get(tensor.tensor_type, torch.bfloat16)
            numbers_in[dtype] = numbers_in.get(dtype, 0) + int(tensor.n_elements)
        return max(numbers_in, key=numbers_in.__getitem__)

    def tensor(self, name: str, dtype: torch.dtype) -> torch.Tensor:
        source = self._tensors[name]
        if source.tensor_type in _PLAIN_DTYPES:
            numbers = torch.from_numpy(source.data).view(_PLAIN_DTYPES[source.tensor_type])
        else:
            numbers = self._dequantized(source, dtype)
            self.release(name)
        if self._is_interleaved and (".q_proj." in name or ".k_proj." in name):
            return _halves_apart(numbers, self._head_dim)
        return numbers

    def release(self, name: str) -> None:
        source = self._tensors[name]
        mapping: mmap.mmap = getattr(self._reader.data, "_mmap")  # noqa: B009  # numpy's stub lacks it
        give_back_pages(mapping, source.data_offset, source.data_offset + source.n_bytes)

    def _dequantized(self, source: ReaderTensor, dtype: torch.dtype) -> torch.Tensor:
        shape = _shape(source)
        numbers = torch.empty(shape, dtype=dtype)
        rows_at_once = max(1, _NUMBERS_AT_ONCE // shape[-1])
        try:
            for row in range(0, shape[0], rows_at_once):
                some = gguf.quants.dequantize(source.data[row : row + rows_at_once], source.tensor_type)
                numbers[row : row + rows_at_once] = torch.from_numpy(some)
        except NotImplementedError as error:
            raise ModelLoadError(
                f"{self.files[0]}: the tensor {source.name} is {source.tensor_type.name}, which cannot be read."
            ) from error
        return numbers


def _shape(tensor: ReaderTensor) -> tuple[int, ...]:
    """GGUF lists dimensions from the innermost out."""
    return tuple(int(n) for n in reversed(tensor.shape.tolist()))


def _hf_name(name: str) -> str:
    """An unknown name stays as it is, and is then reported as left over."""
    stem, _, kind = name.rpartition(".")
    layer = re.fullmatch(r"blk\.(\d+)\.(\w+)", stem)
    if layer and layer[2] in _MODULES:
        return f"model.layers.{layer[1]}.{_MODULES[layer[2]]}.{kind}"
    return f"{_MODULES[stem]}.{kind}" if stem in _MODULES else name


def _halves_apart(rows: torch.Tensor, head_dim: int) -> torch.Tensor:
    """llama.cpp interleaves the two halves of each q and k head of a llama; this takes them apart again.

    rows of a head   [ 0 E/2 1 E/2+1 … ]  ->  [ 0 1 … | E/2 E/2+1 … ]
    """
    pairs = rows.view(-1, head_dim // 2, 2, *rows.shape[1:])
    return pairs.transpose(1, 2).reshape(rows.shape)
