"""Decides what runs in the next step: decodes first, then prefill chunks, up to a budget of tokens.

    WAITING ──admit──▶ RUNNING ──finish──▶ FINISHED
       ▲                  │
       └────preempt───────┘      its blocks are freed but stay findable, so most of the work is found again

Knows sequences and blocks, not models, text or sampling. All calls come from one thread.

Invariants: a sequence is either in the waiting heap, or in `running` with blocks for all its tokens, or finished with
no blocks. A step never holds more than `max_num_batched_tokens` tokens. Head-of-line: a waiting sequence that does not
fit is never overtaken by one that is less urgent, so nobody starves.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from quire.cache.block_manager import BlockManager, PrefixMatch
from quire.cache.paged_allocator import Move
from quire.scheduling.indexed_heap import IndexedHeap
from quire.scheduling.priority import Policy, settle
from quire.sequence import FinishReason, Sequence, SequenceStatus


@dataclass(slots=True)
class ScheduledBatch:
    """What runs together in one step. Valid until the next call of `schedule`."""

    sequences: list[Sequence] = field(default_factory=list)
    """Decodes first (`num_decodes` of them), then prefill chunks."""
    num_new_tokens: list[int] = field(default_factory=list)
    num_decodes: int = 0
    samples: list[Sequence] = field(default_factory=list)
    """Who gets a token from this step; a fresh fork samples from the row of its parent."""
    sample_rows: list[int] = field(default_factory=list)
    """For each of `samples`, its place in `sequences`."""
    pooled: list[Sequence] = field(default_factory=list)
    """Who gets its last hidden state, and is done."""
    pooled_rows: list[int] = field(default_factory=list)
    forks: list[tuple[Sequence, Sequence]] = field(default_factory=list)
    """(parent, child) pairs made in this step."""
    copies: list[tuple[int, int]] = field(default_factory=list)
    """Blocks (from, to) to copy before anything is written."""
    moved: list[Sequence] = field(default_factory=list)
    """Sequences that had a block of their table replaced, by copy-on-write."""
    preempted: list[Sequence] = field(default_factory=list)

    @property
    def num_prefill_tokens(self) -> int:
        return sum(self.num_new_tokens) - self.num_decodes


class Scheduler:
    def __init__(
        self,
        blocks: BlockManager,
        policy: Policy,
        *,
        max_num_seqs: int,
        max_num_batched_tokens: int,
        max_wait_ms: float = 0.0,
        next_seq_id: Callable[[], int],
    ) -> None:
        self.blocks = blocks
        self.policy = policy
        self.max_num_seqs = max_num_seqs
        self.max_num_batched_tokens = max_num_batched_tokens
        self.max_wait_s = max_wait_ms / 1e3
        self.running: dict[int, Sequence] = {}
        self._waiting: IndexedHeap[Sequence] = IndexedHeap()
        self._num_waiting_tokens = 0
        self._next_seq_id = next_seq_id
        self._generation = policy.generation

    # ── arrivals and departures ────────────────────────────────────────────────────────────────────────────────────

    def add(self, seq: Sequence, now_s: float) -> None:
        seq.status = SequenceStatus.WAITING
        self._waiting.push(seq, self.policy.key(seq, now_s))
        self._num_waiting_tokens += seq.num_tokens

    def finish(self, seq: Sequence, reason: FinishReason) -> None:
        """Ends a sequence, wherever it is; its blocks are free when this returns."""
        if seq.seq_id in self.running:
            del self.running[seq.seq_id]
            self.blocks.free(seq)
        elif seq in self._waiting:
            self._take_waiting(seq)
        seq.status = SequenceStatus.FINISHED
        seq.finish_reason = reason

    @property
    def num_waiting(self) -> int:
        return len(self._waiting)

    @property
    def has_unfinished(self) -> bool:
        return bool(self.running) or len(self._waiting) > 0

    def waiting(self) -> Iterable[Sequence]:
        return iter(self._waiting)

    def next_waiting(self) -> list[Sequence]:
        """The most urgent of those who wait, if anybody does."""
        return [self._waiting.peek()[0]] if len(self._waiting) else []

    # ── one step ───────────────────────────────────────────────────────────────────────────────────────────────────

    def schedule(self, now_s: float) -> ScheduledBatch:
        """The next step's work; empty when nothing can run yet. Tables, and the index of blocks, are already as they
        will be when the step has run."""
        batch = ScheduledBatch()
        decodes, prefills = self._running_by_phase()
        if self.blocks.num_free_blocks < len(decodes):
            self._make_room(decodes, prefills, batch, now_s)
        self._schedule_decodes(decodes, batch)
        budget = self.max_num_batched_tokens - len(decodes)
        for seq in prefills:
            budget -= self._schedule_prefill(seq, budget, batch)
        if len(self._waiting) and not batch.preempted and self.hold_until_s(now_s) is None:
            self._admit(budget, batch, now_s)
        return batch

    def complete(self, batch: ScheduledBatch) -> None:
        """The step has run: what it was given is computed."""
        for seq, num_new_tokens in zip(batch.sequences, batch.num_new_tokens, strict=True):
            seq.num_computed_tokens += num_new_tokens
        for parent, child in batch.forks:
            child.num_computed_tokens = parent.num_computed_tokens

    def resize(self, num_blocks: int, now_s: float) -> tuple[list[Move], list[Sequence]]:
        """The cache has so many blocks from now on. Returns the block copies to make before the next step, and who was
        preempted because the rest is too small. REQUIRES: `num_blocks` hold the longest sequence there may be."""
        surplus = self.blocks.num_blocks - num_blocks
        if surplus <= 0:
            self.blocks.grow(-surplus)
            return [], []
        preempted = []
        while self.blocks.num_free_blocks < surplus:
            victim = self._least_urgent(now_s)
            self._preempt(victim, now_s)
            preempted.append(victim)
        return self.blocks.shrink(surplus, self.running.values()), preempted

    def hold_until_s(self, now_s: float) -> float | None:
        """When the waiting prompts are held back for company, the time at which that ends; else None. A batch closes
        when it is full or when its oldest request has waited `max_wait_ms`."""
        if not self.max_wait_s or not len(self._waiting) or self._num_waiting_tokens >= self.max_num_batched_tokens:
            return None
        if len(self._waiting) + len(self.running) >= self.max_num_seqs:
            return None
        until_s = min(seq.arrival_s for seq in self._waiting) + self.max_wait_s
        return until_s if now_s < until_s else None

    def _running_by_phase(self) -> tuple[list[Sequence], list[Sequence]]:
        decodes: list[Sequence] = []
        prefills: list[Sequence] = []
        for seq in self.running.values():
            # A prompt that still has to fork or to be pooled is a prefill down to its last token.
            if len(seq.token_ids) - seq.num_computed_tokens > 1 or seq.num_forks or seq.is_pooling:
                prefills.append(seq)
            else:
                decodes.append(seq)
        return decodes, prefills

    def _make_room(
        self, decodes: list[Sequence], prefills: list[Sequence], batch: ScheduledBatch, now_s: float
    ) -> None:
        """Preempts the least urgent until every decode that needs a block can have one."""
        while self.blocks.num_free_blocks < sum(map(self.blocks.needs_block, decodes)):
            victim = self._least_urgent(now_s)
            (decodes if victim in decodes else prefills).remove(victim)
            self._preempt(victim, now_s)
            batch.preempted.append(victim)

    def _least_urgent(self, now_s: float) -> Sequence:
        return max(self.running.values(), key=lambda seq: (self.policy.key(seq, now_s), seq.seq_id))

    def _preempt(self, seq: Sequence, now_s: float) -> None:
        del self.running[seq.seq_id]
        self.blocks.free(seq)
        seq.num_computed_tokens = 0
        seq.num_preemptions += 1
        self.add(seq, now_s)

    def _schedule_decodes(self, decodes: list[Sequence], batch: ScheduledBatch) -> None:
        append, commit, block_size = self.blocks.append, self.blocks.commit, self.blocks.block_size
        for seq in decodes:
            copy = append(seq)
            if copy is not None:
                batch.copies.append(copy)
                batch.moved.append(seq)
            num_tokens = len(seq.token_ids)
            if num_tokens % block_size == 0:
                commit(seq, num_tokens)
        batch.num_decodes = len(decodes)
        batch.num_new_tokens = [1] * len(decodes)
        batch.samples = list(decodes)
        batch.sample_rows = list(range(len(decodes)))
        batch.sequences = decodes

    def _schedule_prefill(self, seq: Sequence, budget: int, batch: ScheduledBatch) -> int:
        num_new_tokens = min(budget, seq.num_uncomputed_tokens)
        if num_new_tokens <= 0:
            return 0
        row = len(batch.sequences)
        batch.sequences.append(seq)
        batch.num_new_tokens.append(num_new_tokens)
        num_computed = seq.num_computed_tokens + num_new_tokens
        self.blocks.commit(seq, num_computed)
        if num_computed == seq.num_tokens:
            self._finish_prefill(seq, row, batch)
        return num_new_tokens

    def _finish_prefill(self, seq: Sequence, row: int, batch: ScheduledBatch) -> None:
        if seq.is_pooling:
            batch.pooled.append(seq)
            batch.pooled_rows.append(row)
            return
        batch.samples.append(seq)
        batch.sample_rows.append(row)
        if seq.num_forks:
            self._fork(seq, row, batch)

    def _fork(self, parent: Sequence, row: int, batch: ScheduledBatch) -> None:
        num_forks, parent.num_forks = parent.num_forks, 0
        for index in range(1, num_forks + 1):
            child = parent.fork(self._next_seq_id(), index)
            self.blocks.fork(parent, child)
            self.running[child.seq_id] = child
            batch.forks.append((parent, child))
            batch.samples.append(child)
            batch.sample_rows.append(row)

    # ── admission to the running set ───────────────────────────────────────────────────────────────────────────────

    def _admit(self, budget: int, batch: ScheduledBatch, now_s: float) -> None:
        """Starts waiting sequences, most urgent first. One whose next block a running sequence is about to compute
        steps aside until that is done: to find it costs nothing, to compute it again would."""
        aside: list[tuple[Sequence, float]] = []
        try:
            self._start_waiting(budget, batch, now_s, aside)
        finally:
            for seq, key in aside:
                self._waiting.push(seq, key)

    def _start_waiting(
        self, budget: int, batch: ScheduledBatch, now_s: float, aside: list[tuple[Sequence, float]]
    ) -> None:
        num_rows = len(self.running) + sum(seq.num_forks for seq in self.running.values())
        while budget > 0 and len(self._waiting):
            if self.policy.is_dynamic:
                self._settle_keys(now_s)
            seq, key = self._waiting.peek()
            num_rows += 1 + seq.num_forks
            if num_rows > self.max_num_seqs:
                break
            match = self.blocks.match(seq)
            if match.is_pending:
                num_rows -= 1 + seq.num_forks
                aside.append((seq, key))
                self._waiting.pop()
                continue
            if not self.blocks.can_allocate(seq, match, reserve=len(self.running)):
                break
            self._start(seq, match, now_s)
            budget -= self._schedule_prefill(seq, budget, batch)

    def _start(self, seq: Sequence, match: PrefixMatch, now_s: float) -> None:
        self._take_waiting(seq)
        self.blocks.allocate(seq, match)
        seq.status = SequenceStatus.RUNNING
        self.running[seq.seq_id] = seq
        if seq.first_scheduled_s is None:
            seq.first_scheduled_s = now_s
            seq.num_cached_tokens = seq.num_computed_tokens

    def _take_waiting(self, seq: Sequence) -> None:
        self._waiting.delete(seq)
        self._num_waiting_tokens -= seq.num_tokens

    def _settle_keys(self, now_s: float) -> None:
        """The most urgent waiting sequence is on top again: all keys anew when the policy says they are stale."""
        if self.policy.generation != self._generation:
            self._generation = self.policy.generation
            for seq in list(self._waiting):
                self._waiting.update(seq, self.policy.key(seq, now_s))
        settle(self._waiting, self.policy, now_s)

    # ── what must always hold ──────────────────────────────────────────────────────────────────────────────────────

    def check_invariants(self) -> None:
        self._waiting.check_invariants()
        waiting = list(self._waiting)
        assert self._num_waiting_tokens == sum(seq.num_tokens for seq in waiting)
        assert len(self.running) <= self.max_num_seqs
        for seq in waiting:
            assert seq.status is SequenceStatus.WAITING, seq
            assert not seq.block_table, seq
            assert seq.seq_id not in self.running, seq
        for seq_id, seq in self.running.items():
            assert seq.seq_id == seq_id
            assert seq.status is SequenceStatus.RUNNING, seq
            assert 0 <= seq.num_computed_tokens < seq.num_tokens, seq
            assert len(seq.block_table) * self.blocks.block_size >= seq.num_computed_tokens, seq
        self.blocks.check_invariants(list(self.running.values()))
