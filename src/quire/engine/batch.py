"""From scheduled sequences to the arrays that a model reads, without a tensor per number.

Each running sequence keeps a row in a table of block ids; a step writes only what is new in it, and everything for the
decodes is computed for all rows at once. Knows nothing of models or tokens' meaning.

    T tokens of the step · S sequences · W blocks of the longest · R rows that leave the model
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from quire.scheduling.scheduler import ScheduledBatch
from quire.sequence import Sequence

Int64 = NDArray[np.int64]
Int32 = NDArray[np.int32]


@dataclass(slots=True)
class ModelInput:
    """One step's input, the same for every rank of a tensor-parallel group."""

    token_ids: Int64  # [T]
    positions: Int64  # [T]
    slots: Int64  # [T]
    block_tables: Int32  # [S, W]
    context_lens: Int32  # [S]
    query_starts: Int32  # [S + 1]
    sample_rows: Int64  # [R]   places in T whose logits go to the sampler
    pooled_rows: Int64  # [R']  places in T whose hidden state is the answer
    prompt_rows: Int64  # [R''] places in T whose logits score the next token of a prompt
    copies: Int64  # [C, 2]  blocks (from, to) to copy first


class InputBuilder:
    """Thread safety: one thread. Results are fresh arrays, valid as long as they are held."""

    def __init__(self, *, max_num_seqs: int, max_blocks_per_seq: int, block_size: int) -> None:
        self._block_size = block_size
        self._tables = np.zeros((max_num_seqs, max_blocks_per_seq), dtype=np.int32)
        self._filled = [0] * max_num_seqs
        self._free_rows = list(range(max_num_seqs - 1, -1, -1))

    def release(self, seq: Sequence) -> None:
        """Gives the sequence's row back; harmless when it has none."""
        if seq.row is not None:
            self._filled[seq.row] = 0
            self._free_rows.append(seq.row)
            seq.row = None

    def forget_tables(self) -> None:
        """Blocks were moved: every row is written anew."""
        self._filled = [0] * len(self._filled)

    def build(self, batch: ScheduledBatch) -> ModelInput:
        for seq in batch.preempted:
            self.release(seq)
        for seq in batch.moved:
            if seq.row is not None:
                self._filled[seq.row] = 0
        sequences = batch.sequences
        rows = [self._sync_row(seq) for seq in sequences]
        num_decodes = batch.num_decodes
        num_new = np.array(batch.num_new_tokens, dtype=np.int64)
        num_computed = np.array([seq.num_computed_tokens for seq in sequences], dtype=np.int64)
        context_lens = num_computed + num_new
        query_starts = np.zeros(len(sequences) + 1, dtype=np.int32)
        np.cumsum(num_new, out=query_starts[1:])

        width = -(-int(context_lens.max()) // self._block_size)
        tables = self._tables[rows, :width]
        if num_decodes == len(sequences):
            token_ids = np.array([seq.token_ids[-1] for seq in sequences], dtype=np.int64)
            positions, owner = num_computed, np.arange(num_decodes)
        else:
            token_ids = self._token_ids(batch)
            owner = np.repeat(np.arange(len(sequences)), num_new)
            positions = np.arange(len(token_ids)) - query_starts[owner] + num_computed[owner]
        slots = tables[owner, positions // self._block_size].astype(np.int64) * self._block_size
        slots += positions % self._block_size
        last_rows = query_starts[1:].astype(np.int64) - 1
        return ModelInput(
            token_ids=token_ids,
            positions=positions,
            slots=slots,
            block_tables=tables,
            context_lens=context_lens.astype(np.int32),
            query_starts=query_starts,
            sample_rows=last_rows[batch.sample_rows],
            pooled_rows=last_rows[batch.pooled_rows],
            prompt_rows=self._prompt_rows(batch, query_starts),
            copies=np.array(batch.copies, dtype=np.int64).reshape(-1, 2),
        )

    def _sync_row(self, seq: Sequence) -> int:
        """The sequence's row, brought up to its block table."""
        row = seq.row
        if row is None:
            row = seq.row = self._free_rows.pop()
        filled, num_blocks = self._filled[row], len(seq.block_table)
        if filled != num_blocks:
            self._tables[row, filled:num_blocks] = seq.block_table[filled:]
            self._filled[row] = num_blocks
        return row

    def _token_ids(self, batch: ScheduledBatch) -> Int64:
        token_ids: list[int] = [seq.token_ids[-1] for seq in batch.sequences[: batch.num_decodes]]
        prefills = zip(batch.sequences, batch.num_new_tokens, strict=True)
        for seq, num_new in list(prefills)[batch.num_decodes :]:
            start = seq.num_computed_tokens
            token_ids += seq.token_ids[start : start + num_new]
        return np.array(token_ids, dtype=np.int64)

    def _prompt_rows(self, batch: ScheduledBatch, query_starts: Int32) -> Int64:
        spans = []
        for row in range(batch.num_decodes, len(batch.sequences)):  # a decode has its prompt behind it
            seq = batch.sequences[row]
            if seq.params.prompt_logprobs is not None:
                count = num_scored_prompt_tokens(seq, batch.num_new_tokens[row])
                spans.append(np.arange(query_starts[row], query_starts[row] + count))
        return np.concatenate(spans).astype(np.int64) if spans else _NO_ROWS


_NO_ROWS = np.empty(0, dtype=np.int64)


def num_scored_prompt_tokens(seq: Sequence, num_new_tokens: int) -> int:
    """How many of the step's tokens are followed by a prompt token, whose log-probability they give."""
    start = seq.num_computed_tokens
    return max(0, min(start + num_new_tokens, seq.num_prompt_tokens - 1) - start)
