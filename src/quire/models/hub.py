"""Finding a model on this machine, or fetching it from the Hugging Face hub: config, tokenizer, chat template and
safetensors, or one GGUF file. Pickled weights and code are never asked for.
"""

import re
from contextlib import suppress
from pathlib import Path

from quire.errors import ModelLoadError
from quire.models.safetensors import INDEX_NAME, SINGLE_NAME, shard_names

SMALL_FILES = (
    "config.json",
    "generation_config.json",
    "tokenizer.json",
    "tokenizer_config.json",
    "chat_template.jinja",
    "modules.json",
    "*_Pooling/config.json",
    "config_sentence_transformers.json",
    "sentence_bert_config.json",
    INDEX_NAME,
)
_HUB_ID = re.compile(r"(?P<repo>[\w.-]+(?:/[\w.-]+)?)")
_HUB_GGUF = re.compile(r"(?P<repo>[\w.-]+/[\w.-]+)/(?P<file>[\w./-]+\.gguf)")


def local_path(path_or_id: str | Path, revision: str | None = None) -> Path:
    """The directory or file that `path_or_id` names, fetched first if it is a hub id (`org/name`, or
    `org/name/file.gguf`). Raises ModelLoadError where there is no such thing."""
    name = str(path_or_id)
    with suppress(OSError, RuntimeError):  # a name that no path can have, or a home that nobody has
        path = Path(path_or_id).expanduser()
        if path.exists():
            return path
    if not isinstance(path_or_id, Path) and not name.startswith((".", "~")):
        if match := _HUB_GGUF.fullmatch(name):
            return _fetch(match["repo"], revision, [match["file"]]) / match["file"]
        if match := _HUB_ID.fullmatch(name):
            return _fetch_directory(match["repo"], revision)
    raise ModelLoadError(f"{name} does not exist. Give a directory, a .gguf file, or a hub id such as Qwen/Qwen3-0.6B.")


def _fetch_directory(repo: str, revision: str | None) -> Path:
    directory = _fetch(repo, revision, list(SMALL_FILES))
    index = directory / INDEX_NAME
    return _fetch(repo, revision, shard_names(index) if index.is_file() else [SINGLE_NAME])


def _fetch(repo: str, revision: str | None, names: list[str]) -> Path:
    """The snapshot directory with those of the files that the repository has; what is in the cache is not fetched."""
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError

    try:
        return Path(snapshot_download(repo, revision=revision, allow_patterns=names))
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        at = f" at revision {revision}" if revision else ""
        why = str(error).strip().partition("\n")[0]
        raise ModelLoadError(f"{repo} is no local path, and the hub gave no model{at} of that name: {why}") from error
