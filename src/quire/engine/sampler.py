"""Chooses the next token of every sequence of a step, as its SamplingParams say.

What is kept per sequence: the key of its random stream, its grammar, its bad words, its token counts. What is kept per
batch: a plan (which rows need what, as tensors), valid while the list of sequences stays the same. Positions and output
tokens are read from the sequences, so a preempted or resumed sequence goes on as if nothing had been.

Invariants
  1. A row's token depends on its logits, its sequence and the engine's seed only, never on the other rows.
  2. A row that cannot have a token (logits that are not numbers, or no token allowed) fails alone.
  3. Rows that are plainly greedy cost one argmax over the batch and no Python.

Does not stop sequences and does not append tokens: the engine does, before it samples the sequence again.
"""

from collections.abc import Mapping
from collections.abc import Sequence as Ordered
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor

from quire.engine.sampling.distribution import Filters, draw_tokens_, has_filter, largest
from quire.engine.sampling.logit_edits import EDITS, Edit, Row
from quire.engine.sampling.logprobs import TokenLogprobs, prompt_logprobs, token_logprobs
from quire.engine.sampling.uniform import stream_key, uniforms
from quire.engine.structured import Grammar
from quire.sequence import Sequence

__all__ = ["Sampler", "SamplerOutput", "TokenLogprobs", "prompt_logprobs"]

_NOT_NUMBERS = (
    "The model's logits for this sequence are not finite numbers. The weights are damaged or a number format "
    "overflows; try dtype='float32'."
)
_NOTHING_ALLOWED = (
    "No token can come next: allowed_token_ids, bad_words, logit_bias, min_tokens and the structured output together "
    "exclude the whole vocabulary."
)


@dataclass(slots=True)
class SamplerOutput:
    """One entry per row. Where `failures` names a row, its entries in the lists mean nothing."""

    token_ids: list[int]
    logprobs: list[TokenLogprobs | None]
    failures: Mapping[int, str] = field(default_factory=dict)
    """Row -> why it has no token."""
    completed: frozenset[int] = frozenset()
    """Rows whose grammar is complete with this token: nothing can follow."""


class Sampler:
    def __init__(self, vocab_size: int, seed: int, eos_token_ids: frozenset[int] = frozenset()) -> None:
        """`vocab_size` is the width of the logits, `seed` the one of requests without their own."""
        self._vocab_size = vocab_size
        self._seed = seed
        self._eos_token_ids = eos_token_ids
        self._rows: dict[int, Row] = {}
        self._plan: _Plan | None = None

    def add(self, seq: Sequence, grammar: Grammar | None = None, bad_words: Ordered[Ordered[int]] = ()) -> None:
        """Must come before the sequence is first sampled. `bad_words` are token ids (`Tokenizer.bad_word_ids`)."""
        self._rows[seq.seq_id] = Row(seq, self._key(seq), self._stop_ids(seq), grammar, bad_words)

    def fork(self, parent: Sequence, child: Sequence) -> None:
        """The child goes on from the parent's state with random numbers of its own."""
        row = self._rows[parent.seq_id]
        grammar = row.grammar.fork() if row.grammar is not None else None
        counts = row.counts.copy() if row.counts is not None else None
        self._rows[child.seq_id] = Row(child, self._key(child), row.stop_ids, grammar, row.bad_words, counts)

    def remove(self, seq_id: int) -> None:
        self._rows.pop(seq_id, None)
        self._plan = None

    def sample(self, logits_RV: Tensor, sequences: list[Sequence]) -> SamplerOutput:
        """A token for every row. Overwrites `logits_RV` (float32)."""
        assert logits_RV.shape == (len(sequences), self._vocab_size), (logits_RV.shape, len(sequences))
        plan = self._plan_for(sequences, logits_RV.device)
        raw_WV = plan.wanted_logprobs(logits_RV)
        for edit in plan.edits:
            edit.apply(logits_RV)
        top_R, tokens_R = largest(logits_RV)
        failures = _failures(top_R)
        for drawing in plan.drawings:
            drawing.draw_into(tokens_R, logits_RV, top_R)
        token_ids: list[int] = tokens_R.tolist()
        for row in failures:
            token_ids[row] = 0
        completed = _advance(plan.grammars, token_ids, failures)
        return SamplerOutput(token_ids, plan.report(raw_WV, token_ids, failures), failures, completed)

    def _key(self, seq: Sequence) -> int:
        if seq.params.seed is not None:
            return stream_key(1, seq.params.seed, seq.index)
        return stream_key(0, self._seed, seq.seq_id)

    def _stop_ids(self, seq: Sequence) -> frozenset[int]:
        ends = frozenset() if seq.params.ignore_eos else self._eos_token_ids
        return ends.union(seq.params.stop_token_ids or ())

    def _plan_for(self, sequences: list[Sequence], device: torch.device) -> "_Plan":
        # Lists compare their elements by identity first: this is far below a microsecond per sequence.
        if self._plan is None or self._plan.sequences != sequences:
            rows = [self._rows[seq.seq_id] for seq in sequences]
            self._plan = _Plan(list(sequences), rows, device)
        return self._plan


class _Plan:
    """What a list of sequences needs at every step."""

    def __init__(self, sequences: list[Sequence], rows: list[Row], device: torch.device) -> None:
        self.sequences = sequences
        built = (edit.build(rows) for edit in EDITS)
        self.edits: list[Edit] = [edit for edit in built if edit is not None]
        self.grammars = {r: row.grammar for r, row in enumerate(rows) if row.grammar is not None}
        self.drawings = _Drawing.split(rows, device)
        self._nums_top = {r: seq.params.logprobs for r, seq in enumerate(sequences) if seq.params.logprobs is not None}
        self._nothing: list[TokenLogprobs | None] = [None] * len(sequences)

    def wanted_logprobs(self, logits_RV: Tensor) -> Tensor | None:
        return logits_RV[list(self._nums_top)].log_softmax(1) if self._nums_top else None

    def report(
        self, raw_WV: Tensor | None, token_ids: list[int], failures: Mapping[int, str]
    ) -> list[TokenLogprobs | None]:
        entries = self._nothing.copy()
        if raw_WV is None:
            return entries
        chosen = [token_ids[r] for r in self._nums_top]
        for r, entry in zip(self._nums_top, token_logprobs(raw_WV, chosen, list(self._nums_top.values())), strict=True):
            if r not in failures:
                entries[r] = entry
        return entries


class _Drawing:
    """Rows whose tokens are drawn: all of them with filters, or all without."""

    def __init__(self, rows: dict[int, Row], num_rows: int, device: torch.device, *, is_filtered: bool) -> None:
        self._sequences = [row.sequence for row in rows.values()]
        self._keys = np.array([row.key for row in rows.values()], np.uint64)
        params = [seq.params for seq in self._sequences]
        # All rows in order need no copy of the logits.
        self._rows_R: Tensor | slice = slice(None) if len(rows) == num_rows else torch.tensor(list(rows), device=device)
        self._temperature_R = torch.tensor([p.temperature for p in params], dtype=torch.float32, device=device)
        self._filters = Filters.of(params, device)
        self._is_filtered = is_filtered

    @classmethod
    def split(cls, rows: list[Row], device: torch.device) -> "list[_Drawing]":
        """The plain ones and the filtered ones, as far as there are any."""
        drawn = {r: row for r, row in enumerate(rows) if not row.sequence.params.is_greedy}
        filtered = {r: row for r, row in drawn.items() if has_filter(row.sequence.params)}
        plain = {r: row for r, row in drawn.items() if r not in filtered}
        groups = ((plain, False), (filtered, True))
        return [cls(group, len(rows), device, is_filtered=is_filtered) for group, is_filtered in groups if group]

    def draw_into(self, tokens_R: Tensor, logits_RV: Tensor, top_R: Tensor) -> None:
        positions = np.array([seq.num_output_tokens for seq in self._sequences], np.uint64)
        uniforms_R = torch.from_numpy(uniforms(self._keys, positions)).to(logits_RV.device)
        tokens_R[self._rows_R] = draw_tokens_(
            logits_RV[self._rows_R],
            top_R[self._rows_R],
            self._temperature_R,
            self._filters,
            uniforms_R,
            is_filtered=self._is_filtered,
        )


def _failures(top_R: Tensor) -> dict[int, str]:
    """Rows whose largest logit is no finite number, which tells of every NaN and of rows with nothing left."""
    if bool(torch.isfinite(top_R).all()):
        return {}
    nothing_allowed = float("-inf")
    return {
        r: _NOTHING_ALLOWED if top == nothing_allowed else _NOT_NUMBERS
        for r, top in enumerate(top_R.tolist())
        if not np.isfinite(top)
    }


def _advance(grammars: dict[int, Grammar], token_ids: list[int], failures: dict[int, str]) -> frozenset[int]:
    """Tells the grammars their tokens; the rows that are complete. A grammar that breaks down fails its row."""
    completed = []
    for r, grammar in grammars.items():
        if r in failures:
            continue
        if trouble := grammar.accept(token_ids[r]):
            failures[r] = trouble
        elif grammar.is_finished:
            completed.append(r)
    return frozenset(completed)
