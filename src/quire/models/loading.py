"""From what a user names (a directory, a GGUF file, a hub id) to a model that can run.

Knows where files are and in what order to read them. Nothing that is downloaded or read is ever executed: no pickles,
no code from a repository.
"""

import hashlib
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from quire.errors import ConfigError, ModelLoadError, shown
from quire.models.config import ModelConfig, from_hf
from quire.models.decoder import CausalLM
from quire.models.gguf import GgufFile, open_gguf
from quire.models.hub import local_path
from quire.models.json_files import read_json_object
from quire.models.llama_cpp import GgufCheckpoint, from_gguf
from quire.models.packing.plan import plan_packing
from quire.models.packing.store import open_store
from quire.models.registry import new_model
from quire.models.safetensors import SafetensorsCheckpoint
from quire.models.weights import Checkpoint, forms_of, load_weights
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
    gguf: GgufFile | None = None
    """Where the model is one GGUF file: what was read of it."""


def load(
    path_or_id: str | Path,
    *,
    dtype: str = "auto",
    group: Group,
    revision: str | None = None,
    quantization: str | None = None,
    cache: Path | None = None,
    show_progress: bool = False,
) -> LoadedModel:
    """This rank's part of the model at a directory, GGUF file or hub id (of which only the needed files are fetched).

    `dtype` auto takes the one of the weights' file. `quantization` int8 or int4 packs the matrices of linear layers,
    none unpacks what a GGUF file has quantised, and by default its types decide; packed matrices are kept in the folder
    `cache`, if given. Raises ModelLoadError, and ConfigError where the group cannot share the model.
    """
    if dtype not in ("auto", *DTYPES):
        raise ConfigError(f"dtype is {shown(dtype)}; allowed: auto, {', '.join(DTYPES)}.")
    path = local_path(path_or_id, revision)
    file = open_gguf(path) if path.is_file() else None
    config, checkpoint = _read_gguf(file) if file is not None else _read_directory(path)
    config = replace(config, dtype=checkpoint.dtype if dtype == "auto" else DTYPES[dtype])
    model = new_model(config, group)
    plan = plan_packing(model, forms_of(model, checkpoint), quantization)
    fingerprint = _fingerprint(config, checkpoint, quantization)
    packed_file = _packed_file(cache, path, config, quantization, group) if cache is not None else None
    store = open_store({name: packing.layout for name, packing in plan.items()}, packed_file, fingerprint)
    with closing(store):
        load_weights(model, checkpoint, plan=plan, store=store, show_progress=show_progress)
    return LoadedModel(model.eval(), config, path, fingerprint, file)


def _packed_file(cache: Path, path: Path, config: ModelConfig, quantization: str | None, group: Group) -> Path:
    """One for each model and way to run it, so that a model that has changed takes the place of what it was."""
    key = repr((str(path.resolve()), config.dtype, quantization, group.rank, group.size))
    name = path.stem if path.is_file() else path.name
    return cache / f"{name}-{quantization or 'auto'}-{hashlib.sha256(key.encode()).hexdigest()[:16]}.safetensors"


def _read_gguf(file: GgufFile) -> tuple[ModelConfig, Checkpoint]:
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
