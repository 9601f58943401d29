"""The block manager against the slow model, and against what it is for: a sequence reads the KV of its own tokens."""

from collections import Counter

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from quire.cache import BlockManager, BlocksRemoved, BlocksShared, BlocksStored
from quire.errors import CapacityError
from quire.sampling_params import SamplingParams
from quire.sequence import Sequence
from tests.reference.block_manager import Block, SlowBlockManager


def make_seq(seq_id: int, token_ids: list[int], *, salt: str = "", uses_prefix_cache: bool = True) -> Sequence:
    params = SamplingParams(prompt_logprobs=None if uses_prefix_cache else 0)
    return Sequence(seq_id, "r", token_ids, params, max_tokens=100, arrival_s=0.0, cache_salt=salt)


def admit(manager: BlockManager, seq: Sequence) -> int:
    """Allocates and computes the whole of `seq`; returns how many tokens came from the cache."""
    match = manager.match(seq)
    manager.allocate(seq, match)
    manager.commit(seq, seq.num_tokens)
    seq.num_computed_tokens = seq.num_tokens
    return match.num_tokens


class ServedSequences(RuleBasedStateMachine):
    """Drives a manager as the scheduler does, step by step, with a KV store that remembers what was written where.

    The KV of a token is, for this purpose, its salt and all tokens up to it: exactly what real KV depends on.
    """

    @initialize(num_blocks=st.integers(1, 14), block_size=st.integers(1, 4))
    def begin(self, num_blocks: int, block_size: int) -> None:
        self.size = block_size
        self.manager = BlockManager(num_blocks, block_size, fingerprint=b"model", observer=self.follow)
        self.model = SlowBlockManager(num_blocks, block_size)
        self.kv: dict[tuple[int, int], object] = {}
        self.waiting: list[Sequence] = []
        self.live: list[Sequence] = []
        self.plan: dict[int, int] = {}
        """Tokens that each sequence computes in the step being scheduled, by seq_id."""
        self.copies: list[tuple[int, int]] = []
        self.forks: list[tuple[Sequence, Sequence]] = []
        """(parent, child) of this step; the child takes part from the next one on."""
        self.next_id = 0
        self.announced: set[bytes] = set()

    def follow(self, event: BlocksStored | BlocksShared | BlocksRemoved) -> None:
        if isinstance(event, BlocksStored):
            self.announced |= set(event.digests)
        elif isinstance(event, BlocksRemoved):
            assert set(event.digests) <= self.announced
            self.announced -= set(event.digests)
        else:
            assert set(event.digests) <= self.announced

    def next_seq_id(self) -> int:
        self.next_id += 1
        return self.next_id

    def kv_of(self, seq: Sequence, position: int) -> object:
        return seq.cache_salt, tuple(seq.token_ids[: position + 1])

    def slot(self, seq: Sequence, position: int) -> tuple[int, int]:
        return seq.block_table[position // self.size], position % self.size

    @precondition(lambda self: len(self.waiting) < 4)
    @rule(
        tokens=st.lists(st.sampled_from([0, 0, 0, 1]), min_size=1, max_size=14),
        salt=st.sampled_from(["", "", "tenant"]),
        uses_prefix_cache=st.sampled_from([True, True, True, False]),
    )
    def arrive(self, tokens: list[int], salt: str, uses_prefix_cache: bool) -> None:
        self.waiting.append(make_seq(self.next_seq_id(), tokens, salt=salt, uses_prefix_cache=uses_prefix_cache))

    @precondition(lambda self: self.waiting)
    @rule(data=st.data())
    def allocate(self, data: st.DataObject) -> None:
        seq = data.draw(st.sampled_from(self.waiting))
        match = self.manager.match(seq)
        blocks, is_pending = self.model.match(seq)
        assert (match.num_tokens, match.is_pending) == (len(blocks) * self.size, is_pending)
        can = self.model.num_needed(seq, blocks) <= self.model.num_free()
        assert self.manager.can_allocate(seq, match) == can
        if can:
            self.manager.allocate(seq, match)
            self.model.allocate(seq, blocks)
            assert seq.num_computed_tokens == match.num_tokens
            self.waiting.remove(seq)
            self.live.append(seq)

    def unplanned(self) -> list[Sequence]:
        fresh = [child for _, child in self.forks]
        return [s for s in self.live if s.num_uncomputed_tokens and s.seq_id not in self.plan and s not in fresh]

    @precondition(lambda self: self.unplanned())
    @rule(data=st.data(), chunk=st.integers(1, 20))
    def schedule(self, data: st.DataObject, chunk: int) -> None:
        """A prefill chunk, or the one token of a decode, for which room is made first."""
        self.schedule_one(data.draw(st.sampled_from(self.unplanned())), chunk)

    @precondition(lambda self: self.unplanned())
    @rule()
    def schedule_all(self) -> None:
        for seq in self.unplanned():
            self.schedule_one(seq, 20)

    def schedule_one(self, seq: Sequence, chunk: int) -> None:
        can = self.model.num_needed_to_append(seq) <= self.model.num_free()
        assert self.manager.can_append(seq) == can
        if can:
            copy = self.manager.append(seq)
            assert (copy is not None) == self.model.append(seq)
            self.copies += [copy] if copy is not None else []
            self.plan[seq.seq_id] = min(chunk, seq.num_uncomputed_tokens)
            for manager in (self.manager, self.model):
                manager.commit(seq, seq.num_computed_tokens + self.plan[seq.seq_id])

    @precondition(lambda self: self.plan)
    @rule(data=st.data())
    def run_step(self, data: st.DataObject) -> None:
        planned = [seq for seq in self.live if seq.seq_id in self.plan]
        for src, dst in self.copies:
            for offset in range(self.size):
                self.kv[dst, offset] = self.kv.get((src, offset))
        for seq in planned:
            for position in range(seq.num_computed_tokens, seq.num_computed_tokens + self.plan[seq.seq_id]):
                self.kv[self.slot(seq, position)] = self.kv_of(seq, position)
            seq.num_computed_tokens += self.plan[seq.seq_id]
        for parent, child in self.forks:
            child.num_computed_tokens = parent.num_computed_tokens
        for seq in [*planned, *(child for _, child in self.forks)]:
            self.check_reads_its_own_tokens(seq)
            if not seq.num_uncomputed_tokens and data.draw(st.booleans()):
                seq.token_ids.append(data.draw(st.integers(0, 1)))
        self.end_step()

    def check_reads_its_own_tokens(self, seq: Sequence) -> None:
        for position in range(seq.num_computed_tokens):
            assert self.kv[self.slot(seq, position)] == self.kv_of(seq, position)

    def end_step(self) -> None:
        self.plan.clear()
        self.copies.clear()
        self.forks.clear()

    @precondition(lambda self: self.live)
    @rule(data=st.data())
    def fork(self, data: st.DataObject) -> None:
        """Of a sequence whose tokens are all computed, or will be when the step being scheduled has run."""
        parent = data.draw(st.sampled_from(self.live))
        if parent.num_uncomputed_tokens == self.plan.get(parent.seq_id, 0):
            child = parent.fork(self.next_seq_id(), 1)
            self.manager.fork(parent, child)
            self.model.fork(parent, child)
            self.live.append(child)
            self.forks.append((parent, child))

    @precondition(lambda self: self.live)
    @rule(data=st.data(), comes_back=st.booleans())
    def free(self, data: st.DataObject, comes_back: bool) -> None:
        """The end, an abort, or a preemption; also in the middle of scheduling, as long as nobody reads what it was to
        compute in this step."""
        seq = data.draw(st.sampled_from(self.live))
        uncomputed = self.model.held[seq.seq_id][1].table[seq.num_computed_tokens // self.size :]
        if seq.seq_id not in self.plan or not any(self.model.is_shared(block) for block in uncomputed):
            self.drop(seq, comes_back)

    def drop(self, seq: Sequence, comes_back: bool) -> None:
        self.model.free(seq)
        self.manager.free(seq)
        assert (seq.block_table, seq.num_computed_tokens) == ([], 0)
        self.plan.pop(seq.seq_id, None)
        self.forks = [(parent, child) for parent, child in self.forks if seq is not parent and seq is not child]
        self.live.remove(seq)
        if comes_back:
            self.waiting.append(seq)

    @precondition(lambda self: self.plan)
    @rule()
    def fail_step(self) -> None:
        """The step broke somewhere: what it was to write holds garbage, and those who read it start over."""
        spoiled = {block_id for _, block_id in self.copies}
        for seq in self.live:
            if seq.seq_id in self.plan:
                spoiled |= set(seq.block_table[seq.num_computed_tokens // self.size :])
        for block_id in spoiled:
            self.kv |= {(block_id, offset): "garbage" for offset in range(self.size)}
        self.manager.reset()
        self.model.reset()
        self.end_step()
        for seq in [seq for seq in self.live if spoiled & set(seq.block_table)]:
            self.drop(seq, comes_back=True)

    @precondition(lambda self: not self.plan)
    @rule(data=st.data())
    def resize(self, data: st.DataObject) -> None:
        """Between steps the tail may be given back and taken again; content follows the moves, in any order."""
        count = data.draw(st.integers(-3, self.manager.num_free_blocks + 1))
        if count < 0:
            self.manager.grow(-count)
            self.model.num_blocks -= count
        elif count > self.model.num_free():
            with pytest.raises(CapacityError):
                self.manager.shrink(count, self.live)
        else:
            self.move(self.manager.shrink(count, self.live))
            self.model.shrink(count)
            self.kv = {slot: kv for slot, kv in self.kv.items() if slot[0] < self.manager.num_blocks}

    @precondition(lambda self: not self.plan)
    @rule()
    def defragment(self) -> None:
        self.move(self.manager.defragment(self.live))
        assert self.manager.stats().blocks.fragmentation == 0

    def move(self, moves: list[tuple[int, int]]) -> None:
        assert not {src for src, _ in moves} & {dst for _, dst in moves}
        for src, dst in reversed(moves):
            for offset in range(self.size):
                self.kv[dst, offset] = self.kv.pop((src, offset), None)

    @invariant()
    def agrees_with_the_model(self) -> None:
        self.manager.check_invariants(self.live)
        assert self.manager.num_blocks == self.model.num_blocks
        assert self.manager.num_free_blocks == self.model.num_free()
        stats = self.manager.stats()
        assert stats.num_findable == len(self.model.findable()) == len(self.announced)
        assert stats.blocks.num_kept == len(self.model.kept)
        block_of: dict[int, Block] = {}
        for seq in self.live:
            table = self.model.held[seq.seq_id][1].table
            assert len(table) == len(seq.block_table)
            for block_id, block in zip(seq.block_table, table, strict=True):
                assert block_of.setdefault(block_id, block) is block
        assert len({id(block) for block in block_of.values()}) == len(block_of)


TestServedSequences = ServedSequences.TestCase
TestServedSequences.settings = settings(max_examples=200, stateful_step_count=60, deadline=None)


def test_second_sequence_takes_the_common_full_blocks() -> None:
    manager = BlockManager(8, 4)
    first, second = make_seq(0, list(range(10))), make_seq(1, [*range(8), 90, 91, 92])
    assert admit(manager, first) == 0
    assert admit(manager, second) == 8
    assert second.block_table[:2] == first.block_table[:2]
    assert second.block_table[2] != first.block_table[2]
    assert manager.num_free_blocks == 8 - 4


@pytest.mark.parametrize(("num_tokens", "cached"), [(3, 0), (4, 0), (5, 4), (8, 4), (9, 8)])
def test_at_least_one_token_is_left_to_compute(num_tokens: int, cached: int) -> None:
    manager = BlockManager(8, 4)
    admit(manager, make_seq(0, list(range(9))))
    assert manager.match(make_seq(1, list(range(num_tokens)))).num_tokens == cached


def test_one_different_token_hides_every_block_behind_it() -> None:
    manager = BlockManager(16, 2)
    tokens = list(range(12))
    admit(manager, make_seq(0, tokens))
    for position in range(12):
        changed = [*tokens[:position], 99, *tokens[position + 1 :], 7]
        assert manager.match(make_seq(1, changed)).num_tokens == position // 2 * 2


def test_salt_and_model_keep_blocks_apart() -> None:
    manager = BlockManager(8, 2)
    admit(manager, make_seq(0, [1, 2, 3], salt="a"))
    assert manager.match(make_seq(1, [1, 2, 3], salt="a")).num_tokens == 2
    assert manager.match(make_seq(2, [1, 2, 3], salt="b")).num_tokens == 0
    one, other = make_seq(3, [1, 2, 3]), make_seq(4, [1, 2, 3])
    BlockManager(8, 2, fingerprint=b"one").match(one)
    BlockManager(8, 2, fingerprint=b"other").match(other)
    assert one.block_digests != other.block_digests


def test_next_block_of_a_running_prefill_is_pending() -> None:
    manager = BlockManager(8, 2)
    running, waiting = make_seq(0, [1, 2, 3, 4, 5]), make_seq(1, [1, 2, 3, 4, 6])
    manager.allocate(running, manager.match(running))
    assert manager.match(waiting) == ([], 0, True)
    manager.commit(running, 3)
    assert manager.match(waiting) == (running.block_table[:1], 2, True)
    manager.free(running)
    assert not manager.match(waiting).is_pending


def test_freed_blocks_go_oldest_first_and_children_before_parents() -> None:
    manager = BlockManager(4, 2)
    old, new = make_seq(0, [1, 2, 3, 4]), make_seq(1, [5, 6, 7, 8])
    for seq in (old, new):
        admit(manager, seq)
    for seq in (old, new):
        manager.free(seq)
    admit(manager, make_seq(2, [9]))
    assert manager.match(make_seq(3, [1, 2, 3, 4, 0])).num_tokens == 2
    assert manager.match(make_seq(4, [5, 6, 7, 8, 0])).num_tokens == 4


def test_blocks_without_a_digest_go_before_findable_ones() -> None:
    manager = BlockManager(4, 2)
    kept, partial = make_seq(0, [1, 2]), make_seq(1, [3])
    for seq in (kept, partial):
        admit(manager, seq)
    for seq in (kept, partial):
        manager.free(seq)
    admit(manager, make_seq(2, [7, 8, 9, 10, 11]))
    assert manager.match(make_seq(3, [1, 2, 3])).num_tokens == 2


def test_fork_copies_at_the_first_write_and_the_last_holder_writes_in_place() -> None:
    manager = BlockManager(8, 4)
    parent = make_seq(0, [1, 2, 3, 4, 5])
    admit(manager, parent)
    child = parent.fork(1, 1)
    manager.fork(parent, child)
    assert child.block_table == parent.block_table
    for seq in (parent, child):
        seq.token_ids.append(6)
    shared = parent.block_table[1]
    assert manager.append(child) == (shared, child.block_table[1])
    assert child.block_table[1] != shared
    assert manager.append(parent) is None
    assert parent.block_table[1] == shared
    assert child.block_table[0] == parent.block_table[0]


def test_blocks_committed_for_a_step_that_did_not_run_are_forgotten() -> None:
    manager = BlockManager(8, 2)
    seq = make_seq(0, [1, 2, 3, 4, 5])
    manager.allocate(seq, manager.match(seq))
    manager.commit(seq, 2)
    seq.num_computed_tokens = 2
    manager.commit(seq, 5)
    manager.free(seq)
    assert manager.match(make_seq(1, [1, 2, 3, 4, 5])).num_tokens == 2


def test_after_a_reset_only_what_is_allocated_anew_becomes_findable() -> None:
    manager = BlockManager(8, 2)
    before, after = make_seq(0, [1, 2, 3, 4, 5]), make_seq(1, [1, 2, 9])
    manager.allocate(before, manager.match(before))
    manager.commit(before, 2)
    before.num_computed_tokens = 2
    manager.reset()
    assert not manager.match(after).is_pending
    manager.commit(before, 4)
    admit(manager, after)
    assert manager.match(make_seq(2, [1, 2, 3, 4, 5])).num_tokens == 2


def test_a_sequence_that_may_not_match_computes_for_others() -> None:
    manager = BlockManager(8, 2)
    admit(manager, make_seq(0, [1, 2, 3]))
    wants_logprobs = make_seq(1, [1, 2, 3, 4, 5], uses_prefix_cache=False)
    assert admit(manager, wants_logprobs) == 0
    assert manager.match(make_seq(2, [1, 2, 3, 4, 6])).num_tokens == 4


def test_without_prefix_caching_nothing_is_found() -> None:
    manager = BlockManager(8, 2, enable_prefix_caching=False)
    seq = make_seq(0, [1, 2, 3])
    admit(manager, seq)
    assert manager.match(make_seq(1, [1, 2, 3])).num_tokens == 0
    manager.free(seq)
    assert manager.stats().num_findable == 0


def test_events_name_blocks_parents_and_tokens() -> None:
    events: list[object] = []
    manager = BlockManager(2, 2, observer=events.append)
    seq = make_seq(0, [1, 2, 3, 4])
    manager.allocate(seq, manager.match(seq))
    manager.commit(seq, 2)
    manager.commit(seq, 4)
    first, second = seq.block_digests
    assert [(e.digests, e.token_ids) for e in events] == [([first], [1, 2]), ([second], [3, 4])]
    assert events[1].parent == first
    seq.num_computed_tokens = 4
    manager.free(seq)
    again = make_seq(1, [1, 2, 9])
    admit(manager, again)
    assert events[2:] == [BlocksRemoved([second]), BlocksShared([first])]


def test_stats_count_matched_tokens_and_evictions() -> None:
    manager = BlockManager(3, 2)
    first, second = make_seq(0, [1, 2, 3, 4]), make_seq(1, [1, 2, 9])
    for seq in (first, second):
        admit(manager, seq)
    stats = manager.stats()
    assert (stats.num_matched_tokens, stats.num_queried_tokens, stats.num_evicted) == (2, 7, 0)
    assert Counter(num_shared=stats.blocks.num_shared) == {"num_shared": 1}
