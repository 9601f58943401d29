"""From a directory (or a hub id) to an encoder that can run: one of the BERT family, or a decoder without its head.

The fingerprint is made of the weights themselves, by sampling every tensor: what was computed with a model stays valid
when its files are copied or installed again. Nothing that is read is ever executed.
"""

import hashlib
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from quire import kernels
from quire.errors import ConfigError, shown
from quire.layers.layer import Layer
from quire.models import config as decoder_config
from quire.models.encoders.bert import Classifier, EncoderModel
from quire.models.encoders.causal import CausalEncoder
from quire.models.encoders.config import EncoderConfig, from_hf, is_encoder
from quire.models.encoders.names import EncoderCheckpoint
from quire.models.hub import local_path
from quire.models.json_files import read_json_object
from quire.models.loading import DTYPES
from quire.models.packing.plan import KINDS, pack_for_machine, plan_packing
from quire.models.safetensors import SafetensorsCheckpoint
from quire.models.tokenizer import Tokenizer
from quire.models.weights import Checkpoint, forms_of, load_weights

SAMPLE_BYTES = 4096


@dataclass(frozen=True, slots=True)
class LoadedEncoder:
    model: EncoderModel | CausalEncoder
    tokenizer: Tokenizer
    path: Path
    hidden_size: int
    max_len: int
    """Tokens of a text."""
    is_causal: bool
    """A token has not seen what comes behind it, so only the last one has seen the text."""
    fingerprint: str


@dataclass(frozen=True, slots=True)
class LoadedClassifier:
    model: Classifier
    tokenizer: Tokenizer
    path: Path
    config: EncoderConfig
    fingerprint: str


def load_encoder(
    path_or_id: str | Path, *, dtype: str = "auto", quantization: str | None = None, revision: str | None = None
) -> LoadedEncoder:
    """The hidden states of the model at a directory or hub id. `dtype` auto is the format that this machine multiplies
    fastest, with matrices in the one that it reads fastest. Raises ModelLoadError, and ConfigError for a dtype or
    quantization that there is not."""
    path, hf, checkpoint = _open(path_or_id, revision)
    where, fingerprint = str(path / "config.json"), _fingerprint(checkpoint)
    if is_encoder(hf, where):
        config = from_hf(hf, dtype=_dtype(dtype), where=where)
        encoder = EncoderModel(config)
        _fill(encoder, EncoderCheckpoint(checkpoint, config.family, ("encoder.",)), quantization, dtype)
        return LoadedEncoder(
            encoder, Tokenizer.from_directory(path), path, config.hidden_size, config.max_len, False, fingerprint
        )
    causal_config = replace(decoder_config.from_hf(_with_head(hf), where=where), dtype=_dtype(dtype))
    causal = CausalEncoder(causal_config)
    _fill(causal, checkpoint, quantization, dtype)
    return LoadedEncoder(
        causal,
        Tokenizer.from_directory(path),
        path,
        causal_config.hidden_size,
        causal_config.max_model_len,
        True,
        fingerprint,
    )


def load_classifier(
    path_or_id: str | Path, *, dtype: str = "auto", quantization: str | None = None, revision: str | None = None
) -> LoadedClassifier:
    """An encoder with the head of sequence classification. Raises as `load_encoder` does."""
    path, hf, checkpoint = _open(path_or_id, revision)
    config = from_hf(hf, dtype=_dtype(dtype), where=str(path / "config.json"))
    model = Classifier(config)
    _fill(model, EncoderCheckpoint(checkpoint, config.family, ("encoder.", "head.")), quantization, dtype)
    return LoadedClassifier(model, Tokenizer.from_directory(path), path, config, _fingerprint(checkpoint))


def _open(path_or_id: str | Path, revision: str | None) -> tuple[Path, dict[str, Any], SafetensorsCheckpoint]:
    path = local_path(path_or_id, revision)
    return path, read_json_object(path / "config.json"), SafetensorsCheckpoint(path)


def _dtype(name: str) -> torch.dtype:
    if name == "auto":
        return kernels.fastest_dtype()
    if name not in DTYPES:
        raise ConfigError(f"dtype is {shown(name)}; allowed: auto, {', '.join(DTYPES)}.")
    return DTYPES[name]


def _with_head(hf: dict[str, Any]) -> dict[str, Any]:
    """A config that names the bare model, as one that names the model with its head."""
    named = hf.get("architectures") or []  # `is_encoder` has found it to be names
    return {
        **hf,
        "architectures": [
            f"{name.removesuffix('Model')}ForCausalLM" if name.endswith("Model") else name for name in named
        ],
    }


def _fill(model: Layer, checkpoint: Checkpoint, quantization: str | None, dtype: str) -> None:
    """Matrices are packed: for this machine's registers, or into fewer bits."""
    if quantization is not None and quantization not in KINDS:
        raise ConfigError(f"quantization is {shown(quantization)}; allowed: None, {', '.join(KINDS)}.")
    load_weights(model, checkpoint, plan=plan_packing(model, forms_of(model, checkpoint), quantization))
    if quantization is None:
        pack_for_machine(model, kernels.FASTEST_STORED if dtype == "auto" else None)
    model.eval()


def _fingerprint(checkpoint: SafetensorsCheckpoint) -> str:
    digest = hashlib.sha256()
    for name in sorted(checkpoint.shapes):
        digest.update(repr((checkpoint.name_in_file(name), checkpoint.shapes[name])).encode())
        digest.update(checkpoint.first_bytes(name, SAMPLE_BYTES))
    return digest.hexdigest()
