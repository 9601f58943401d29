"""The block managers of others, behind the three calls that `quire bench cache` times: prepare, admit, free.

Each comes from a checkout that the user names, and is imported without its package's own imports, which want a GPU.
Preparing is not timed: it gives a peer its sequences in the form in which its own engine would have them.
"""

import sys
from importlib import import_module
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np

from quire.errors import ConfigError


class NanoVllm:
    """Blocks in a deque, found by hash."""

    def __init__(self, checkout: Path, block_size: int) -> None:
        _check(checkout, "nano_vllm", "nanovllm/engine/block_manager.py")
        _stand_in("nanovllm", path=checkout / "nanovllm")
        self._blocks = import_module("nanovllm.engine.block_manager")
        self._sequence = import_module("nanovllm.engine.sequence")
        self._block_size = block_size

    def prepare(self, prompts: list[list[int]]) -> list[Any]:
        self._sequence.Sequence.block_size = self._block_size
        num_blocks = sum(-(-len(prompt) // self._block_size) for prompt in prompts)
        self._manager = self._blocks.BlockManager(num_blocks, self._block_size)
        return [self._sequence.Sequence(prompt) for prompt in prompts]

    def admit(self, seq: Any) -> None:
        self._manager.allocate(seq)

    def free(self, seq: Any) -> None:
        self._manager.deallocate(seq)


class MiniSglang:
    """Pages in a radix tree over tensors of token ids, driven as its scheduler does: match and lock, take pages for the
    rest, insert; at the end insert again and unlock. Its comparison of keys, compiled when first used, is numpy's here.
    """

    def __init__(self, checkout: Path, page_size: int) -> None:
        _check(checkout, "mini_sglang", "python/minisgl/kvcache/radix_cache.py")
        _stand_in("minisgl", path=checkout / "python" / "minisgl")
        _stand_in("minisgl.kvcache", path=checkout / "python" / "minisgl" / "kvcache")
        self._context = SimpleNamespace()
        _stand_in("minisgl.core", get_global_ctx=lambda: self._context)
        _stand_in("minisgl.utils", align_down=lambda number, step: number // step * step)
        _stand_in("minisgl.kernel", fast_compare_key=_num_equal)
        self._torch: Any = import_module("torch")
        self._radix: Any = import_module("minisgl.kvcache.radix_cache")
        self._page_size = page_size

    def prepare(self, prompts: list[list[int]]) -> list[Any]:
        torch, page_size = self._torch, self._page_size
        self._context.page_size = page_size
        self._radix.get_global_ctx = lambda: self._context
        self._cache = self._radix.RadixPrefixCache(torch.device("cpu"))
        num_pages = sum(-(-len(prompt) // page_size) for prompt in prompts)
        self._free_slots = torch.arange(num_pages, dtype=torch.int32) * page_size
        self._offsets = torch.arange(page_size, dtype=torch.int32)
        return [SimpleNamespace(ids=torch.tensor(prompt, dtype=torch.int32)) for prompt in prompts]

    def admit(self, seq: Any) -> None:
        cache, page_size = self._cache, self._page_size
        found = cache.match_prefix(seq.ids[: len(seq.ids) - 1]).cuda_handle
        cache.lock_handle(found)
        num_pages = -(-(len(seq.ids) - found.cached_len) // page_size)
        pages, self._free_slots = self._free_slots[:num_pages], self._free_slots[num_pages:]
        own = (pages.unsqueeze(1) + self._offsets).flatten()
        seq.indices = self._torch.cat([found.get_matched_indices(), own])[: len(seq.ids)]
        _, seq.handle = cache.insert_prefix(seq.ids, seq.indices)
        cache.lock_handle(found, unlock=True)
        cache.lock_handle(seq.handle)

    def free(self, seq: Any) -> None:
        self._cache.insert_prefix(seq.ids, seq.indices)
        self._cache.lock_handle(seq.handle, unlock=True)


def _num_equal(a: Any, b: Any) -> int:
    """How many numbers two tensors have in common at their beginnings."""
    length = min(len(a), len(b))
    differs = np.not_equal(a.numpy()[:length], b.numpy()[:length])
    first = int(differs.argmax()) if length else 0
    return first if length and differs[first] else length


def _check(checkout: Path, parameter: str, file: str) -> None:
    if not (checkout / file).is_file():
        raise ConfigError(f"{parameter} is {str(checkout)!r}; allowed: a folder with {file}.")


def _stand_in(name: str, path: Path | None = None, **contents: object) -> None:
    """A package without its own code, or a module with just these contents."""
    module = ModuleType(name)
    if path is not None:
        module.__path__ = [str(path)]
    module.__dict__.update(contents)
    sys.modules[name] = module
