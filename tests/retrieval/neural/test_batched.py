"""Calls computed together: who gets what, in which batches, and that nothing is left behind."""

import gc
import weakref
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from threading import Event, get_ident
from threading import enumerate as threads
from typing import Any

import numpy as np
import torch

from quire.models.encoders import PackedTexts
from quire.retrieval.neural.batched import BatchedTexts, Texts
from tests.patience import PATIENCE_S


def sums(texts: PackedTexts) -> torch.Tensor:
    """[sum of a text's tokens, sum of its types] of each."""
    lengths = texts.starts.long().diff()
    types = torch.zeros_like(texts.token_ids) if texts.types is None else texts.types
    values = torch.stack([texts.token_ids, types], dim=1).float()
    return torch.segment_reduce(values, "sum", lengths=lengths, axis=0)


def sizes_into(
    seen: list[list[int]], before: Callable[[], Any] = lambda: None
) -> Callable[[PackedTexts], torch.Tensor]:
    def compute(texts: PackedTexts) -> torch.Tensor:
        seen.append(texts.starts.long().diff().tolist())
        before()
        return sums(texts)

    return compute


def test_a_batch_has_so_many_tokens_and_a_longer_text_is_alone() -> None:
    seen: list[list[int]] = []
    texts = Texts([[1] * n for n in (3, 4, 3, 12, 1, 9, 1)])
    found = np.concatenate(list(BatchedTexts(sizes_into(seen), 10).results(texts)))
    assert seen == [[3, 4, 3], [12], [1, 9], [1]]
    assert found[:, 0].tolist() == [3, 4, 3, 12, 1, 9, 1]


def test_what_comes_while_a_batch_runs_is_computed_together() -> None:
    seen: list[list[int]] = []
    begun, go = Event(), Event()

    def wait() -> None:
        begun.set()
        assert go.wait(PATIENCE_S)

    batched = BatchedTexts(sizes_into(seen, wait), 100)
    with ThreadPoolExecutor(6) as pool:
        first = pool.submit(lambda: next(batched.results(Texts([[1]]))))
        assert begun.wait(PATIENCE_S)
        others = [pool.submit(lambda n=n: next(batched.results(Texts([[n]] * n)))) for n in (2, 3, 4)]
        while len(batched._calls._batcher) < 3:
            pass
        go.set()
        assert first.result(PATIENCE_S)[:, 0].tolist() == [1]
        assert [future.result(PATIENCE_S)[:, 0].tolist() for future in others] == [[2] * 2, [3] * 3, [4] * 4]
    assert len(seen) == 2
    assert len(seen[1]) == 9


def test_the_thread_that_made_it_computes_itself_while_nobody_else_asks() -> None:
    ran: list[int] = []
    batched = BatchedTexts(sizes_into([], lambda: ran.append(get_ident())), 100)
    assert [row.tolist() for row in batched.results(Texts([[1, 2]]))] == [[[3, 0]]]
    with ThreadPoolExecutor(1) as pool:
        other = pool.submit(get_ident).result()
        assert pool.submit(lambda: next(batched.results(Texts([[4]])))).result().tolist() == [[4, 0]]
    assert ran[0] == get_ident()
    assert ran[1] not in (get_ident(), other)


def test_types_stay_with_their_tokens() -> None:
    batched = BatchedTexts(sums, 4)
    texts = Texts([[5, 6], [7], [8, 9]], [[0, 1], [1], [1, 1]])
    assert np.concatenate(list(batched.results(texts))).tolist() == [[11, 1], [7, 1], [17, 2]]


def test_its_thread_ends_with_it() -> None:
    before = set(threads())
    batched = BatchedTexts(sums, 4)
    list(batched.results(Texts([[1]])))
    assert len(set(threads()) - before) == 1
    gone = weakref.ref(batched)
    del batched
    gc.collect()
    assert gone() is None
    assert set(threads()) <= before
