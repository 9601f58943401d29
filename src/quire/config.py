"""Which knobs does the engine have, and what may each of them be?

Each is written once: name, default, unit, help, limits. `EngineConfig` is frozen; what is found out at run time (how
many blocks fit, which kernels run) is a return value of whoever finds it out. Command-line flags and the keyword
arguments of `LLM` are made from these fields.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any

from quire.errors import ConfigError, shown, suggest

DTYPES = ("auto", "float32", "bfloat16", "float16")
SCHEDULING_POLICIES = ("fcfs", "priority", "shortest", "slo")


def _knob(
    default: Any,
    help: str,  # noqa: A002
    *,
    choices: tuple[str, ...] | None = None,
    low: float | None = None,
    high: float | None = None,
    aliases: tuple[str, ...] = (),
    section: str | None = None,
) -> Any:
    """`aliases` are further spellings of its flag; `section` opens a heading of the help page."""
    rules = {"choices": choices, "low": low, "high": high}
    return field(default=default, metadata={"help": help, "aliases": aliases, "section": section, **rules})


@dataclass(frozen=True, slots=True)
class EngineConfig:
    """Everything that decides how a model is served. Leave a knob alone unless its help gives you a reason."""

    dtype: str = _knob(
        "auto",
        "Number format of weights and activations; auto takes the one of the weights' file.",
        choices=DTYPES,
        section="Model",
    )
    quantization: str | None = _knob(
        None,
        "Packs the weights at load: int8 (one scale per output) is about twice as fast as bfloat16 and all but as "
        "exact, int4 (one scale per 32 inputs) is faster still at small batches and less exact. Default: as they are, "
        "and what a GGUF file has quantised as int4 (its Q4_0) or int8 (all else), which none unpacks.",
        choices=("int8", "int4", "none"),
        aliases=("-q",),
    )
    cache_weights: bool = _knob(
        True, "Keep packed weights on disk, so that the next start maps them. QUIRE_CACHE names the folder."
    )
    max_model_len: int | None = _knob(
        None, "Tokens of prompt and output together. Default: what the model allows and the KV cache holds.", low=1
    )
    chat_template: str | None = _knob(None, "A Jinja chat template (text or path) in place of the model's own.")
    seed: int = _knob(0, "Seeds requests that bring no seed of their own.", low=0, high=(1 << 63) - 1)
    revision: str | None = _knob(None, "Branch, tag or commit of a model on the hub.")
    kv_cache_dtype: str = _knob(
        "auto",
        "Number format of the KV cache: auto takes the activations', int8 (a scale per token and head) holds about "
        "twice as many tokens as bfloat16.",
        choices=(*DTYPES, "int8"),
        section="KV cache",
    )
    block_size: int = _knob(16, "Tokens of one KV block, the unit of sharing.", low=1, high=1024)
    kv_cache_memory: int | None = _knob(None, "Bytes for the KV cache. Default: a fraction of the free memory.", low=1)
    memory_fraction: float = _knob(
        0.5, "The share of the memory still free after loading that the KV cache may take.", low=0.01, high=0.95
    )
    min_free_memory: int | None = _knob(
        None,
        "Bytes that the system is to keep free: with less, the KV cache gives blocks back, and takes them again later. "
        "Default: a 32nd of the memory. 0 never gives any back.",
        low=0,
    )
    enable_prefix_caching: bool = _knob(True, "Find and share the KV of prefixes that were computed before.")
    max_num_seqs: int = _knob(256, "Sequences that run at once.", low=1, high=65_536, section="Scheduling")
    max_num_batched_tokens: int = _knob(
        2048,
        "Tokens computed in one step. More fills the arithmetic units, fewer keeps decodes smooth under long prompts.",
        low=1,
        high=1 << 20,
    )
    scheduling_policy: str = _knob(
        "fcfs",
        "Who goes next: first come, lowest `priority`, shortest remaining work, or least slack to `slo_ms`.",
        choices=SCHEDULING_POLICIES,
    )
    max_wait_ms: float = _knob(
        0.0, "How long a waiting prompt may be held back so that more can start with it.", low=0, high=60_000
    )
    device: str = _knob(
        "auto", "Where to run; auto takes the best device there is.", choices=("auto", "cpu"), section="Machine"
    )
    num_threads: int | None = _knob(
        None, "Threads of the CPU kernels. Default: one per physical core.", low=1, high=1024
    )
    tensor_parallel_size: int = _knob(
        1, "Processes that share the model's weights between them.", low=1, high=64, aliases=("-tp",)
    )
    enforce_eager: bool = _knob(False, "Never capture steps for replay; for looking into a fault.")

    def __post_init__(self) -> None:
        for knob in fields(self):
            _check(knob.name, getattr(self, knob.name), knob.default, knob.metadata)

    @classmethod
    def from_kwargs(cls, kwargs: Mapping[str, Any]) -> "EngineConfig":
        """The config of these keyword arguments; an unknown name is an error that suggests the nearest one."""
        names = [f.name for f in fields(cls)]
        for name in kwargs:
            if name not in names:
                raise ConfigError(
                    f"{name!r} is not a knob of the engine.{suggest(name, names)} Known: {', '.join(names)}."
                )
        return cls(**kwargs)


def _check(name: str, value: Any, default: Any, rules: Mapping[str, Any]) -> None:
    if value is None and default is None:
        return
    if rules["choices"] is not None:
        if value not in rules["choices"]:
            near = suggest(str(value), rules["choices"])
            raise ConfigError(f"{name} is {shown(value)}; allowed: {', '.join(rules['choices'])}.{near}")
        return
    if isinstance(default, bool):
        if not isinstance(value, bool):
            raise ConfigError(f"{name} is {shown(value)}; allowed: True or False.")
        return
    low, high = rules["low"], rules["high"]
    if low is None and high is None:
        if not isinstance(value, str):
            raise ConfigError(f"{name} is {shown(value)}; allowed: a string.")
        return
    wants_int = not isinstance(default, float)
    is_number = isinstance(value, int) or (isinstance(value, float) and not wants_int)
    if isinstance(value, bool) or not is_number or not (low <= value and (high is None or value <= high)):
        kind = "a whole number" if wants_int else "a number"
        upto = "" if high is None else f" and at most {high}"
        raise ConfigError(f"{name} is {shown(value)}; allowed: {kind} of at least {low}{upto}.")
