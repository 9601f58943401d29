"""Blocks of the KV cache: allocating, sharing, evicting and giving memory back; no model runs.

Cases:

    sequences   admit 1,000 sequences of 1,024 tokens, half of each the same system prompt, and free them. Every full
                block is hashed and made findable. `--nano-vllm <checkout>` puts its BlockManager beside ours,
                `--mini-sglang <checkout>` its radix tree.
    decode      one more token for each running sequence: room, and the digest of every block that fills
    evict       admit sequences into a cache full of findable blocks, so that each block is taken from another
    sharing     500 requests over 8 system prompts, all at once: blocks held and tokens computed, beside no sharing
    lru         put and get in a TokenLRU at capacity, beside cachetools where that is installed
    shrink      random churn in a KVCache, then all free pages given back: what the resident set says
"""

from collections.abc import Callable
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from random import Random
from time import perf_counter

import numpy as np

from quire.bench.harness import Case, Measurement
from quire.bench.machine.resources import resident_bytes
from quire.bench.results import Report
from quire.bench.structures.cache_peers import MiniSglang, NanoVllm
from quire.cache import BlockManager, KVCache, TokenLRU
from quire.errors import ConfigError
from quire.sampling_params import SamplingParams
from quire.sequence import Sequence

VOCABULARY = 150_000
GREEDY = SamplingParams(temperature=0)
Run = Callable[[], Measurement]


def cases(
    *,
    num_seqs: int = 1000,
    num_tokens: int = 1024,
    block_sizes: tuple[int, ...] = (16, 256),
    num_blocks: tuple[int, ...] = (1_000, 10_000, 100_000),
    nano_vllm: str = "",
    mini_sglang: str = "",
    quick: bool = False,
) -> list[Case]:
    num_seqs = min(num_seqs, 100) if quick else num_seqs
    found = []
    for block_size in block_sizes:
        params = {"seqs": num_seqs, "tokens": num_tokens, "block": block_size}
        found.append(Case("sequences", _sequences(num_seqs, num_tokens, block_size), params))
        for side, checkout, peer in (("nano-vllm", nano_vllm, NanoVllm), ("mini-sglang", mini_sglang, MiniSglang)):
            if checkout:
                run = _peer_sequences(peer(Path(checkout), block_size), _prompts(num_seqs, num_tokens))
                found.append(Case("sequences", run, params, side))
        found.append(Case("decode", _decode(64, 512, block_size), {"seqs": 64, "tokens": 512, "block": block_size}))
        found.append(Case("sharing", _sharing(500, block_size), {"requests": 500, "block": block_size}))
    found += [Case("evict", _evict(count, 16), {"blocks": count}) for count in num_blocks]
    found += [Case("lru", run, {"keys": 10_000}, side) for side, run in _lru_sides(10_000).items()]
    return [*found, Case("shrink", _shrink(2048, 16), {"pages": 2048})]


def explain(report: Report) -> str:
    lines = [
        "A full block costs 2 compressions of SHA-256 at 16 tokens, 17 at 256 (30 ns each in SHA instructions), the",
        "cache misses of reading its ints out of a list, and, where it is new, an entry in each of two dicts.",
    ]
    ours = {str(r.params): r for r in report.results if r.name == "sequences" and r.side == "quire"}
    for peer in (r for r in report.results if r.name == "sequences" and r.side != "quire"):
        mine = ours[str(peer.params)].summary("sequence_us").median
        ratio = peer.summary("sequence_us").median / mine
        lines.append(f"{peer.side} takes {ratio:.1f} times as long a sequence at block size {peer.params['block']}.")
    return "\n".join(lines)


def _prompts(num_seqs: int, num_tokens: int) -> list[list[int]]:
    """The first half of every prompt is the same."""
    rng = Random(0)
    shared = [rng.randrange(VOCABULARY) for _ in range(num_tokens // 2)]
    return [shared + [rng.randrange(VOCABULARY) for _ in range(num_tokens - len(shared))] for _ in range(num_seqs)]


def _make_sequences(prompts: list[list[int]]) -> list[Sequence]:
    return [Sequence(i, "", prompt, GREEDY, max_tokens=1, arrival_s=0.0) for i, prompt in enumerate(prompts)]


def _admit(manager: BlockManager, seq: Sequence) -> int:
    """Blocks for `seq`, all its full ones findable; returns how many tokens were found."""
    match = manager.match(seq)
    if not manager.can_allocate(seq, match):
        raise ConfigError(f"{manager.num_blocks} blocks are too few for this benchmark.")
    manager.allocate(seq, match)
    manager.commit(seq, len(seq.token_ids))
    seq.num_computed_tokens = len(seq.token_ids)
    return match.num_tokens


def _sequences(num_seqs: int, num_tokens: int, block_size: int) -> Run:
    prompts = _prompts(num_seqs, num_tokens)

    def run() -> Measurement:
        sequences = _make_sequences(prompts)
        manager = BlockManager(num_seqs * -(-num_tokens // block_size), block_size)
        start = perf_counter()
        for seq in sequences:
            _admit(manager, seq)
        admitted = perf_counter()
        for seq in sequences:
            manager.free(seq)
        return _per_sequence(num_seqs, start, admitted, perf_counter())

    return run


def _peer_sequences(peer: NanoVllm | MiniSglang, prompts: list[list[int]]) -> Run:
    def run() -> Measurement:
        sequences = peer.prepare(prompts)
        start = perf_counter()
        for seq in sequences:
            peer.admit(seq)
        admitted = perf_counter()
        for seq in sequences:
            peer.free(seq)
        return _per_sequence(len(prompts), start, admitted, perf_counter())

    return run


def _per_sequence(num_seqs: int, start: float, admitted: float, end: float) -> Measurement:
    us = 1e6 / num_seqs
    return Measurement(
        {"sequence_us": (end - start) * us, "admit_us": (admitted - start) * us, "free_us": (end - admitted) * us}
    )


def _decode(num_seqs: int, num_tokens: int, block_size: int) -> Run:
    def run() -> Measurement:
        manager = BlockManager(num_seqs * (num_tokens // block_size + 2), block_size)
        sequences = _make_sequences([[i] for i in range(num_seqs)])
        for seq in sequences:
            _admit(manager, seq)
        elapsed = 0.0
        for token in range(num_tokens):
            for seq in sequences:
                seq.num_computed_tokens = len(seq.token_ids)
                seq.token_ids.append(token)
            start = perf_counter()
            for seq in sequences:
                manager.append(seq)
                manager.commit(seq, len(seq.token_ids))
            elapsed += perf_counter() - start
        return Measurement({"token_us": elapsed * 1e6 / num_tokens / num_seqs})

    return run


def _evict(num_blocks: int, block_size: int) -> Run:
    """Every block of the cache is findable and unheld; sequences of 64 new blocks each take a quarter of them."""
    num_seqs = max(1, num_blocks // 64 // 4)
    rng = Random(0)
    prompts = [[rng.randrange(VOCABULARY) for _ in range(64 * block_size)] for _ in range(num_seqs)]

    def run() -> Measurement:
        manager = BlockManager(num_blocks, block_size)
        (filler,) = _make_sequences([list(range(num_blocks * block_size))])
        _admit(manager, filler)
        manager.free(filler)
        sequences = _make_sequences(prompts)
        start = perf_counter()
        for seq in sequences:
            _admit(manager, seq)
        return Measurement({"block_us": (perf_counter() - start) * 1e6 / num_seqs / 64})

    return run


def _sharing(num_requests: int, block_size: int) -> Run:
    """8 system prompts of 200 to 800 tokens; each request has 50 to 400 of its own."""
    rng = Random(0)
    systems = [[rng.randrange(VOCABULARY) for _ in range(rng.randint(200, 800))] for _ in range(8)]
    own = [[rng.randrange(VOCABULARY) for _ in range(rng.randint(50, 400))] for _ in range(num_requests)]
    prompts = [rng.choice(systems) + tail for tail in own]
    num_unshared = sum(-(-len(prompt) // block_size) for prompt in prompts)
    num_tokens = sum(map(len, prompts))

    def run() -> Measurement:
        manager = BlockManager(num_unshared, block_size)
        num_found = sum(_admit(manager, seq) for seq in _make_sequences(prompts))
        num_held = num_unshared - manager.num_free_blocks
        return Measurement(
            {"memory_saved_share": 1 - num_held / num_unshared, "prefill_saved_share": num_found / num_tokens}
        )

    return run


def _lru_sides(num_keys: int) -> dict[str, Run]:
    keys = np.random.default_rng(0).zipf(1.1, num_keys).clip(max=num_keys).tolist()
    capacity = num_keys // 4

    def ours() -> Measurement:
        lru: TokenLRU[int, int] = TokenLRU(capacity)
        return _replay(keys, lru.get, lambda key: lru.put(key, key, 1 + key % 4))

    def theirs() -> Measurement:
        cache = import_module("cachetools").LRUCache(capacity, getsizeof=lambda key: 1 + key % 4)
        return _replay(keys, cache.get, lambda key: cache.__setitem__(key, key))

    return {"quire": ours} | ({"cachetools": theirs} if find_spec("cachetools") else {})


def _replay(keys: list[int], get: Callable[[int], int | None], put: Callable[[int], object]) -> Measurement:
    """Looks every key up, and puts it where it is missing."""
    start = perf_counter()
    for key in keys:
        if get(key) is None:
            put(key)
    return Measurement({"lookup_us": (perf_counter() - start) * 1e6 / len(keys)})


def _shrink(num_pages: int, page_size: int) -> Run:
    """Pages of 64 KiB; after the churn the sequences left are read again, token by token."""
    shape = (512,)

    def run() -> Measurement:
        cache = KVCache(num_pages, page_size, shape)
        expected = _churn(cache, num_pages, page_size, shape)
        stats = cache.stats().pages
        before = resident_bytes()
        start = perf_counter()
        cache.shrink(stats.num_free + stats.num_kept)
        elapsed = perf_counter() - start
        returned = before - resident_bytes()
        free_bytes = (stats.num_free + stats.num_kept) * page_size * 2 * 512 * 4
        unchanged = sum(bool((cache.get(seq_id)[0] == first).all()) for seq_id, first in expected.items())
        return Measurement(
            {
                "returned_share": returned / free_bytes,
                "fragmentation_before": stats.fragmentation,
                "unchanged_share": unchanged / len(expected),
                "shrink_ms": elapsed * 1e3,
            }
        )

    return run


def _churn(cache: KVCache, num_pages: int, page_size: int, shape: tuple[int, ...]) -> dict[int, float]:
    """Fills the cache with sequences of 1 to 16 pages and detaches three in four, in random order; returns the rest,
    each with the number that all its keys hold."""
    rng = Random(0)
    held: dict[int, float] = {}
    num_left = num_pages
    while (count := rng.randint(1, 16)) <= num_left:
        seq_id = len(held)
        kv = np.full((count * page_size, *shape), float(seq_id), np.float32)
        cache.attach(seq_id, kv, kv, [])
        held[seq_id] = float(seq_id)
        num_left -= count
    for seq_id in rng.sample(sorted(held), len(held) * 3 // 4):
        cache.detach(seq_id)
        del held[seq_id]
    return held
