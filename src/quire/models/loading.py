"""From what a user names (a directory, a GGUF file, a hub id) to a model that can run.

Knows where files are and in what order to read them. Nothing that is downloaded or read is ever executed: no pickles,
no code from a repository.
"""

import hashlib
import json
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from quire.errors import ConfigError, ModelLoadError, shown
from quire.models.config import ModelConfig, from_hf
from quire.models.decoder import CausalLM
from quire.models.gguf import open_gguf
from quire.models.hub import local_path
from quire.models.llama_cpp import GgufCheckpoint, from_gguf
from quire.models.quantization import packer
from quire.models.registry import new_model
from quire.models.safetensors import SafetensorsCheckpoint
from quire.models.weights import Checkpoint, load_weights
from quire.parallel.group import Group

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}
FINGERPRINT_BYTES = 65_536


@dataclass(frozen=True, slots=True)
class LoadedModel:
    model: CausalLM
    config: ModelConfig
    path: Path
    """The directory or GGUF file on this machine; its tokenizer is there too."""
    fingerprint: bytes
    """Two models with the same fingerprint compute the same KV."""


def load(
    path_or_id: str | Path,
    *,
    dtype: str = "auto",
    group: Group,
    revision: str | None = None,
    quantization: str | None = None,
    show_progress: bool = False,
) -> LoadedModel:
    """This rank's part of the model at a directory, GGUF file or hub id (of which only the needed files are fetched).

    `dtype` auto takes the one of the weights' file. `quantization` int8 or int4 packs the matrices of linear layers as
    they are loaded. Raises ModelLoadError, and ConfigError where the group cannot share
    the model.
    """
    if dtype not in ("auto", *DTYPES):
        raise ConfigError(f"dtype is {shown(dtype)}; allowed: auto, {', '.join(DTYPES)}.")
    path = local_path(path_or_id, revision)
    config, checkpoint = _read_gguf(path) if path.is_file() else _read_directory(path)
    config = replace(config, dtype=checkpoint.dtype if dtype == "auto" else DTYPES[dtype])
    model = new_model(config, group)
    load_weights(model, checkpoint, show_progress=show_progress, on_loaded=packer(model, quantization))
    return LoadedModel(model.eval(), config, path, _fingerprint(config, checkpoint, quantization))


def _read_gguf(path: Path) -> tuple[ModelConfig, Checkpoint]:
    file = open_gguf(path)
    config = from_gguf(file)
    return config, GgufCheckpoint(file, config.head_dim)


def _read_directory(path: Path) -> tuple[ModelConfig, Checkpoint]:
    if not (path / "config.json").is_file():
        files = sorted(file.name for file in path.glob("*.gguf"))
        hint = f" It holds GGUF files; name one of them: {', '.join(files)}." if files else ""
        raise ModelLoadError(f"{path} has no config.json, so it is not a Hugging Face model directory.{hint}")
    generation = path / "generation_config.json"
    config = from_hf(
        read_json_object(path / "config.json"),
        read_json_object(generation) if generation.is_file() else None,
        where=str(path / "config.json"),
    )
    return config, SafetensorsCheckpoint(path)


def read_json(path: Path) -> Any:
    """Raises ModelLoadError where the file is missing or no JSON."""
    try:
        return json.loads(path.read_bytes())
    except OSError as error:
        raise ModelLoadError(f"{path} cannot be read: {error.strerror}.") from error
    except ValueError as error:
        raise ModelLoadError(f"{path} is not JSON ({error}).") from error


def read_json_object(path: Path) -> dict[str, Any]:
    """Raises ModelLoadError where the file is missing or something else."""
    value = read_json(path)
    if not isinstance(value, dict):
        raise ModelLoadError(f"{path} holds a JSON {type(value).__name__}; expected an object.")
    return value


def _fingerprint(config: ModelConfig, checkpoint: Checkpoint, quantization: str | None) -> bytes:
    """Digest of the config (dtype and rotary embedding included), of the quantisation, and of each file's name, size,
    time of change and first bytes, where the header lies. Reading whole files would take seconds; a copy counts as
    another model."""
    digest = hashlib.sha256(repr((config, quantization)).encode())
    for path in checkpoint.files:
        status = path.stat()
        digest.update(repr((path.name, status.st_size, status.st_mtime_ns)).encode())
        with path.open("rb") as file:
            digest.update(file.read(FINGERPRINT_BYTES))
    return digest.digest()
