"""Puts an engine together from a model and a config. The only place in this room that sees a whole config."""

import itertools
import logging
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import torch

from quire import kernels
from quire.cache.block_manager import BlockManager
from quire.cache.events import BlockObserver
from quire.cache.token_budget import NO_LIMIT, TokenBudget, Tokens
from quire.config import EngineConfig
from quire.engine.batch import InputBuilder
from quire.engine.engine import LLMEngine
from quire.engine.memory_guard import MemoryGuard
from quire.engine.prompts import RequestChecker
from quire.engine.runner import Executor, ModelExecutor, ModelRunner
from quire.engine.sampler import Sampler
from quire.engine.structured import GrammarCompiler
from quire.engine.worker import Begin, ParallelExecutor, WorkerGroup
from quire.errors import CapacityError, ConfigError
from quire.memory.device import available_memory_bytes, num_physical_cores, set_threads
from quire.models import LoadedModel, load
from quire.models.config import ModelConfig
from quire.models.gguf import metadata_value
from quire.models.packing.store import packed_weights_directory
from quire.models.text.chat_template import read_template
from quire.models.tokenizer import Tokenizer
from quire.parallel.group import SingleGroup, TorchGroup
from quire.scheduling.priority import make_policy
from quire.scheduling.scheduler import Scheduler

log = logging.getLogger(__name__)

MIB = 1 << 20


def assemble(
    model: str | Path, config: EngineConfig, *, show_progress: bool = False, observer: BlockObserver | None = None
) -> LLMEngine:
    """Loads a model (directory, GGUF file or hub id) and builds the engine that serves it. `observer` is told of every
    block that is stored, shared or removed, in the thread that steps the engine."""
    loaded, plan, executor = _load(model, config, show_progress=show_progress)
    log.info("%s", plan)
    tokenizer = _tokenizer_of(loaded, config.chat_template)
    eos_token_ids = frozenset(loaded.config.eos_token_ids)
    return connect(
        executor,
        tokenizer,
        plan,
        config,
        vocab_size=loaded.config.vocab_size,
        eos_token_ids=eos_token_ids | tokenizer.eos_token_ids if tokenizer is not None else eos_token_ids,
        fingerprint=loaded.fingerprint,
        observer=observer,
    )


def _load(model: str | Path, config: EngineConfig, *, show_progress: bool) -> tuple[LoadedModel, "KVPlan", Executor]:
    """The model and its cache, in this process or shared with others."""
    size = config.tensor_parallel_size
    num_threads = config.num_threads or max(1, num_physical_cores() // size)
    set_threads(num_threads)
    cache = packed_weights_directory() if config.cache_weights else None
    with ExitStack() as undo:
        group: SingleGroup | TorchGroup = SingleGroup()
        if size > 1:
            workers = WorkerGroup(
                str(model),
                dtype=config.dtype,
                quantization=config.quantization,
                cache=str(cache) if cache is not None else None,
                revision=config.revision,
                size=size,
                num_threads=num_threads,
            )
            undo.callback(workers.close)
            group = TorchGroup(0, size, workers.rendezvous)
            undo.callback(group.close)
        loaded = load(
            model,
            dtype=config.dtype,
            group=group,
            quantization=config.quantization,
            cache=cache,
            revision=config.revision,
            show_progress=show_progress,
        )
        plan = plan_kv_cache(loaded.config, config, available_memory_bytes())
        local = ModelExecutor(
            loaded.model,
            torch.empty(plan.shape, dtype=plan.dtype),
            num_threads=num_threads,
            captures=size == 1 and not config.enforce_eager,
        )
        undo.pop_all()
    if isinstance(group, SingleGroup):
        return loaded, plan, local
    workers.send(Begin(plan.shape, str(plan.dtype).removeprefix("torch.")))
    return loaded, plan, ParallelExecutor(local, group, workers)


def _tokenizer_of(loaded: LoadedModel, chat_template: str | None) -> Tokenizer | None:
    """With `chat_template` (text or path) in place of its own. None where there are weights alone: such an engine
    takes and gives token ids."""
    if loaded.gguf is not None:
        has_vocabulary = metadata_value(loaded.gguf, "tokenizer.ggml.model") is not None
        tokenizer = Tokenizer.from_gguf(loaded.gguf) if has_vocabulary else None
    else:
        has_vocabulary = (loaded.path / "tokenizer.json").is_file()
        tokenizer = Tokenizer.from_directory(loaded.path) if has_vocabulary else None
    if tokenizer is not None and chat_template is not None:
        tokenizer.chat_template = read_template(chat_template)
    return tokenizer


@dataclass(frozen=True, slots=True)
class KVPlan:
    """How the KV cache is laid out: `[N, L, 2, K, B, row]`, a row being one token's key or value of one head."""

    shape: tuple[int, int, int, int, int, int]
    dtype: torch.dtype
    max_model_len: int
    lengthened_by: str | None = None
    """The knob that would make `max_model_len` larger; None: the model was made for no more."""

    @property
    def num_blocks(self) -> int:
        return self.shape[0]

    @property
    def block_size(self) -> int:
        return self.shape[4]

    @property
    def num_bytes(self) -> int:
        return torch.Size(self.shape).numel() * self.dtype.itemsize

    def __str__(self) -> str:
        return (
            f"KV cache: {self.num_bytes / MIB:,.0f} MiB in {self.num_blocks:,} blocks of {self.block_size} tokens "
            f"({str(self.dtype).removeprefix('torch.')}); context of {self.max_model_len:,} tokens"
        )


def plan_kv_cache(model: ModelConfig, config: EngineConfig, free_bytes: int) -> KVPlan:
    """As many blocks as the memory allows and all running sequences together could ever use. Raises CapacityError when
    not even one sequence fits."""
    dtype = _kv_dtype(model, config)
    size = config.tensor_parallel_size
    row = kernels.kv_row_width(model.head_dim, dtype)
    block_shape = (model.num_layers, 2, model.num_kv_heads // size, config.block_size, row)
    block_bytes = torch.Size(block_shape).numel() * dtype.itemsize
    budget = config.kv_cache_memory or int(free_bytes * config.memory_fraction) // size
    wanted_len = min(config.max_model_len or model.max_model_len, model.max_model_len)
    if config.max_model_len is not None and config.max_model_len > model.max_model_len:
        raise ConfigError(
            f"max_model_len is {config.max_model_len}; this model was made for at most {model.max_model_len} tokens."
        )
    blocks_per_seq = -(-wanted_len // config.block_size)
    num_blocks = min(budget // block_bytes, blocks_per_seq * config.max_num_seqs)
    needed = blocks_per_seq if config.max_model_len is not None else 1
    if num_blocks < needed:
        raise CapacityError(
            f"The KV cache may take {budget / MIB:,.1f} MiB, which holds {num_blocks * config.block_size:,} tokens; "
            f"one sequence of {needed * config.block_size:,} tokens needs {needed * block_bytes / MIB:,.1f} MiB. Raise "
            f"kv_cache_memory (or memory_fraction), or lower max_model_len."
        )
    max_model_len = min(wanted_len, num_blocks * config.block_size)
    knob = "max_model_len" if max_model_len == wanted_len else "kv_cache_memory"
    is_all = max_model_len == model.max_model_len
    return KVPlan((num_blocks, *block_shape), dtype, max_model_len, lengthened_by=None if is_all else knob)


def _kv_dtype(model: ModelConfig, config: EngineConfig) -> torch.dtype:
    if config.kv_cache_dtype == "int8":
        return torch.int8
    asked = str(model.dtype).removeprefix("torch.")
    if config.kv_cache_dtype not in ("auto", asked):
        raise ConfigError(
            f"kv_cache_dtype is {config.kv_cache_dtype!r}; allowed with this model: 'auto', {asked!r} or 'int8'."
        )
    return model.dtype


def connect(
    executor: Executor,
    tokenizer: Tokenizer | None,
    plan: KVPlan,
    config: EngineConfig,
    *,
    vocab_size: int,
    eos_token_ids: frozenset[int],
    fingerprint: bytes = b"",
    clock: Callable[[], float] = time.monotonic,
    observer: BlockObserver | None = None,
) -> LLMEngine:
    """The engine around whatever executes its steps."""
    # A step must have room for the next token of everyone who runs.
    max_num_seqs = min(config.max_num_seqs, config.max_num_batched_tokens)
    seq_ids = itertools.count()
    sampler = Sampler(vocab_size, config.seed, eos_token_ids)
    scheduler = Scheduler(
        BlockManager(
            plan.num_blocks,
            plan.block_size,
            enable_prefix_caching=config.enable_prefix_caching,
            fingerprint=fingerprint,
            observer=observer,
        ),
        make_policy(config.scheduling_policy),
        max_num_seqs=max_num_seqs,
        max_num_batched_tokens=config.max_num_batched_tokens,
        max_wait_ms=config.max_wait_ms,
        next_seq_id=seq_ids.__next__,
    )
    builder = InputBuilder(
        max_num_seqs=max_num_seqs,
        max_blocks_per_seq=-(-plan.max_model_len // plan.block_size),
        block_size=plan.block_size,
    )
    checker = RequestChecker(
        tokenizer,
        vocab_size=vocab_size,
        max_model_len=plan.max_model_len,
        max_num_seqs=max_num_seqs,
        lengthened_by=plan.lengthened_by,
        eos_token_ids=eos_token_ids,
        grammars=GrammarCompiler(tokenizer, vocab_size) if tokenizer is not None else None,
    )
    return LLMEngine(
        scheduler,
        ModelRunner(executor, builder, sampler),
        sampler,
        checker,
        tokenizer,
        MemoryGuard(plan.num_bytes // plan.num_blocks, config.min_free_memory),
        min_num_blocks=-(-plan.max_model_len // plan.block_size),
        next_seq_id=seq_ids.__next__,
        budget=TokenBudget(Tokens(kv=NO_LIMIT, prompt=NO_LIMIT, context=NO_LIMIT)),
        clock=clock,
        on_close=executor.close,
    )
