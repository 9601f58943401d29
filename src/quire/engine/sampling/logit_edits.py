"""What requests do to logits before a token is chosen, each edit over all rows that ask for it, in place:

    allowed_token_ids, min_tokens, bad_words, grammar     -> -inf
    logit_bias                                            -> added
    repetition, then frequency and presence penalty       -> as OpenAI and vLLM define them

`EDITS` is that order. An edit is built for a fixed list of rows and applied at every step until the list changes; what
depends on the output so far is read from `Row.sequence` at every step.
"""

from collections.abc import Sequence as Ordered
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from quire.engine.structured import Grammar, allowed_tokens
from quire.sequence import Sequence

_FORBIDDEN = float("-inf")


class TokenCounts:
    """How often each token has come in the output of one sequence; prompt tokens are listed too, with count 0.

    `ids[:n]` are distinct, `counts[:n]` go with them. Catches up with the sequence by its new tokens only.
    """

    __slots__ = ("_ids", "_num_seen", "_output_counts", "_slot_of")

    def __init__(self, num_prompt_tokens: int, listed: Ordered[int] = ()) -> None:
        self._slot_of = {token_id: slot for slot, token_id in enumerate(dict.fromkeys(listed))}
        size = len(self._slot_of)
        self._ids = np.empty(size + 16, np.int64)
        self._ids[:size] = list(self._slot_of)
        self._output_counts = np.zeros(size + 16, np.float32)
        self._num_seen = num_prompt_tokens

    def catch_up(self, token_ids: list[int]) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Counts the tokens that are new since the last call; the ids and their counts, valid until the next call."""
        for position in range(self._num_seen, len(token_ids)):
            self._count(token_ids[position])
        self._num_seen = len(token_ids)
        size = len(self._slot_of)
        return self._ids[:size], self._output_counts[:size]

    def copy(self) -> "TokenCounts":
        twin = TokenCounts(self._num_seen)
        twin._slot_of = dict(self._slot_of)
        twin._ids, twin._output_counts = self._ids.copy(), self._output_counts.copy()
        return twin

    def _count(self, token_id: int) -> None:
        slot = self._slot_of.setdefault(token_id, len(self._slot_of))
        if slot == len(self._ids):
            self._ids = np.concatenate([self._ids, np.empty_like(self._ids)])
            self._output_counts = np.concatenate([self._output_counts, np.zeros_like(self._output_counts)])
        self._ids[slot] = token_id
        self._output_counts[slot] += 1


@dataclass(slots=True)
class Row:
    """What is kept for one sequence as long as it lives."""

    sequence: Sequence
    key: int
    """Names its stream of uniform numbers."""
    stop_ids: frozenset[int]
    """The tokens that would end it."""
    grammar: Grammar | None = None
    bad_words: Ordered[Ordered[int]] = ()
    counts: TokenCounts | None = None


class Edit(Protocol):
    @classmethod
    def build(cls, rows: list[Row]) -> Self | None:
        """The edit for these rows, or None where none of them asks for it."""

    def apply(self, logits_RV: Tensor) -> None: ...


class AllowedTokens:
    def __init__(self, ids_of_row: dict[int, Tensor]) -> None:
        self._ids_of_row = ids_of_row

    @classmethod
    def build(cls, rows: list[Row]) -> Self | None:
        ids_of_row = {
            r: torch.tensor(row.sequence.params.allowed_token_ids)
            for r, row in enumerate(rows)
            if row.sequence.params.allowed_token_ids is not None
        }
        return cls(ids_of_row) if ids_of_row else None

    def apply(self, logits_RV: Tensor) -> None:
        for r, allowed in self._ids_of_row.items():
            ids = allowed.to(logits_RV.device)
            kept = logits_RV[r, ids]
            logits_RV[r].fill_(_FORBIDDEN)
            logits_RV[r, ids] = kept


class MinTokens:
    """No end-of-sequence and no stop token before `min_tokens`."""

    def __init__(self, ids_of_row: dict[int, tuple[Sequence, list[int]]]) -> None:
        self._ids_of_row = ids_of_row

    @classmethod
    def build(cls, rows: list[Row]) -> Self | None:
        ids_of_row = {
            r: (row.sequence, sorted(row.stop_ids))
            for r, row in enumerate(rows)
            if row.sequence.num_output_tokens < row.sequence.params.min_tokens
        }
        return cls(ids_of_row) if ids_of_row else None

    def apply(self, logits_RV: Tensor) -> None:
        for r, (sequence, ids) in self._ids_of_row.items():
            if sequence.num_output_tokens < sequence.params.min_tokens:
                logits_RV[r, ids] = _FORBIDDEN


class BadWords:
    """Where the output ends in all but the last token of a bad word, that last token cannot come."""

    def __init__(self, rows: dict[int, Row]) -> None:
        self._rows = rows

    @classmethod
    def build(cls, rows: list[Row]) -> Self | None:
        asking = {r: row for r, row in enumerate(rows) if row.bad_words}
        return cls(asking) if asking else None

    def apply(self, logits_RV: Tensor) -> None:
        for r, row in self._rows.items():
            token_ids, num_prompt = row.sequence.token_ids, row.sequence.num_prompt_tokens
            for word in row.bad_words:
                start = len(token_ids) - (len(word) - 1)
                if start >= num_prompt and token_ids[start:] == list(word[:-1]):
                    logits_RV[r, word[-1]] = _FORBIDDEN


class GrammarMasks:
    def __init__(self, grammars: dict[int, Grammar]) -> None:
        self._grammars = grammars

    @classmethod
    def build(cls, rows: list[Row]) -> Self | None:
        grammars = {r: row.grammar for r, row in enumerate(rows) if row.grammar is not None}
        return cls(grammars) if grammars else None

    def apply(self, logits_RV: Tensor) -> None:
        allowed_GV = allowed_tokens(list(self._grammars.values()), logits_RV.shape[1])
        forbidden_GV = ~torch.from_numpy(allowed_GV).to(logits_RV.device)
        for g, r in enumerate(self._grammars):
            logits_RV[r].masked_fill_(forbidden_GV[g], _FORBIDDEN)


class LogitBias:
    def __init__(self, rows_and_ids_2N: Tensor, bias_N: Tensor) -> None:
        self._rows_and_ids_2N, self._bias_N = rows_and_ids_2N, bias_N

    @classmethod
    def build(cls, rows: list[Row]) -> Self | None:
        biases = [
            (r, token_id, bias)
            for r, row in enumerate(rows)
            for token_id, bias in (row.sequence.params.logit_bias or {}).items()
        ]
        if not biases:
            return None
        row_numbers, ids, values = zip(*biases, strict=True)
        return cls(torch.tensor([row_numbers, ids]), torch.tensor(values, dtype=torch.float32))

    def apply(self, logits_RV: Tensor) -> None:
        rows_N, ids_N = self._rows_and_ids_2N.to(logits_RV.device)
        logits_RV[rows_N, ids_N] += self._bias_N.to(logits_RV.device)


class Penalties:
    def __init__(self, rows: dict[int, Row]) -> None:
        self._rows = rows
        params = [row.sequence.params for row in rows.values()]
        self._row_numbers = np.array(list(rows), np.int64)
        self._repetition = np.array([p.repetition_penalty for p in params], np.float32)
        self._frequency = np.array([p.frequency_penalty for p in params], np.float32)
        self._presence = np.array([p.presence_penalty for p in params], np.float32)

    @classmethod
    def build(cls, rows: list[Row]) -> Self | None:
        asking = {r: row for r, row in enumerate(rows) if _has_penalty(row.sequence)}
        for row in asking.values():
            row.counts = row.counts or _new_counts(row.sequence)
        return cls(asking) if asking else None

    def apply(self, logits_RV: Tensor) -> None:
        """Gathers the logits of all tokens seen by all rows, N in all, and puts them back changed."""
        seen = [row.counts.catch_up(row.sequence.token_ids) for row in self._rows.values() if row.counts is not None]
        lengths = [len(ids) for ids, _ in seen]
        device = logits_RV.device

        def spread(per_row: NDArray[np.generic]) -> Tensor:
            return torch.from_numpy(np.repeat(per_row, lengths)).to(device)

        index = (spread(self._row_numbers), torch.from_numpy(np.concatenate([ids for ids, _ in seen])).to(device))
        counts_N = torch.from_numpy(np.concatenate([counts for _, counts in seen])).to(device)
        logits_N, repetition_N = logits_RV[index], spread(self._repetition)
        logits_N = torch.where(logits_N > 0, logits_N / repetition_N, logits_N * repetition_N)
        logits_N -= spread(self._frequency) * counts_N
        logits_N -= spread(self._presence) * (counts_N > 0)
        logits_RV[index] = logits_N


def _has_penalty(sequence: Sequence) -> bool:
    params = sequence.params
    return params.repetition_penalty != 1 or params.frequency_penalty != 0 or params.presence_penalty != 0


def _new_counts(sequence: Sequence) -> TokenCounts:
    repeats = sequence.params.repetition_penalty != 1
    return TokenCounts(sequence.num_prompt_tokens, sequence.prompt_token_ids if repeats else ())


EDITS: tuple[type[Edit], ...] = (AllowedTokens, MinTokens, BadWords, GrammarMasks, LogitBias, Penalties)
