"""What the files of sentence-transformers say about an embedding model: pooling, normalisation, prefixes, length.

    modules.json                         which steps there are: Transformer, Pooling, Normalize
    1_Pooling/config.json                how hidden states become one vector
    config_sentence_transformers.json    prompts: what stands before queries and documents
    sentence_bert_config.json            how many tokens are read

A directory without them is a plain model: what it does not say is None. This is the one place where those field names
are known. Raises ModelLoadError for a step that we would have to leave out.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from quire.errors import ModelLoadError, shown
from quire.models.json_files import read_json, read_json_object
from quire.retrieval.neural.pooling import Pooling

_POOLINGS: dict[str, Pooling] = {"mean": "mean", "cls": "cls", "lasttoken": "last", "max": "max"}
_QUERY_PROMPTS = ("query", "s2p_query")
_DOCUMENT_PROMPTS = ("document", "passage", "corpus")


@dataclass(frozen=True, slots=True)
class SentenceConfig:
    pooling: Pooling | None = None
    normalize: bool | None = None
    query_prefix: str = ""
    document_prefix: str = ""
    max_tokens: int | None = None
    lower_case: bool = False


def read_sentence_config(path: Path) -> SentenceConfig:
    """Of the model in the directory `path`."""
    modules = _modules(path)
    if modules is None:
        return SentenceConfig()
    prompts, default = _prompts(path)
    limits = _optional(path / modules.get("Transformer", "") / "sentence_bert_config.json")
    return SentenceConfig(
        pooling=_pooling(path / modules["Pooling"] / "config.json", prompts) if "Pooling" in modules else None,
        normalize="Normalize" in modules,
        query_prefix=next((prompts[name] for name in _QUERY_PROMPTS if name in prompts), default),
        document_prefix=next((prompts[name] for name in _DOCUMENT_PROMPTS if name in prompts), default),
        max_tokens=limits.get("max_seq_length"),
        lower_case=bool(limits.get("do_lower_case")),
    )


def _modules(path: Path) -> dict[str, str] | None:
    """Folder of each step, by its kind; None where the model has no such file."""
    file = path / "modules.json"
    if not file.is_file():
        return None
    listed = read_json(file)
    if not isinstance(listed, list) or not all(isinstance(m, Mapping) and "type" in m for m in listed):
        raise ModelLoadError(f"{file} holds {shown(listed)}; expected a list of modules.")
    modules = {str(m["type"]).rpartition(".")[2]: str(m.get("path", "")) for m in listed}
    unknown = modules.keys() - {"Transformer", "Pooling", "Normalize"}
    if unknown:
        raise ModelLoadError(
            f"{file} names the step {min(unknown)}; supported: Transformer, Pooling and Normalize. Without that step "
            "the vectors would be other ones."
        )
    return modules


def _pooling(file: Path, prompts: Mapping[str, str]) -> Pooling:
    """The mode's name is given in full, or as the one flag that is true among `pooling_mode_…`."""
    config = read_json_object(file)
    flags = [
        name.removeprefix("pooling_mode_").removesuffix("_tokens").removesuffix("_token")
        for name, value in config.items()
        if name.startswith("pooling_mode_") and value is True
    ]
    mode = config.get("pooling_mode", flags[0] if len(flags) == 1 else flags)
    if mode not in _POOLINGS:
        raise ModelLoadError(f"{file}: the pooling is {shown(mode)}; supported: {', '.join(_POOLINGS)}.")
    if config.get("include_prompt") is False and any(prompts.values()):
        raise ModelLoadError(f"{file}: include_prompt is false; supported: true, prefixes are pooled with the text.")
    return _POOLINGS[mode]


def _prompts(path: Path) -> tuple[dict[str, str], str]:
    """All prompts by name, and the one for texts that none of them is for."""
    config = _optional(path / "config_sentence_transformers.json")
    prompts = {str(name): str(text) for name, text in (config.get("prompts") or {}).items()}
    return prompts, prompts.get(str(config.get("default_prompt_name")), "")


def _optional(file: Path) -> dict[str, Any]:
    return read_json_object(file) if file.is_file() else {}
