"""What a model is: sizes, rotary embedding, attention windows, special ids. One frozen value, read out of a Hugging
Face config.json by `from_hf`, the one place where its field names are known (`gguf.from_gguf` is that of llama.cpp's).

Knows nothing of tensors. Invariant: a ModelConfig describes a model that we compute exactly; what we would have to
ignore was refused with words.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from quire.errors import ModelLoadError, shown, suggest
from quire.layers.rotary import (
    LinearScaling,
    Llama3Scaling,
    RopeConfig,
    RopeScaling,
    YarnScaling,
    yarn_magnitude,
)

HF_ARCHITECTURES = {
    "LlamaForCausalLM": "llama",
    "MistralForCausalLM": "mistral",
    "Qwen2ForCausalLM": "qwen2",
    "Qwen3ForCausalLM": "qwen3",
}
MAX_COUNT = 1 << 24
"""No size of a model comes near; memory for such a one is not asked for."""
ROPE_TYPES = ("default", "linear", "llama3", "yarn")


@dataclass(frozen=True, slots=True)
class ModelConfig:
    architecture: str
    """A key of `registry.ARCHITECTURES`."""
    vocab_size: int
    hidden_size: int
    intermediate_size: int
    num_layers: int
    num_heads: int
    num_kv_heads: int
    head_dim: int
    max_model_len: int
    """Positions the model was made for."""
    rms_norm_eps: float
    tie_word_embeddings: bool
    rope: RopeConfig
    windows: tuple[int | None, ...]
    """Of each layer: how many tokens back a token sees, itself included. None: all of them."""
    attention_bias: bool
    mlp_bias: bool
    eos_token_ids: tuple[int, ...]
    dtype: torch.dtype
    """Of weights, activations and KV."""

    @property
    def sliding_window(self) -> int | None:
        """No layer looks further back than this. None: some layer sees everything."""
        widths = [width for width in self.windows if width is not None]
        return max(widths) if len(widths) == self.num_layers else None


def from_hf(
    hf: Mapping[str, Any],
    generation: Mapping[str, Any] | None = None,
    *,
    dtype: torch.dtype = torch.float32,
    where: str = "config.json",
) -> ModelConfig:
    """The model that a config.json describes; `generation` (generation_config.json) may add ids that end a sequence.

    Reads the names of transformers 5 (`rope_parameters`) and the older ones (`rope_theta`, `rope_scaling`). Raises
    ModelLoadError that begins with `where`.
    """
    fields = Fields(hf, where)
    architecture = _architecture(fields)
    _refuse_what_we_do_not_run(fields)
    hidden_size, num_heads = fields.count("hidden_size"), fields.count("num_attention_heads")
    num_layers = fields.count("num_hidden_layers")
    max_model_len = fields.count("max_position_embeddings")
    return ModelConfig(
        architecture=architecture,
        vocab_size=fields.count("vocab_size"),
        hidden_size=hidden_size,
        intermediate_size=fields.count("intermediate_size"),
        num_layers=num_layers,
        num_heads=num_heads,
        num_kv_heads=checked_kv_heads(fields.count("num_key_value_heads", num_heads), num_heads, where),
        head_dim=_even_head_dim(fields, 128 if architecture == "qwen3" else hidden_size // num_heads),
        max_model_len=max_model_len,
        rms_norm_eps=fields.number("rms_norm_eps", 1e-6),
        tie_word_embeddings=fields.flag("tie_word_embeddings"),
        rope=_rope(hf, max_model_len, where),
        windows=_windows(architecture, fields, num_layers),
        attention_bias=fields.flag("attention_bias"),
        mlp_bias=fields.flag("mlp_bias"),
        eos_token_ids=eos_token_ids(fields, Fields(generation or {}, where.replace("config", "generation_config"))),
        dtype=dtype,
    )


def checked_kv_heads(num_kv_heads: int, num_heads: int, where: str) -> int:
    """`num_kv_heads`, if so many can serve the query heads equally."""
    if num_heads % num_kv_heads:
        raise ModelLoadError(f"{where}: {num_heads} query heads cannot share {num_kv_heads} key-value heads equally.")
    return num_kv_heads


def _even_head_dim(fields: "Fields", default: int) -> int:
    head_dim = fields.count("head_dim", default)
    if head_dim % 2:
        raise ModelLoadError(
            f"{fields.where}: head_dim is {head_dim}; it must be even, since halves are rotated together."
        )
    return head_dim


class Fields:
    """The fields of a JSON object, read by type; one that is missing or of another type is named. null is absent."""

    def __init__(self, values: Mapping[str, Any], where: str) -> None:
        self.values = values
        self.where = where

    def has(self, name: str) -> bool:
        return self.values.get(name) is not None

    def count(self, name: str, default: int | None = None) -> int:
        value = self._typed(name, int, default)
        if not 1 <= value <= MAX_COUNT:
            raise self._error(name, f"1 to {MAX_COUNT}")
        return int(value)

    def number(self, name: str, default: float | None = None) -> float:
        return float(self._typed(name, (int, float), default))

    def positive(self, name: str, default: float | None = None) -> float:
        value = self.number(name, default)
        if not 0 < value < math.inf:
            raise self._error(name, "a number above 0")
        return value

    def flag(self, name: str, default: bool = False) -> bool:
        return bool(self._typed(name, bool, default))

    def text(self, name: str, default: str) -> str:
        return str(self._typed(name, str, default))

    def texts(self, name: str) -> list[str]:
        """Empty where it is absent."""
        value = self.values.get(name)
        if value is not None and not (isinstance(value, list) and all(isinstance(text, str) for text in value)):
            raise self._error(name, "a list of names")
        return value or []

    def _typed(self, name: str, kind: type | tuple[type, ...], default: Any) -> Any:
        value = self.values.get(name)
        if value is None:
            value = default
        if value is None:
            raise ModelLoadError(f"{self.where} has no {name}; without it the model cannot be built.")
        if not isinstance(value, kind) or (isinstance(value, bool) and kind is not bool):
            raise self._error(name, "true or false" if kind is bool else "text" if kind is str else "a number")
        return value

    def _error(self, name: str, expected: str) -> ModelLoadError:
        return ModelLoadError(f"{self.where}: {name} is {shown(self.values.get(name))}; expected {expected}.")


def _architecture(fields: Fields) -> str:
    named = fields.texts("architectures")
    for name in named:
        if name in HF_ARCHITECTURES:
            return HF_ARCHITECTURES[name]
    given = ", ".join(named) or f"none (model_type {fields.values.get('model_type')!r})"
    near = suggest(named[0], HF_ARCHITECTURES) if named else ""
    raise ModelLoadError(
        f"{fields.where}: the architecture is {given}; supported: {', '.join(HF_ARCHITECTURES)}.{near}"
    )


def _refuse_what_we_do_not_run(fields: Fields) -> None:
    if fields.has("quantization_config"):
        raise ModelLoadError(
            f"{fields.where}: the weights are quantised ({shown(fields.values['quantization_config'])}); supported: "
            "float32, bfloat16 and float16 weights, and quantised GGUF files."
        )
    if fields.text("hidden_act", "silu") != "silu":
        raise ModelLoadError(f"{fields.where}: hidden_act is {shown(fields.values['hidden_act'])}; supported: 'silu'.")


def _rope(hf: Mapping[str, Any], max_model_len: int, where: str) -> RopeConfig:
    given = hf.get("rope_parameters") or hf.get("rope_scaling") or {}
    if not isinstance(given, Mapping):
        raise ModelLoadError(f"{where}: the rotary embedding is {shown(given)}; expected an object.")
    fields = Fields({**hf, **given}, where)
    kind = given.get("rope_type", given.get("type", "default"))
    if kind not in ROPE_TYPES or any(isinstance(value, Mapping) for value in given.values()):
        raise ModelLoadError(
            f"{where}: the rotary embedding {shown(dict(given))} is not supported; supported: one for all layers, of "
            f"type {', '.join(ROPE_TYPES)}."
        )
    if fields.number("partial_rotary_factor", 1) != 1:
        raise ModelLoadError(
            f"{where}: partial_rotary_factor is {fields.number('partial_rotary_factor')}; supported: 1."
        )
    outer, name = Fields(hf, where), "original_max_position_embeddings"
    original_max_len = (outer if outer.has(name) else fields).positive(name, max_model_len)
    return RopeConfig(fields.positive("rope_theta", 10_000.0), _scaling(kind, fields, original_max_len, max_model_len))


def _scaling(kind: str, fields: Fields, original_max_len: float, max_model_len: int) -> RopeScaling | None:
    match kind:
        case "linear":
            return LinearScaling(fields.positive("factor"))
        case "llama3":
            return Llama3Scaling(
                factor=fields.positive("factor"),
                low_freq_factor=fields.positive("low_freq_factor"),
                high_freq_factor=fields.positive("high_freq_factor"),
                original_max_len=original_max_len,
            )
        case "yarn":
            factor = fields.positive("factor", max_model_len / original_max_len)
            return YarnScaling(
                factor=factor,
                original_max_len=original_max_len,
                beta_fast=fields.positive("beta_fast", 32),
                beta_slow=fields.positive("beta_slow", 1),
                magnitude=fields.positive("attention_factor", _yarn_magnitude(fields, factor)),
                truncate=fields.flag("truncate", True),
            )
    return None


def _yarn_magnitude(fields: Fields, factor: float) -> float:
    above, below = fields.number("mscale", 0), fields.number("mscale_all_dim", 0)
    if above and below:
        return yarn_magnitude(factor, above) / yarn_magnitude(factor, below)
    return yarn_magnitude(factor)


def _windows(architecture: str, fields: Fields, num_layers: int) -> tuple[int | None, ...]:
    if architecture == "mistral":
        # null is no window; a config without the field means the window that Mistral began with.
        is_null = "sliding_window" in fields.values and not fields.has("sliding_window")
        return (None if is_null else fields.count("sliding_window", 4096),) * num_layers
    if architecture == "llama" or not fields.flag("use_sliding_window"):
        return (None,) * num_layers
    width = fields.count("sliding_window", 4096)
    first = fields.number("max_window_layers", 28)
    kinds = fields.values.get("layer_types") or [
        "sliding_attention" if layer >= first else "full_attention" for layer in range(num_layers)
    ]
    unknown = set(kinds) - {"sliding_attention", "full_attention"}
    if unknown or len(kinds) != num_layers:
        raise ModelLoadError(
            f"{fields.where}: layer_types is {shown(kinds)}; expected {num_layers} of 'full_attention' and "
            "'sliding_attention'."
        )
    return tuple(width if kind == "sliding_attention" else None for kind in kinds)


def eos_token_ids(*configs: Fields) -> tuple[int, ...]:
    """The ids that end a text by any of the configs, in order, each once."""
    found: dict[int, None] = {}
    for config in configs:
        given = config.values.get("eos_token_id")
        ids = given if isinstance(given, list) else [] if given is None else [given]
        if not all(type(token_id) is int for token_id in ids):
            raise ModelLoadError(f"{config.where}: eos_token_id is {shown(given)}; expected an id or a list of ids.")
        found |= dict.fromkeys(ids)
    return tuple(found)
