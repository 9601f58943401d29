"""Flags that fingers remember from vLLM and that this server does not have, each with what to do instead.

Those that it has are flags of `quire serve` under the same name and are not listed here.
"""

from collections.abc import Collection, Iterable, Mapping

from quire.errors import ConfigError

_ALWAYS = "it is always so; leave it out."
_ONE_TOKENIZER = "the tokenizer is the one that lies beside the weights."
_FROM_FILES = "it is read from the model's files."
_NO_ADAPTERS = "adapters are not served; merge them into the weights."
_TEXT_ONLY = "this server reads and writes text."
_RECOMPUTED = "the KV of a preempted sequence is found by its prefix or computed again."
_PROXY = "let a proxy in front of the server do that."
_HUB = "the hub's own variables decide: HF_HOME, HF_HUB_CACHE, HF_TOKEN."
_LOG = "requests are logged by id, status and counts, never by their text; quire --log-level warning serve is quiet."

INSTEAD: Mapping[str, str] = {
    "--gpu-memory-utilization": "--memory-fraction is the share of the memory still free that the KV cache may take.",
    "--num-gpu-blocks-override": "--kv-cache-memory sets the bytes of the KV cache.",
    "--swap-space": _RECOMPUTED,
    "--cpu-offload-gb": "the weights lie where they are computed with; --quantization makes them smaller.",
    "--enable-chunked-prefill": _ALWAYS,
    "--disable-frontend-multiprocessing": _ALWAYS,
    "--trust-remote-code": "no code that comes with a model is ever run.",
    "--tokenizer": _ONE_TOKENIZER,
    "--tokenizer-mode": _ONE_TOKENIZER,
    "--tokenizer-revision": _ONE_TOKENIZER,
    "--load-format": _FROM_FILES,
    "--hf-config-path": _FROM_FILES,
    "--config-format": _FROM_FILES,
    "--rope-scaling": _FROM_FILES,
    "--rope-theta": _FROM_FILES,
    "--model-impl": "there is one implementation of a model.",
    "--hf-token": _HUB,
    "--download-dir": _HUB,
    "--pipeline-parallel-size": "--tensor-parallel-size shares a model between processes.",
    "-pp": "-tp shares a model between processes.",
    "--data-parallel-size": "start a server per replica, and a proxy in front.",
    "-dp": "start a server per replica, and a proxy in front.",
    "--distributed-executor-backend": "the processes of -tp are this host's.",
    "--max-logprobs": "requests may ask for 20.",
    "--guided-decoding-backend": "there is one.",
    "--generation-config": "requests and their defaults are the API's own.",
    "--override-generation-config": "requests and their defaults are the API's own.",
    "--response-role": "the role is assistant.",
    "--chat-template-content-format": "templates are given text.",
    "--limit-mm-per-prompt": _TEXT_ONLY,
    "--enable-lora": _NO_ADAPTERS,
    "--lora-modules": _NO_ADAPTERS,
    "--max-lora-rank": _NO_ADAPTERS,
    "--compilation-config": "nothing is compiled at run time; --enforce-eager turns capture off.",
    "--disable-log-requests": _LOG,
    "--no-enable-log-requests": _LOG,
    "--disable-log-stats": "statistics stand at /metrics only.",
    "--uvicorn-log-level": "quire --log-level LEVEL serve sets it.",
    "--max-log-len": _LOG,
    "--root-path": _PROXY,
    "--allowed-origins": _PROXY,
    "--allowed-methods": _PROXY,
    "--allowed-headers": _PROXY,
    "--api-server-count": "one process answers for the engine.",
}


def refuse_foreign(arguments: Iterable[str], known: Collection[str]) -> None:
    """Raises ConfigError at the first flag of vLLM's that is not one of ours, with what to do instead."""
    for argument in arguments:
        name = argument.partition("=")[0]
        if name in INSTEAD and name not in known:
            raise ConfigError(f"{name} is a flag of vLLM's; here {INSTEAD[name]}")
