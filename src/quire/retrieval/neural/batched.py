"""Calls of many threads, computed together: what comes while a batch runs is the next batch.

One thread computes, on all cores; a team of OpenMP threads for each caller would be in each other's way. The thread
that made this has a team already, from packing weights, and computes itself while nobody else asks: with a second team
OpenMP's threads sleep between loops, and a query takes half as long again. A call with many texts gives them over one
batch at a time, so that a single query among them waits for little more than one batch.

Knows nothing of what is computed. Invariant: a text's result depends on nothing but the text.
"""

import weakref
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import chain
from threading import get_ident
from typing import TypeAlias

import numpy as np
import torch

from quire.errors import ConfigError, shown
from quire.models.encoders import PackedTexts, pack_texts
from quire.retrieval.embedding import Vectors
from quire.scheduling.microbatch import BatchedCalls

MAX_CALLS = 64
"""Taken into one round; what they bring is cut into batches again."""

MAX_BATCH_TOKENS = 1024
"""Computed at once; larger batches do not go faster."""

TokenIds: TypeAlias = Sequence[Sequence[int]]
Compute: TypeAlias = Callable[[PackedTexts], torch.Tensor]


@dataclass(frozen=True, slots=True)
class Texts:
    """The tokens of some texts. `types` say which part of a pair each belongs to; all calls give them, or none."""

    token_ids: TokenIds
    types: TokenIds | None = None

    def __len__(self) -> int:
        return len(self.token_ids)

    def between(self, begin: int, end: int) -> "Texts":
        return Texts(self.token_ids[begin:end], None if self.types is None else self.types[begin:end])


class BatchedTexts:
    """`compute` in front of many callers, with `max_tokens` at once; a longer text is computed alone."""

    def __init__(self, compute: Compute, max_tokens: int) -> None:
        if max_tokens < 1:
            raise ConfigError(f"max_batch_tokens is {shown(max_tokens)}; allowed: 1 or more.")
        self._max_tokens = max_tokens
        self._maker = get_ident()
        self._calls = BatchedCalls(partial(_run, compute, max_tokens), MAX_CALLS, max_wait_ms=0)
        self._close = weakref.finalize(self, self._calls.close)

    def results(self, texts: Texts) -> Iterator[Vectors]:
        """Those of all texts in their order, batch after batch. Raises EngineClosedError after `close`."""
        for begin, end in _batches(texts.token_ids, self._max_tokens):
            batch = texts.between(begin, end)
            yield self._calls.call(batch) if get_ident() == self._maker else self._calls.submit(batch).result()

    def close(self) -> None:
        """Ends the thread, when what was submitted is done. Repeating it does nothing."""
        self._close()


def checked_texts(texts: Sequence[str]) -> None:
    if isinstance(texts, str):
        raise ConfigError(f"texts is the single text {shown(texts)}; give a list of texts.")


def _run(compute: Compute, max_tokens: int, calls: list[Texts]) -> list[Vectors]:
    torch.get_num_threads()  # takes torch.set_num_threads over into this thread, for our kernels too
    if len(calls) == 1:
        return [_computed(compute, calls[0])]
    texts = _joined(calls)
    parts = [_computed(compute, texts.between(*span)) for span in _batches(texts.token_ids, max_tokens)]
    return np.split(np.concatenate(parts), np.cumsum([len(call) for call in calls])[:-1])


@torch.inference_mode()
def _computed(compute: Compute, texts: Texts) -> Vectors:
    found: Vectors = compute(pack_texts(texts.token_ids, texts.types)).numpy()
    return found


def _joined(calls: list[Texts]) -> Texts:
    types = [call.types for call in calls if call.types is not None]
    return Texts(list(chain.from_iterable(call.token_ids for call in calls)), [*chain(*types)] if types else None)


def _batches(token_ids: TokenIds, max_tokens: int) -> Iterator[tuple[int, int]]:
    """[begin, end) of runs of texts that have so many tokens together."""
    begin = size = 0
    for end, ids in enumerate(token_ids):
        if end > begin and size + len(ids) > max_tokens:
            yield begin, end
            begin, size = end, 0
        size += len(ids)
    if begin < len(token_ids):
        yield begin, len(token_ids)
